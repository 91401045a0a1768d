"""One answer for many minutes: which photo each of them gets."""

import json
import logging
import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from pipeline import minutes, sandbox, settings, steps
from pipeline.archive import Archive
from pipeline.errors import BadAnswer, NoPhotos, QuotaExceeded
from pipeline.minutes import MINUTE
from tests.conftest import WatchedSandbox, status

MIDDAY = datetime(2026, 11, 23, 12, 5)


def wanted(**knobs: object) -> settings.unsplash:
    return settings.unsplash(**knobs)


def filed(archive: Archive) -> dict[str, str]:
    """Return the photo of each minute, by the names of both."""
    return {
        f"{path.parent.name}T{path.stem}": json.loads(path.read_bytes())["id"]
        for path in sorted(root(archive).glob("*/*.json"))
    }


def offer(api: WatchedSandbox, ids: list[str]) -> None:
    """Have every answer offer photos of these ids."""
    body = json.dumps([photo(api, each) for each in ids]).encode()
    api.instead = lambda target: status(200, body) if "/random" in target else None


def photo(api: WatchedSandbox, photo_id: str) -> Any:
    """Return a photo as the API gives it."""
    answer = sandbox.Sandbox(api.origin).answer(f"/photos/{photo_id}", {"Authorization": "Client-ID x"})
    return json.loads(answer.body)


def root(archive: Archive) -> Path:
    """Return the folder of the archive."""
    return Path(archive.files.path(""))


def moment(name: str) -> datetime:
    """Return the minute of a name such as 2026-11-23T1205."""
    return datetime.strptime(name, "%Y-%m-%dT%H%M")


def some_ids(count: int, seed: int = 1) -> list[str]:
    """Return ids of photos that are not of Unsplash+."""
    source = random.Random(seed)
    ids = (sandbox.random_id(None, source) for _ in range(10 * count))
    return [each for each in ids if not sandbox.Sample(each).is_premium][:count]


def test_the_topic_s_next_minutes_are_filled(asking: WatchedSandbox, archive: Archive) -> None:
    """The minute and the next ones of its topic get a photo each, all different, all of the topic."""
    offer(asking, some_ids(30))
    steps.fetch_metadata(MIDDAY, archive, wanted())
    given = filed(archive)
    expected = [minutes.name(each) for each, _ in zip(topic_minutes(), range(30), strict=False)]
    assert list(given) == expected
    assert list(given.values()) == some_ids(30)


def topic_minutes() -> Iterator[datetime]:
    return minutes.minutes_of_same_topic(MIDDAY, wanted().topics)


def test_minutes_that_have_theirs_are_passed_over(asking: WatchedSandbox, archive: Archive) -> None:
    """A minute with a photo or a picture keeps it; the photo goes to the next one that wants it."""
    second, third = [each for each, _ in zip(topic_minutes(), range(3), strict=False)][1:]
    path = archive.local_path(second)
    path.parent.mkdir(parents=True)
    path.write_text("a picture")
    offer(asking, some_ids(2))
    steps.fetch_metadata(MIDDAY, archive, wanted())
    assert list(filed(archive)) == [minutes.name(MIDDAY), minutes.name(third)]


def test_what_is_no_use_is_never_filed(asking: WatchedSandbox, archive: Archive) -> None:
    """Repeats within an answer, photos of Unsplash+ and those without a credit or an address are left out."""
    good = some_ids(3)
    premium = next(each for each in iter(sandbox.random_id, None) if sandbox.Sample(each).is_premium)
    photos = [photo(asking, each) for each in (premium, good[0], good[0], good[1], good[2])]
    del photos[3]["user"]
    photos[4]["urls"]["regular"] = "http://images.unsplash.com/photo-1"
    asking.instead = lambda target: status(200, json.dumps([*photos, None, 1, []]).encode())
    steps.fetch_metadata(MIDDAY, archive, wanted())
    assert list(filed(archive).values()) == [good[0]]


def test_an_answer_without_use_may_pass(asking: WatchedSandbox, archive: Archive) -> None:
    """An answer of nothing usable files nothing and is tried again."""
    asking.instead = lambda target: status(200, b"[]")
    with pytest.raises(BadAnswer):
        steps.fetch_metadata(MIDDAY, archive, wanted())
    assert filed(archive) == {}


def test_a_photo_is_not_given_twice(asking: WatchedSandbox, archive: Archive) -> None:
    """What another minute was given is left out while others are on offer, also after the photo was dropped."""
    offer(asking, some_ids(4))
    steps.fetch_metadata(MIDDAY, archive, wanted(photos_per_request=2))
    steps.fetch_metadata(MIDDAY + MINUTE, archive, wanted(photos_per_request=4))
    assert sorted(filed(archive).values()) == sorted(some_ids(4))


def test_nothing_else_on_offer(asking: WatchedSandbox, archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    """Where every photo on offer was given, the minute takes a repeat and says so."""
    offer(asking, some_ids(2))
    with caplog.at_level(logging.WARNING, "pipeline"):
        steps.fetch_metadata(MIDDAY, archive, wanted())
        assert caplog.messages == []
        steps.fetch_metadata(MIDDAY + MINUTE, archive, wanted())
    assert len(filed(archive)) == 4
    assert "repeats" in caplog.text


def test_repeats_can_be_allowed(asking: WatchedSandbox, archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    """no_repeat_days = 0 gives photos as they come."""
    offer(asking, some_ids(2))
    for minute in (MIDDAY, MIDDAY + MINUTE):
        steps.fetch_metadata(minute, archive, wanted(no_repeat_days=0))
    assert len(filed(archive)) == 4
    assert caplog.messages == []


def test_a_topic_without_photos(asking: WatchedSandbox, archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    """The next topic of the round takes the place, for the minutes of the one that matches nothing, and one line names it."""
    topics = ("nothing", "art")
    minute = MIDDAY if minutes.topic_of(MIDDAY, topics) == "nothing" else MIDDAY + MINUTE
    steps.fetch_metadata(minute, archive, wanted(topics=topics))
    assert {json.loads(path.read_bytes())["pipeline"]["topic"] for path in root(archive).glob("*/*.json")} == {"art"}
    assert {minutes.topic_of(moment(name), topics) for name in filed(archive)} == {"nothing"}
    assert len(asking.requests("/random")) == 2
    assert caplog.text.count("'nothing'") == 1


def test_no_topic_has_photos(asking: WatchedSandbox, archive: Archive) -> None:
    """If nothing matches any topic the run ends at once, and the reason names them."""
    asking.instead = lambda target: status(404, b'{"errors": ["No photos found."]}')
    with pytest.raises(NoPhotos, match="art, life"):
        steps.fetch_metadata(MIDDAY, archive, wanted(topics=("art", "life")))
    assert len(asking.asked) == 2


def test_changed_settings_do_not_touch_what_stands(asking: WatchedSandbox, archive: Archive) -> None:
    """Another number of photos a request, or further topics, leave the minutes that have their photo as they are."""
    offer(asking, some_ids(30))
    steps.fetch_metadata(MIDDAY, archive, wanted())
    before = filed(archive)
    for topics, count in ((wanted().topics, 7), ((*wanted().topics, "sea"), 30), (wanted().topics, 1)):
        steps.fetch_metadata(MIDDAY + MINUTE, archive, wanted(topics=topics, photos_per_request=count))
        assert filed(archive).items() >= before.items()
        before = filed(archive)


def test_changed_topics_act_at_once(asking: WatchedSandbox, archive: Archive) -> None:
    """A photo that was filed ahead for a topic that is no longer set gives way; a stored picture keeps its own."""
    steps.fetch_metadata(MIDDAY, archive, wanted())
    before = filed(archive)
    stored, *others = before
    archive.local_path(MIDDAY).write_text("a picture")
    for minute in map(moment, before):
        if not archive.has_photo(minute, ("sea",)):
            steps.fetch_metadata(minute, archive, wanted(topics=("sea",)))
    after = filed(archive)
    assert after[stored] == before[stored]
    assert all(after[name] != before[name] for name in others)
    assert {archive.photo(moment(name))["pipeline"]["topic"] for name in others} == {"sea"}


def test_the_quota_is_kept_for_the_operator(asking: WatchedSandbox, archive: Archive) -> None:
    """What the last answer said of the quota stands under ROOT, also when it was that the quota is used up."""
    steps.fetch_metadata(MIDDAY, archive, wanted())
    reading = archive.quota()
    assert reading
    assert (reading.limit, reading.remaining) == (50, 49)
    asking.hourly_limit = 1
    with pytest.raises(QuotaExceeded):
        steps.fetch_metadata(MIDDAY + MINUTE, archive, wanted())
    reading = archive.quota()
    assert reading
    assert (reading.limit, reading.remaining) == (1, 0)


def test_the_last_requests_are_left_for_metadata(asking: WatchedSandbox, archive: Archive) -> None:
    """Downloads are reported until the reserve is reached."""
    of_photo = photo(asking, "abcdefghijk")
    asking.hourly_limit = 8
    for _ in range(6):
        steps.report_download(of_photo, archive, wanted(), reserve=5)
    assert len(asking.requests("/download")) == 3


@pytest.mark.parametrize(("hours", "reported"), [(0, 0), (1, 1), (24, 1)])
def test_the_quota_of_another_hour(asking: WatchedSandbox, archive: Archive, hours: int, reported: int) -> None:
    """What another run kept of the quota counts in its own hour, and for nothing later."""
    at = datetime.now(timezone.utc) - timedelta(hours=hours)
    root(archive).mkdir()
    (root(archive) / "quota").write_text(json.dumps({"limit": 50, "remaining": 5, "at": f"{at:%Y-%m-%dT%H:%M:%SZ}"}))
    steps.report_download(photo(asking, "abcdefghijk"), archive, wanted(), reserve=5)
    assert len(asking.requests("/download")) == reported


def test_downloads_need_not_be_reported(asking: WatchedSandbox, archive: Archive) -> None:
    """report_downloads = false makes no request, and so does a photo that names no address for it."""
    of_photo = photo(asking, "abcdefghijk")
    steps.report_download(of_photo, archive, wanted(report_downloads=False), reserve=0)
    del of_photo["links"]["download_location"]
    steps.report_download(of_photo, archive, wanted(), reserve=0)
    assert asking.asked == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"limit": "x"}', '{"limit": 1, "remaining": 1, "at": "yesterday"}'])
def test_a_garbled_quota_is_not_known(archive: Archive, content: str) -> None:
    """A quota file that cannot be read says nothing, and stops nothing."""
    root(archive).mkdir()
    (root(archive) / "quota").write_text(content)
    assert archive.quota() is None
