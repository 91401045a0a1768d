"""Time: the parameter, rounds and topics."""

import itertools
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import minutes
from pipeline.errors import BadSettings
from pipeline.minutes import MINUTE, MinuteParameter

TOPICS = ("history", "life", "wisdom", "art", "office", "nature")

# The rounds from 2026-11-23T1200 on.
PINNED = ["art", "history", "wisdom", "office", "life", "nature", "wisdom", "art", "history", "life", "office", "nature"]

any_minute = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)).map(
    lambda moment: moment.replace(second=0, microsecond=0)
)
any_topics = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=12, unique=True)


def test_a_timestamp_names_a_minute() -> None:
    """2026-11-23T1205 is five past twelve, and is written so again."""
    parameter = MinuteParameter()
    assert parameter.parse("2026-11-23T1205") == datetime(2026, 11, 23, 12, 5)
    assert parameter.serialize(datetime(2026, 11, 23, 12, 5)) == "2026-11-23T1205"
    assert minutes.name(datetime(2026, 11, 23, 12, 5)) == "2026-11-23T1205"


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T04",
        "2026-11-23T12H05",
        "2026-11-23T12:05",
        "2026-11-23T1205Z",
        "2026-11-23",
        "2026-1-3T1205",
        "2026-11-23T2460",
        "2026-02-30T1205",
        " 2026-11-23T1205",
        "٢٠٢٦-11-23T1205",
        "now",
    ],
)
def test_anything_else_is_refused_with_the_form_and_an_example(text: str) -> None:
    """What is not written as a minute is refused, also where Luigi's own parser takes it for another minute."""
    with pytest.raises(BadSettings, match=r"YYYY-MM-DDThhmm.*2026-11-23T1205"):
        MinuteParameter().parse(text)


def test_a_minute_later_than_now_is_refused() -> None:
    """The present minute is the last that can be named."""
    present = minutes.present_minute()
    assert MinuteParameter().parse(minutes.name(present)) == present
    with pytest.raises(BadSettings, match="is the clock right"):
        MinuteParameter().parse(minutes.name(present + 3 * MINUTE))


def test_no_timestamp_is_the_present_minute_read_when_the_task_is_made() -> None:
    """Without a value the parameter is the present minute of UTC, not that of the import."""
    before = datetime.now(timezone.utc).replace(tzinfo=None) - MINUTE
    present = MinuteParameter().normalize(None)
    assert before < present <= datetime.now(timezone.utc).replace(tzinfo=None)
    assert present.second == present.microsecond == 0


@given(any_minute, any_topics)
def test_a_round_has_every_topic_once(minute: datetime, topics: list[str]) -> None:
    """In the minutes of a round each topic has exactly one turn, and no minute is without one."""
    number = (minute - datetime(1970, 1, 1)) // MINUTE
    first = minute - number % len(topics) * MINUTE
    turns = [minutes.topic_of(first + place * MINUTE, topics) for place in range(len(topics))]
    assert sorted(turns) == sorted(topics)


@given(any_minute, any_topics)
def test_the_topics_of_a_minute_are_all_of_its_round(minute: datetime, topics: list[str]) -> None:
    """The order in which topics stand in for each other begins with the minute's own and leaves none out."""
    order = minutes.topics_of_round(minute, topics)
    assert order[0] == minutes.topic_of(minute, topics)
    assert sorted(order) == sorted(topics)


@given(any_minute, any_topics)
def test_the_order_of_the_setting_does_not_matter(minute: datetime, topics: list[str]) -> None:
    """A round is the same however the topics are listed."""
    assert minutes.topic_of(minute, topics) == minutes.topic_of(minute, topics[::-1])


@given(any_minute, any_topics)
def test_the_next_minutes_of_a_topic_are_one_a_round(minute: datetime, topics: list[str]) -> None:
    """The minutes that share a topic begin with the minute itself, go forward, and leave no round out."""
    shared = list(itertools.islice(minutes.minutes_of_same_topic(minute, topics), 8))
    assert shared[0] == minute
    assert {minutes.topic_of(each, topics) for each in shared} == {minutes.topic_of(minute, topics)}
    rounds = [(each - datetime(1970, 1, 1)) // MINUTE // len(topics) for each in shared]
    assert rounds == list(range(rounds[0], rounds[0] + 8))


def test_rounds_are_pinned() -> None:
    """The shuffle is the same on every machine and for ever: stored minutes lean on it."""
    start = datetime(2026, 11, 23, 12, 0)
    turns = [minutes.topic_of(start + place * MINUTE, TOPICS) for place in range(12)]
    assert turns == PINNED


def test_rounds_are_the_same_in_another_process() -> None:
    """Neither the hash seed nor anything else of a process changes a round."""
    program = (
        "from datetime import datetime, timedelta; from pipeline.minutes import topic_of;"
        f"print([topic_of(datetime(2026, 11, 23, 12, m), {TOPICS!r}) for m in range(12)])"
    )
    for seed in ("1", "2"):
        shown = subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True)
        assert shown.stdout.strip() == str(PINNED), shown.stderr


def test_a_day_looks_shuffled() -> None:
    """Over a day every topic is in every place of a round."""
    start = datetime(2026, 11, 23)
    places = {(topic, place) for place in range(6) for day in range(240)
              for topic in [minutes.topic_of(start + timedelta(minutes=6 * day + place), TOPICS)]}  # fmt: skip
    assert len(places) == 36
