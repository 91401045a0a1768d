"""What the page is told: the scripts and index.html that runs write, and that all of it can be made again."""

import json
import multiprocessing
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import page, sandbox, unsplash
from pipeline.archive import Archive
from pipeline.minutes import MINUTE, name, present_minute
from tests.conftest import Project

NOON = datetime(2026, 11, 23, 12)
HOSTILE = """"><img src=x onerror="document.title='hurt'"><script>document.title='hurt'</script>' & \ud800 \x1b[2J"""
PICTURE = b"a picture"


def photo_of(minute: datetime, **changes: Any) -> unsplash.Photo:
    """Return the metadata of a sample photo, as it is filed; the minute determines it."""
    answer = sandbox.Sandbox().answer(f"/photos/{minute:%y%m%d-%H%M}", {"Authorization": "Client-ID key"})
    photo: unsplash.Photo = json.loads(answer.body) | changes
    credit = unsplash.credit(photo, "picture_a_minute")
    return photo | {"pipeline": {"topic": "art", "minute": name(minute), "credit": credit}}


def publish(archive: Archive, *minutes: datetime, **changes: Any) -> None:
    """Store and publish a picture for each minute, one after the other; `changes` are of the photo."""
    for minute in minutes:
        photo = photo_of(minute, **changes)
        archive.file_photos({minute: photo}, ("art",))
        archive.put_picture(minute, photo, PICTURE)
        archive.put_thumbnail(minute, PICTURE)
        page.publish(archive, minute, page.picture_entry(photo, len(PICTURE)), PICTURE)


def text(archive: Archive, file: str) -> str:
    """Return the content of a file of the page; nothing if there is none."""
    return (archive.files.get(file) or b"").decode()


def told(archive: Archive, script: str) -> Any:
    """Return what a script tells the page."""
    content = text(archive, f"{script}.js")
    assert content.startswith("pictureAMinute(") and content.endswith(");\n"), content
    return json.loads(f"[{content[len('pictureAMinute(') : -3]}]")[1]


def caption(archive: Archive) -> str:
    """Return the caption of index.html's picture."""
    found = re.search(r"<figcaption>(.*)</figcaption>", text(archive, "index.html"))
    assert found
    return found[1]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "data")


def test_a_run_shows_its_picture(project: Project) -> None:
    """After a run latest.jpg and index.html show its picture, and the scripts tell of it."""
    run = project.store("2026-11-23T1205")
    assert run.returncode == 0, run.stderr
    archive = Archive(project.root)
    assert (project.root / "latest.jpg").read_bytes() == (project.root / "2026-11-23/1205.jpg").read_bytes()
    assert '<a href="2026-11-23/1205.jpg">' in text(archive, "index.html")
    assert list(told(archive, "2026-11-23/12")) == ["05"]
    assert told(archive, "newest")["minute"] == told(archive, "newest")["first"] == "2026-11-23T1205"
    assert told(archive, "calendar") == {"2026-11-23": [1, 0]}
    for asset in ("page.js", "page.css"):
        assert (project.root / asset).read_text() == (Path(page.__file__).parent / asset).read_text()


def test_an_entry(archive: Archive) -> None:
    """The page is told what a picture shows, whose it is, with the links that Unsplash asks for, and how large it is."""
    publish(archive, NOON)
    photo = archive.photo(NOON)
    assert told(archive, "2026-11-23/12")["00"] == {
        "id": photo["id"],
        "topic": "art",
        "alt": photo["alt_description"],
        "name": photo["user"]["name"],
        "user": f"{photo['user']['links']['html']}?utm_source=picture_a_minute&utm_medium=referral",
        "photo": photo["links"]["html"],
        "unsplash": "https://unsplash.com/?utm_source=picture_a_minute&utm_medium=referral",
        "width": photo["width"],
        "height": photo["height"],
        "color": photo["color"],
        "bytes": len(PICTURE),
        "thumb": True,
    }


def test_the_credit_without_javascript(archive: Archive) -> None:
    """index.html names the photographer and Unsplash, both linked with utm parameters, the topic and the time in UTC."""
    publish(archive, NOON)
    links = re.findall(r'href="(.*?)\?utm_source=picture_a_minute&amp;utm_medium=referral"', caption(archive))
    assert links == [archive.photo(NOON)["user"]["links"]["html"], "https://unsplash.com/"]
    assert " · art · " in caption(archive)
    assert '<time datetime="2026-11-23T12:00:00Z">2026-11-23 12:00 UTC</time>' in caption(archive)


def test_a_late_minute_takes_its_place(archive: Archive) -> None:
    """A minute stored after a later one is told of in its hour, and the newest picture stays."""
    publish(archive, NOON, NOON + 2 * MINUTE, NOON + MINUTE)
    assert "12:02 UTC" in text(archive, "index.html")
    assert list(told(archive, "2026-11-23/12")) == ["00", "01", "02"]


def test_a_minute_ahead_is_not_shown_before_its_time(archive: Archive) -> None:
    """A picture that is later than now, because the clock was wrong, is told of nowhere, and the next minute is the newest."""
    now = present_minute()
    publish(archive, now + timedelta(days=3650))
    assert text(archive, "index.html") == ""
    publish(archive, now)
    assert f"{now:%H:%M} UTC" in text(archive, "index.html")
    assert told(archive, "newest")["minute"] == name(now)
    assert archive.content(now, ".jpg") == archive.files.get("latest.jpg")
    assert not text(archive, f"{now + timedelta(days=3650):%Y-%m-%d/%H}.js")


def test_a_failure_is_told_with_its_reason_until_it_is_stored(archive: Archive) -> None:
    """A minute that failed has its reason and time in its hour; a picture takes its place, and no failure a picture's."""
    publish(archive, NOON)
    page.note_failure(archive, NOON + MINUTE, "StoreImage: <unsplash> & co: no answer")
    failure = told(archive, "2026-11-23/12")["01"]
    assert failure["error"] == "StoreImage: <unsplash> & co: no answer"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", failure["at"])
    publish(archive, NOON + MINUTE)
    page.note_failure(archive, NOON + MINUTE, "too late")
    assert "id" in told(archive, "2026-11-23/12")["01"]


def test_what_comes_from_outside_stays_text(archive: Archive) -> None:
    """Markup is escaped in index.html, control characters and what is no Unicode are left out, and links lead to the web."""
    user = {"name": HOSTILE, "username": "x", "links": {"html": "javascript:document.title='hurt'"}}
    publish(archive, NOON, user=user, alt_description=HOSTILE * 1000, links={"html": "data:text/html,hurt"})
    index, entry = text(archive, "index.html"), told(archive, "2026-11-23/12")["00"]
    assert "<script>document" not in index and 'onerror="' not in index and "javascript:" not in index
    assert entry["user"] == entry["photo"] == ""
    assert "\x1b" not in entry["name"]
    assert len(entry["alt"]) <= 300
    text(archive, "2026-11-23/12.js").encode("ascii")


@pytest.mark.parametrize("metadata", ["", "{}", '{"id": "x", "urls": {"full": "x"}, "pipeline": {"credit": {"text": "x"}}}'])
def test_damaged_metadata_costs_its_credit_only(archive: Archive, metadata: str) -> None:
    """A picture whose metadata was lost or damaged is still told of when all is made again."""
    publish(archive, NOON, NOON + MINUTE)
    archive.files.put("2026-11-23/1201.json", metadata.encode())
    page.rebuild(archive, [NOON.date()])
    hour = told(archive, "2026-11-23/12")
    assert hour["01"]["name"] == "" and hour["01"]["bytes"] == len(PICTURE)
    assert hour["00"]["name"] == archive.photo(NOON)["user"]["name"]


def test_everything_can_be_made_again(archive: Archive) -> None:
    """What is shown is made again from the archive as it was, failures and missing thumbnails included."""
    publish(archive, *(NOON + number * MINUTE for number in (0, 1, 59, 60)))
    archive.put_failure(NOON + 2 * MINUTE, "StoreImage: a reason")
    page.note_failure(archive, NOON + 2 * MINUTE, "StoreImage: a reason")
    names = ("2026-11-23/12.js", "2026-11-23/13.js", "newest.js", "index.html", "page.js")
    before = {each: text(archive, each) for each in names}
    archive.files.delete([*names, "calendar.js"])
    page.mend(archive, [NOON, NOON + 60 * MINUTE])
    assert [each for each in names if text(archive, each) != before[each]] == []
    assert told(archive, "calendar") == {"2026-11-23": [4, 1]}
    archive.files.delete(["2026-11-23/thumb/1201.jpg"])
    page.rebuild(archive, [NOON.date()])
    assert [minute for minute, entry in told(archive, "2026-11-23/12").items() if entry.get("thumb") is False] == ["01"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"pictureAMinute(",
        b"\xff\xfe",
        b'pictureAMinute("x", [], "1.1.0");\n',
        b"[" * 100_000,
        b'pictureAMinute("x", {"00": 3, "2026-11-23": 3}, "1.1.0");\n',
    ],
)
def test_a_damaged_script_is_made_again(archive: Archive, content: bytes) -> None:
    """A script that was cut or overwritten is replaced by the next minute, with what the archive knows of the hour."""
    publish(archive, NOON)
    archive.files.put("2026-11-23/12.js", content)
    archive.files.put("calendar.js", content)
    publish(archive, NOON + MINUTE)
    assert list(told(archive, "2026-11-23/12"))[-1] == "01"
    if content:
        assert list(told(archive, "2026-11-23/12")) == ["00", "01"]
    page.refresh(archive, [NOON.date()])
    assert told(archive, "calendar") == {"2026-11-23": [2, 0]}


def test_an_hour_that_a_killed_run_did_not_finish_is_completed(archive: Archive) -> None:
    """Pictures that were stored and not told of are told of by the next catch-up."""
    publish(archive, NOON)
    archive.file_photos({NOON + MINUTE: photo_of(NOON + MINUTE)}, ("art",))
    archive.put_picture(NOON + MINUTE, photo_of(NOON + MINUTE), PICTURE)
    page.mend(archive, [NOON, NOON + MINUTE])
    assert list(told(archive, "2026-11-23/12")) == ["00", "01"]


def test_the_next_hour_shows_what_the_one_before_lacks(archive: Archive) -> None:
    """A picture that was stored and not told of is told of by the first minute of the next hour, and the rest stays."""
    publish(archive, NOON)
    archive.file_photos({NOON + MINUTE: photo_of(NOON + MINUTE)}, ("art",))
    archive.put_picture(NOON + MINUTE, photo_of(NOON + MINUTE), PICTURE)
    publish(archive, NOON + 2 * MINUTE)
    assert list(told(archive, "2026-11-23/12")) == ["00", "02"]
    publish(archive, NOON + 61 * MINUTE)
    assert list(told(archive, "2026-11-23/12")) == ["00", "01", "02"]
    assert list(told(archive, "2026-11-23/13")) == ["01"]


def test_without_a_picture_the_page_says_so(archive: Archive) -> None:
    """A page made before any picture is stored says that there is none."""
    page.mend(archive, [])
    assert "No picture yet" in text(archive, "index.html")
    assert told(archive, "newest") == {"minute": None, "first": None, "pruned": None, "demo": False, "version": "1.1.0"}


def test_the_page_knows_samples(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of samples is told so, and puts the key of the sandbox before the commands that it shows."""
    monkeypatch.setenv("UNSPLASH_API_KEY", "DEMO_KEY")
    page.mend(archive, [])
    assert told(archive, "newest")["demo"] is True


def test_a_new_version_of_the_page_comes_with_the_next_minute(archive: Archive) -> None:
    """Files of the page that another version wrote are replaced by the next picture."""
    publish(archive, NOON)
    archive.files.put("page.js", b"an older one")
    archive.files.put("2026-11-23/12.js", text(archive, "2026-11-23/12.js").replace('"1.1.0");', '"1.0.9");').encode())
    publish(archive, NOON + MINUTE)
    assert text(archive, "page.js") != "an older one"


def publish_some(root: str, first: int) -> None:
    """Publish every fourth minute of an hour."""
    publish(Archive(root), *(NOON + number * MINUTE for number in range(first, 60, 4)))


def test_runs_at_once_end_with_an_hour_of_everything(archive: Archive) -> None:
    """Four processes that store and publish an hour between them leave a script that tells of all of it."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(publish_some, [(archive.files.path(""), first) for first in range(4)])
    assert len(told(archive, "2026-11-23/12")) == 60
    assert archive.files.get("latest.jpg") == PICTURE
    assert "12:59 UTC" in text(archive, "index.html")


def test_the_calendar_counts_the_last_hour_of_a_day(archive: Archive) -> None:
    """The first minute of a day counts the day before once more; after an outage, all days since are counted."""
    day = timedelta(days=1)
    midnight = NOON.replace(hour=0)
    publish(archive, *(midnight - number * MINUTE for number in (61, 60, 1)), midnight)
    assert told(archive, "calendar") == {"2026-11-22": [3, 0], "2026-11-23": [1, 0]}
    archive.put_failure(midnight + MINUTE, "StoreImage: a reason")
    archive.put_failure(midnight + day, "StoreImage: a reason")
    publish(archive, midnight + 2 * MINUTE, midnight + 2 * day)
    assert told(archive, "calendar") == {"2026-11-22": [3, 0], "2026-11-23": [2, 1], "2026-11-24": [0, 1], "2026-11-25": [1, 0]}
