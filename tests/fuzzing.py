"""What the tests by hypothesis share.

The examples follow from the tests alone: a failure comes again at the next run. `pytest -m slow` tries many more.
"""

import copy
import json
import resource
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import sandbox

QUICK = 50
BOUNDED = 150
FULL = 10_000
MOST_MEGABYTES = 300

examples = pytest.mark.parametrize(
    "examples", [QUICK, pytest.param(BOUNDED, marks=pytest.mark.ci), pytest.param(FULL, marks=pytest.mark.slow)]
)


def fuzz(examples: int, test: Callable[..., None], *inputs: st.SearchStrategy[Any]) -> None:
    """Call the test with so many different inputs, the same at every run; none of them may take long or much memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    long = timedelta(seconds=5)
    unhurried = settings(
        max_examples=examples, derandomize=True, deadline=long, database=None, suppress_health_check=list(HealthCheck)
    )
    unhurried(given(*inputs)(test))()
    unit = 2**20 if sys.platform == "darwin" else 2**10
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit < MOST_MEGABYTES


def photo() -> Any:
    """Return a photo as the API gives it."""
    answer = sandbox.Sandbox("https://unsplash.com").answer("/photos/AAAAAAAAAAA", {"Authorization": "Client-ID x"})
    return json.loads(answer.body)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
FIELDS = [("id",), ("urls",), ("urls", "regular"), ("user",), ("user", "name"), ("user", "username"), ("user", "links")]
FIELDS += [("user", "links", "html"), ("links",), ("links", "html"), ("links", "download_location"), ("pipeline",)]


def changed(fields: list[tuple[tuple[str, ...], Any]]) -> Any:
    """Return a photo with other values in these fields."""
    made = copy.deepcopy(photo())
    for names, value in fields:
        place = made
        for name in names[:-1]:
            place = place.get(name) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[names[-1]] = value
    return made


PHOTOS = st.lists(st.tuples(st.sampled_from(FIELDS), ANY | st.text()), max_size=3).map(changed) | ANY
