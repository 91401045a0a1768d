"""The pages as files: what they show, when they are written, and that the last one written shows everything."""

import functools
import io
import json
import multiprocessing
import re
from datetime import datetime, timedelta
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from pipeline import gallery, jpeg, sandbox, unsplash
from pipeline.minutes import MINUTE, name
from pipeline.storage import Store
from tests.conftest import Project

NOON = datetime(2026, 11, 23, 12)
TOPICS = ("history", "life", "wisdom", "art", "office", "nature")
HOSTILE = """"><img src=x onerror="document.title='hurt'"><script>document.title='hurt'</script>' & \ud800"""


@functools.cache
def drawing(photo_id: str, width: int) -> bytes:
    """Return a sample picture."""
    return sandbox.drawing(photo_id, width)


def photo_of(minute: datetime, **changes: Any) -> unsplash.Photo:
    """Return the metadata of a sample photo, as FetchMetadata files it; the minute determines it."""
    photo_id = f"{minute:%y%m%d-%H%M}"
    topic = TOPICS[minute.minute % 6]
    answer = sandbox.Sandbox().answer(f"/photos/{photo_id}", {"Authorization": "Client-ID key"})
    photo: unsplash.Photo = json.loads(answer.body) | changes
    credit = unsplash.credit(photo, "picture_a_minute")
    return photo | {
        "pipeline": {"topic": topic, "minute": name(minute), "fetched_at": f"{minute.isoformat()}Z", "credit": credit}
    }


def keep(store: Store, minute: datetime, width: int = 240, **changes: Any) -> jpeg.Picture:
    """Keep a minute's picture and metadata, as a run does; `changes` are of the photo."""
    photo = photo_of(minute, **changes)
    store.metadata(minute).write(json.dumps(photo))
    data = drawing(photo["id"], width)
    with store.picture(minute).replacing() as file:
        file.write(data)
    return jpeg.picture(io.BytesIO(data))


def publish(store: Store, *minutes: datetime, **changes: Any) -> None:
    """Keep and publish a picture for each minute, one after the other."""
    for minute in minutes:
        gallery.publish(store, minute, keep(store, minute, **changes))


def fill(store: Store, start: datetime, stop: datetime, **changes: Any) -> list[datetime]:
    """Keep a picture for each minute from start to before stop, and write the pages once."""
    minutes = [start + number * MINUTE for number in range((stop - start) // MINUTE)]
    with store.written_together():
        publish(store, *minutes, **changes)
    gallery.write_pages(store, minutes)
    return minutes


def fail(store: Store, minute: datetime, reason: str) -> None:
    """Keep a minute's failure."""
    store.failure(minute).write(f"{minute.isoformat()}Z {reason}\n")


def index(store: Store) -> str:
    """Return index.html."""
    return (store.files.local_path("") / "index.html").read_text()


def day_page(store: Store, day: str) -> str:
    """Return the page of a day."""
    return (store.files.local_path("") / day / "index.html").read_text()


def head(page: str) -> str:
    """Return the minute of the picture that a page shows large, as `2026-11-23/1205`."""
    found = re.search(r'<figure>\s*<a href="([^"]*)\.jpg">', page)
    assert found, page
    return found[1]


def shown(page: str) -> list[str]:
    """Return the minutes that a page shows small, as `12:05`."""
    return re.findall(r"<li><div>.*?<b>([0-9:]{5})</b>", page)


def gaps(page: str) -> dict[str, str]:
    """Return the reasons of the gaps that a page shows."""
    return {
        minute: unescape(reason)
        for minute, reason in re.findall(r'class="gap"><div><p><b>(.{5})</b> no picture<br>(.*?)</p>', page)
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data")


def test_a_run_shows_its_picture(project: Project) -> None:
    """After a run the page and latest.jpg show its picture, and its thumbnail stands beside it."""
    run = project.store("2026-11-23T1205")
    assert run.returncode == 0, run.stderr
    assert head(index(Store(project.root))) == "2026-11-23/1205"
    assert (project.root / "latest.jpg").read_bytes() == (project.root / "2026-11-23" / "1205.jpg").read_bytes()
    thumbnail = (project.root / "2026-11-23" / "thumb" / "1205.jpg").read_bytes()
    assert jpeg.THUMBNAIL_PIXELS <= max(jpeg.picture(io.BytesIO(thumbnail))[:2]) <= jpeg.MAX_THUMBNAIL_PIXELS


def test_the_credit_is_shown_with_both_links_beside_topic_and_time(store: Store) -> None:
    """The head shows the photographer and Unsplash, both linked with utm parameters, the topic and the time in UTC."""
    publish(store, NOON)
    photo = store.metadata(NOON).read()
    caption = re.search(r"<figcaption>(.*)</figcaption>", index(store))
    assert caption
    assert gallery.credit_html(photo) in caption[1]
    assert re.findall(r'href="(.*?)\?utm_source=picture_a_minute&amp;utm_medium=referral"', caption[1]) == [
        photo["user"]["links"]["html"],
        "https://unsplash.com/",
    ]
    assert " · history · " in caption[1]
    assert '<time datetime="2026-11-23T12:00:00Z">2026-11-23 12:00 UTC</time>' in caption[1]


def test_without_a_picture_the_page_says_so(store: Store) -> None:
    """A page written before any picture is stored says that there is none."""
    store.files.local_path("").mkdir()
    gallery.write_pages(store, [])
    assert "No picture yet" in index(store)


def test_a_late_minute_never_becomes_the_head(store: Store) -> None:
    """A minute stored after a later one is shown in its place among the small pictures, and the head stays."""
    publish(store, NOON, NOON + 2 * MINUTE, NOON + MINUTE)
    assert head(index(store)) == "2026-11-23/1202"
    assert shown(index(store)) == ["12:00", "12:01", "12:02"]


def test_the_last_hour_is_the_hour_before_the_newest(store: Store) -> None:
    """The page shows the 60 minutes that end with the newest picture, over midnight too."""
    midnight = datetime(2026, 11, 24)
    fill(store, midnight - 65 * MINUTE, midnight + MINUTE)
    assert shown(index(store)) == [f"23:{number:02}" for number in range(1, 60)] + ["00:00"]


def test_a_gap_says_why(store: Store) -> None:
    """A minute without a picture is a gap with the reason of its last failure, or without one if no run failed."""
    publish(store, NOON, NOON + 3 * MINUTE)
    fail(store, NOON + MINUTE, "StoreImage: <unsplash> & co: no answer")
    gallery.write_pages(store, [])
    assert gaps(index(store)) == {"12:01": "StoreImage: <unsplash> & co: no answer", "12:02": ""}
    assert "<unsplash>" not in index(store)


def test_an_hour_that_begins_with_a_gap_shows_it(store: Store) -> None:
    """A gap at the beginning of the hour is shown if there is any picture before it, and is no gap before the first picture."""
    publish(store, NOON, NOON + 80 * MINUTE)
    assert len(gaps(index(store))) == 59
    (store.files.local_path("") / "2026-11-23" / "1200.jpg").unlink()
    gallery.write_pages(store, [])
    assert gaps(index(store)) == {}


def test_what_comes_from_outside_stays_text(store: Store) -> None:
    """Markup in names and descriptions is escaped, and what is no Unicode is replaced."""
    user = {"name": HOSTILE, "username": "x", "links": {"html": f"https://unsplash.com/{HOSTILE}"}}
    publish(store, NOON, user=user, alt_description=HOSTILE)
    for page in (index(store), day_page(store, "2026-11-23")):
        assert escape(HOSTILE).replace("\ud800", "?") in page
        assert "<img src=x" not in page
        assert "<script>document" not in page


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "//host/x", "JaVaScRiPt:x"]
)
def test_only_an_address_of_the_web_is_a_link(address: str) -> None:
    """An address that is neither http nor https is not linked: its text alone is shown."""
    assert gallery.link(address, "A & B") == "A &amp; B"


@pytest.mark.parametrize("metadata", ["", "{}", '{"id": "x", "urls": {"full": "x"}, "pipeline": {"credit": {"text": "x"}}}'])
def test_damaged_metadata_costs_its_credit_only(store: Store, metadata: str) -> None:
    """A picture whose metadata was lost or damaged is still shown."""
    publish(store, NOON, NOON + MINUTE)
    Path(store.metadata(NOON + MINUTE).path).write_text(metadata)
    gallery.write_pages(store, [])
    assert head(index(store)) == "2026-11-23/1201"
    assert shown(index(store)) == ["12:00", "12:01"]


def test_a_picture_without_a_thumbnail_is_shown_itself(store: Store) -> None:
    """Where a thumbnail is missing, as after a kill before it was written, the picture takes its place."""
    keep(store, NOON)
    publish(store, NOON + MINUTE)
    assert re.findall(r'src="([^"]*)" alt="[^"]*" loading', index(store)) == [
        "2026-11-23/1200.jpg",
        "2026-11-23/thumb/1201.jpg",
    ]


def test_a_day_is_24_rows_of_60(store: Store) -> None:
    """The day's page has a place for each minute; what it shows links to files that are there."""
    fill(store, NOON, NOON + timedelta(hours=2))
    page = day_page(store, "2026-11-23")
    rows = re.findall(r'<section class="row">(.*?)</section>', page)
    assert [row.count("<li") for row in rows] == [60] * 24
    addresses = re.findall(r'(?:href|src)="([^"]*)"', page)
    linked = [address for address in addresses if not address.startswith(("https:", "data:"))]
    assert len(linked) == 2 * 120 + 1
    assert all((store.files.local_path("") / "2026-11-23" / path).exists() for path in linked)


def test_the_day_is_written_when_an_hour_is_over(store: Store) -> None:
    """The first picture of an hour brings the hour before onto the day's page; the pictures between leave the page alone."""
    publish(store, NOON, NOON + MINUTE, NOON + 59 * MINUTE)
    assert shown(day_page(store, "2026-11-23")) == ["12:00"]
    publish(store, NOON + 62 * MINUTE)
    assert shown(day_page(store, "2026-11-23")) == ["12:00", "12:01", "12:59", "13:02"]


def test_a_late_picture_is_brought_onto_its_day(store: Store) -> None:
    """A picture stored after its hour is over is on its day's page at once."""
    publish(store, NOON, NOON + 60 * MINUTE, NOON + 30 * MINUTE)
    assert shown(day_page(store, "2026-11-23")) == ["12:00", "12:30", "13:00"]


def test_the_last_hour_of_a_day_is_written_on_the_next(store: Store) -> None:
    """The first picture of a day completes the page of the day before, and the two link to each other."""
    last = datetime(2026, 11, 23, 23, 1)
    publish(store, last - MINUTE, last, last + 59 * MINUTE)
    assert shown(day_page(store, "2026-11-23")) == ["23:00", "23:01"]
    assert 'href="../2026-11-24/index.html"' in day_page(store, "2026-11-23")
    assert 'href="../2026-11-23/index.html"' in day_page(store, "2026-11-24")


def test_a_day_filled_later_is_linked_by_its_neighbours(store: Store) -> None:
    """A catch-up that gives a day its first picture puts it between the days before and after it."""
    day = timedelta(days=1)
    publish(store, NOON, NOON + 2 * day)
    assert 'href="../2026-11-25/index.html" rel="next"' in day_page(store, "2026-11-23")
    publish(store, NOON + day)
    assert 'href="../2026-11-24/index.html" rel="next"' in day_page(store, "2026-11-23")
    assert 'href="../2026-11-24/index.html" rel="prev"' in day_page(store, "2026-11-25")
    assert re.findall(r'href="\.\./(.{10})/', day_page(store, "2026-11-24")) == ["2026-11-23", "2026-11-25"]


def test_pages_can_wait_for_the_end_of_many_pictures(store: Store) -> None:
    """Of pictures stored inside `written_together` only thumbnails are written, at its end."""
    with store.written_together():
        publish(store, NOON)
        assert not (store.files.local_path("") / "2026-11-23" / "thumb").exists()
    assert not list(store.files.local_path("").rglob("*.html"))
    assert not (store.files.local_path("") / "latest.jpg").exists()
    assert (store.files.local_path("") / "2026-11-23" / "thumb" / "1200.jpg").exists()
    publish(store, NOON + MINUTE)
    assert shown(index(store)) == ["12:00", "12:01"]
    assert (store.files.local_path("") / "latest.jpg").exists()


def test_other_names_under_root_are_no_days(store: Store) -> None:
    """Folders and files that are no day and no minute are passed over."""
    publish(store, NOON)
    for path in ("2026-99-99", "notes", "9999-01-01/x.jpg", "2026-11-24/9999.jpg", "2026-11-25/1200.jpg"):
        (store.files.local_path("") / path).mkdir(parents=True) if "." not in path else _touch(
            store.files.local_path("") / path
        )
    assert store.newest_minute() == NOON


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


class OvertakenStore(Store):
    """Files among which another run stores a minute, and writes its pages, just before this run's page takes its place."""

    def write(self, name: str, *arguments: Any, **options: Any) -> None:
        if name.endswith("index.html") and not self.picture(NOON + MINUTE).exists():
            publish(Store(self.files.local_path("")), NOON + MINUTE)
        super().write(name, *arguments, **options)


def test_a_page_that_was_overtaken_does_not_take_the_later_ones_place(tmp_path: Path) -> None:
    """A run that read what is stored before another run stored more leaves the other's page in place."""
    store = OvertakenStore(tmp_path / "data")
    publish(store, NOON)
    assert head(index(store)) == "2026-11-23/1201"
    assert shown(index(store)) == ["12:00", "12:01"]


def test_runs_at_once_end_with_a_page_of_everything(store: Store) -> None:
    """Four processes that store and publish an hour between them leave a page that shows all of it."""
    hour = [NOON + number * MINUTE for number in range(60)]
    processes = [
        multiprocessing.get_context("spawn").Process(target=publish, args=(store, *hour[number::4])) for number in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert shown(index(store)) == [f"12:{number:02}" for number in range(60)]
