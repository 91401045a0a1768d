"""One answer for many minutes: which photo each of them gets."""

import json
import logging
import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from pipeline import lookahead, minutes, quota, sandbox, settings, unsplash
from pipeline.errors import BadAnswer, NoPhotos, QuotaExceeded
from pipeline.minutes import MINUTE
from pipeline.storage import Store
from tests.conftest import KEY, WatchedSandbox, status

MIDDAY = datetime(2026, 11, 23, 12, 5)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data")


@pytest.fixture
def asking(api: WatchedSandbox, monkeypatch: pytest.MonkeyPatch) -> WatchedSandbox:
    """Have the environment name the sandbox's server."""
    monkeypatch.setenv("UNSPLASH_API_KEY", KEY)
    monkeypatch.setenv("UNSPLASH_API_URL", api.origin)
    return api


def wanted(**knobs: object) -> settings.unsplash:
    return settings.unsplash(**knobs)


def filed(store: Store) -> dict[str, str]:
    """Return the photo of each minute, by the names of both."""
    return {
        f"{path.parent.name}T{path.stem}": json.loads(path.read_bytes())["id"]
        for path in sorted(store.files.local_path("").glob("*/*.json"))
    }


def offer(api: WatchedSandbox, ids: list[str]) -> None:
    """Have every answer offer photos of these ids."""
    api.instead = lambda target: (
        status(200, json.dumps([api._photo(each) for each in ids]).encode()) if "/random" in target else None
    )


def some_ids(count: int, seed: int = 1) -> list[str]:
    """Return ids of photos that are not of Unsplash+."""
    source = random.Random(seed)
    ids = (sandbox.random_id(None, source) for _ in range(10 * count))
    return [each for each in ids if not sandbox.is_premium(each)][:count]


def test_the_topic_s_next_minutes_are_filled(asking: WatchedSandbox, store: Store) -> None:
    """The minute and the next ones of its topic get a photo each, all different, all of the topic."""
    offer(asking, some_ids(30))
    lookahead.fill_minutes(MIDDAY, store, wanted())
    given = filed(store)
    expected = [minutes.name(each) for each, _ in zip(topic_minutes(), range(30), strict=False)]
    assert list(given) == expected
    assert list(given.values()) == some_ids(30)


def topic_minutes() -> Iterator[datetime]:
    return minutes.minutes_of_same_topic(MIDDAY, wanted().topics)


def test_minutes_that_have_theirs_are_passed_over(asking: WatchedSandbox, store: Store) -> None:
    """A minute with a photo or a picture keeps it; the photo goes to the next one that wants it."""
    second, third = [each for each, _ in zip(topic_minutes(), range(3), strict=False)][1:]
    store.picture(second).write("a picture")
    offer(asking, some_ids(2))
    lookahead.fill_minutes(MIDDAY, store, wanted())
    assert list(filed(store)) == [minutes.name(MIDDAY), minutes.name(third)]


def test_what_is_no_use_is_never_filed(asking: WatchedSandbox, store: Store) -> None:
    """Repeats within an answer, photos of Unsplash+ and those without a credit or an address are left out."""
    good = some_ids(3)
    premium = next(each for each in iter(sandbox.random_id, None) if sandbox.is_premium(each))
    photos = [asking._photo(each) for each in (premium, good[0], good[0], good[1], good[2])]
    del photos[3]["user"]
    photos[4]["urls"]["regular"] = "http://images.unsplash.com/photo-1"
    asking.instead = lambda target: status(200, json.dumps([*photos, None, 1, []]).encode())
    lookahead.fill_minutes(MIDDAY, store, wanted())
    assert list(filed(store).values()) == [good[0]]


def test_an_answer_without_use_may_pass(asking: WatchedSandbox, store: Store) -> None:
    """An answer of nothing usable files nothing and is tried again."""
    asking.instead = lambda target: status(200, b"[]")
    with pytest.raises(BadAnswer):
        lookahead.fill_minutes(MIDDAY, store, wanted())
    assert filed(store) == {}


def test_a_photo_is_not_given_twice(asking: WatchedSandbox, store: Store) -> None:
    """What another minute was given is left out while others are on offer, also after the photo was dropped."""
    offer(asking, some_ids(4))
    lookahead.fill_minutes(MIDDAY, store, wanted(photos_per_request=2))
    lookahead.fill_minutes(MIDDAY + MINUTE, store, wanted(photos_per_request=4))
    assert sorted(filed(store).values()) == sorted(some_ids(4))


def test_nothing_else_on_offer(asking: WatchedSandbox, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Where every photo on offer was given, the minute takes a repeat and says so."""
    offer(asking, some_ids(2))
    with caplog.at_level(logging.WARNING, "pipeline"):
        lookahead.fill_minutes(MIDDAY, store, wanted())
        assert caplog.messages == []
        lookahead.fill_minutes(MIDDAY + MINUTE, store, wanted())
    assert len(filed(store)) == 4
    assert "repeats" in caplog.text


def test_repeats_can_be_allowed(asking: WatchedSandbox, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """no_repeat_days = 0 gives photos as they come."""
    offer(asking, some_ids(2))
    for minute in (MIDDAY, MIDDAY + MINUTE):
        lookahead.fill_minutes(minute, store, wanted(no_repeat_days=0))
    assert len(filed(store)) == 4
    assert caplog.messages == []


def test_a_topic_without_photos(asking: WatchedSandbox, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """The next topic of the round takes the place, for the minutes of the one that matches nothing, and one line names it."""
    topics = ("nothing", "art")
    minute = MIDDAY if minutes.topic_of(MIDDAY, topics) == "nothing" else MIDDAY + MINUTE
    lookahead.fill_minutes(minute, store, wanted(topics=topics))
    assert {json.loads(path.read_bytes())["pipeline"]["topic"] for path in store.files.local_path("").glob("*/*.json")} == {
        "art"
    }
    assert {minutes.topic_of(datetime.strptime(name, "%Y-%m-%dT%H%M"), topics) for name in filed(store)} == {"nothing"}
    assert len(asking.requests("/random")) == 2
    assert caplog.text.count("'nothing'") == 1


def test_no_topic_has_photos(asking: WatchedSandbox, store: Store) -> None:
    """If nothing matches any topic the run ends at once, and the reason names them."""
    asking.instead = lambda target: status(404, b'{"errors": ["No photos found."]}')
    with pytest.raises(NoPhotos, match="art, life"):
        lookahead.fill_minutes(MIDDAY, store, wanted(topics=("art", "life")))
    assert len(asking.asked) == 2


def test_changed_settings_do_not_touch_what_stands(asking: WatchedSandbox, store: Store) -> None:
    """Other topics, or another number of photos a request, leave the minutes that have their photo as they are."""
    offer(asking, some_ids(30))
    lookahead.fill_minutes(MIDDAY, store, wanted())
    before = filed(store)
    for topics, count in ((("sea",), 30), (("sea", "sky", "sun"), 7), (wanted().topics, 1)):
        lookahead.fill_minutes(MIDDAY + MINUTE, store, wanted(topics=topics, photos_per_request=count))
        assert filed(store).items() >= before.items()
        before = filed(store)


def test_the_quota_is_kept_for_the_operator(asking: WatchedSandbox, store: Store) -> None:
    """What the last answer said of the quota stands under ROOT, also when it was that the quota is used up."""
    lookahead.fill_minutes(MIDDAY, store, wanted())
    reading = quota.reading_of_this_hour(store)
    assert reading
    assert (reading.limit, reading.remaining) == (50, 49)
    asking.hourly_limit = 1
    with pytest.raises(QuotaExceeded):
        lookahead.fill_minutes(MIDDAY + MINUTE, store, wanted())
    reading = quota.reading_of_this_hour(store)
    assert reading
    assert (reading.limit, reading.remaining) == (1, 0)


def test_the_last_requests_are_left_for_metadata(asking: WatchedSandbox, store: Store) -> None:
    """Downloads are reported until the reserve is reached, and what is known of another hour counts for nothing."""
    client = unsplash.client(5)
    location = f"{asking.origin}/photos/abcdefghijk/download"
    asking.hourly_limit = 8
    for _ in range(6):
        quota.report_download(store, client, location, reserve=5)
    assert len(asking.requests("/download")) == 3
    (store.files.local_path("") / "quota").write_text('{"limit": 50, "remaining": 0, "at": "2026-11-23T12:05:00Z"}')
    quota.report_download(store, client, location, reserve=5)
    assert len(asking.requests("/download")) == 4


@pytest.mark.parametrize("content", ["", "{", "[]", '{"limit": "x"}', '{"limit": 1, "remaining": 1, "at": "yesterday"}'])
def test_a_garbled_quota_is_not_known(store: Store, content: str) -> None:
    """A quota file that cannot be read says nothing, and stops nothing."""
    store.files.local_path("").mkdir()
    (store.files.local_path("") / "quota").write_text(content)
    assert quota.reading_of_this_hour(store) is None
