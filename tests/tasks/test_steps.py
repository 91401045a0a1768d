"""What the three tasks do, as plain functions: a minute is stored without any of Luigi's machinery."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipeline import minutes, sandbox, settings, steps
from pipeline.archive import Archive
from pipeline.errors import PhotoGone, PhotoReplaced
from tests.conftest import Project, WatchedSandbox, status
from tests.processes import STORED

MIDDAY = datetime(2026, 11, 23, 12, 5)


def wanted() -> settings.unsplash:
    return settings.unsplash()


def test_a_minute_by_plain_calls(asking: WatchedSandbox, archive: Archive, tmp_path: Path) -> None:
    """The three steps of a minute, one after the other, store all that a run of the three tasks stores."""
    steps.fetch_metadata(MIDDAY, archive, wanted())
    address = steps.extract_url(MIDDAY, archive, wanted())
    shown, _ = steps.store_image(MIDDAY, archive, wanted())
    photo = archive.photo(MIDDAY)
    assert address == archive.address(MIDDAY) == photo["urls"]["regular"]
    assert archive.content(MIDDAY, ".jpg") == sandbox.drawing(photo["id"], 1080)
    assert photo["pipeline"]["credit"]["photographer"].replace("&", "&amp;") in shown
    assert {path.relative_to(tmp_path / "data").as_posix() for path in (tmp_path / "data").rglob("*")} >= STORED
    assert [len(asking.requests(word)) for word in ("/random", "/photo-", "/download")] == [1, 1, 1]


def test_no_part_of_luigi_runs_them(project: Project) -> None:
    """In a process in which Luigi can neither build, run, work nor schedule, the steps store a minute."""
    (project.folder / "plain.py").write_text(
        "import luigi.scheduler, luigi.worker\n"
        "from pipeline import minutes, settings, steps\n"
        "luigi.build = luigi.run = luigi.worker.Worker = luigi.scheduler.Scheduler = None\n"
        "minute = minutes.MinuteParameter().parse('2026-11-23T1205')\n"
        "wanted = settings.unsplash_settings()\n"
        "for step in (steps.fetch_metadata, steps.extract_url, steps.store_image):\n"
        "    step(minute, settings.archive(), wanted)\n"
    )
    run = project.run("plain")
    assert (run.returncode, run.stderr) == (0, "")
    assert project.files() >= STORED


def test_an_address_without_a_photo(archive: Archive) -> None:
    """A step whose minute has lost what the step before made says so, by the error that has the task tried again."""
    with pytest.raises(PhotoReplaced):
        steps.extract_url(MIDDAY, archive, wanted())
    with pytest.raises(PhotoReplaced):
        steps.store_image(MIDDAY, archive, wanted())


@pytest.mark.parametrize("lost", [{}, {"links": None, "user": "nobody"}])
def test_metadata_that_lost_its_links(asking: WatchedSandbox, archive: Archive, lost: dict[str, object]) -> None:
    """A picture is stored though its metadata was spoilt meanwhile, and shown without what was lost."""
    steps.fetch_metadata(MIDDAY, archive, wanted())
    photo = archive.photo(MIDDAY)
    spoilt = {name: value for name, value in photo.items() if name not in ("links", "user")} | lost
    archive.files.put("2026-11-23/1205.json", json.dumps(spoilt).encode())
    steps.extract_url(MIDDAY, archive, wanted())
    shown, _ = steps.store_image(MIDDAY, archive, wanted())
    assert "kB" in shown
    assert archive.has_picture(MIDDAY)


def test_a_picture_that_is_gone(asking: WatchedSandbox, archive: Archive) -> None:
    """A photo whose picture cannot be had is dropped with its address, and the minute is open again."""
    steps.fetch_metadata(MIDDAY, archive, wanted())
    steps.extract_url(MIDDAY, archive, wanted())
    asking.instead = lambda target: status(410) if "/photo-" in target else None
    with pytest.raises(PhotoGone):
        steps.store_image(MIDDAY, archive, wanted())
    assert archive.photo(MIDDAY) == {}
    assert archive.address(MIDDAY) == ""
    assert list(archive.open_minutes([MIDDAY], wanted().topics)) == [MIDDAY]


@pytest.mark.parametrize("distance", [timedelta(minutes=2), timedelta(days=1), timedelta(days=3650)])
def test_a_minute_later_than_now(asking: WatchedSandbox, archive: Archive, tmp_path: Path, distance: timedelta) -> None:
    """A picture that is ahead of the clock is stored and never shown as the newest, nor does it keep a newer one from it."""
    ahead, present = minutes.present_minute() + distance, minutes.present_minute()
    for minute in (MIDDAY, ahead, present):
        steps.fetch_metadata(minute, archive, wanted())
        steps.extract_url(minute, archive, wanted())
        steps.store_image(minute, archive, wanted())
        newest = max(MIDDAY, present if minute == present else MIDDAY)
        assert archive.newest() == newest
        assert (tmp_path / "data/latest.jpg").read_bytes() == archive.content(newest, ".jpg")
        assert (
            archive.local_path(newest).relative_to(tmp_path / "data").as_posix() in (tmp_path / "data/index.html").read_text()
        )
        shown = (tmp_path / "data/newest.js").read_text()
        assert json.loads(shown.partition(", ")[2].rpartition(", ")[0])["minute"] == minutes.name(newest)
    assert archive.ahead() == [ahead]
    assert archive.content(ahead, ".jpg")
