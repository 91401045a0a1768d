"""`python -m pipeline keep` and `ban`: favourites, and pictures not to see again."""

import json
from typing import Any

import pytest

from pipeline import minutes
from pipeline.archive import Archive
from pipeline.minutes import MINUTE
from tests import servers
from tests.conftest import Project, WatchedSandbox

SPAN = ("--start", "2026-11-20T0000", "--stop", "2026-11-20T0006")


@pytest.fixture
def archive(project: Project) -> Archive:
    """Return the project's archive, with six minutes stored."""
    assert project.run("pipeline", "catch-up", *SPAN).returncode == 0
    return Archive(project.root)


def told(archive: Archive, script: str) -> Any:
    """Return what a script tells the page."""
    return json.loads(f"[{(archive.files.get(script) or b'').decode()[len('pictureAMinute(') : -3]}]")[1]


def test_a_favourite_is_shown_and_never_pruned(project: Project, archive: Archive) -> None:
    """`keep` says what it did; the page is told, prune passes the picture over, and `--undo` takes it back."""
    run = project.run("pipeline", "keep", "2026-11-20T0002")
    assert (run.returncode, run.stdout) == (0, "2026-11-20T0002 is a favourite: it is never pruned\n")
    assert told(archive, "favourites.js") == ["2026-11-20T0002"]
    project.configure(keep_days="1")
    assert project.run("pipeline", "prune").returncode == 0
    assert sorted(path.name for path in project.root.glob("2026-11-20/*.jpg")) == ["0002.jpg", "0005.jpg"]
    assert [minute for minute, entry in told(archive, "2026-11-20/00.js").items() if "id" in entry] == ["02", "05"]
    assert project.run("pipeline", "keep", "--undo", "2026-11-20T0002").stdout == "2026-11-20T0002 is no favourite any more\n"
    assert told(archive, "favourites.js") == []
    assert project.run("pipeline", "prune").returncode == 0
    assert [path.name for path in project.root.glob("2026-11-20/*.jpg")] == ["0005.jpg"]


@pytest.mark.ci
def test_the_newest_is_meant_if_none_is_named(project: Project, archive: Archive) -> None:
    """Without a minute `keep` and `ban` are about the newest picture; the one before it is the newest then."""
    assert "2026-11-20T0005" in project.run("pipeline", "keep").stdout
    assert "2026-11-20T0005 is removed" in project.run("pipeline", "ban").stdout
    assert b"00:04 UTC" in (archive.files.get("index.html") or b"")
    assert (project.root / "latest.jpg").read_bytes() == (project.root / "2026-11-20/0004.jpg").read_bytes()
    assert told(archive, "favourites.js") == []


def test_a_banned_photo_never_comes_back(project: Project, archive: Archive, api: WatchedSandbox) -> None:
    """`ban` removes the picture, its photo is not given again though it is on offer, and a catch-up stores another."""
    minute = "2026-11-20T0003"
    banned = json.loads((project.root / "2026-11-20/0003.json").read_bytes())["id"]
    run = project.run("pipeline", "ban", minute)
    assert run.returncode == 0, run.stderr
    another = f"catch-up --start {minute} --stop 2026-11-20T0004 stores another"
    assert run.stdout == f"{minute} is removed and its photo, {banned}, is never given again: {another}\n"
    assert [path.name for path in project.root.glob("2026-11-20/**/0003.*")] == []
    assert "03" not in told(archive, "2026-11-20/00.js")
    assert archive.give([banned, "another"], [minutes.EPOCH], 0) == {minutes.EPOCH: "another"}
    assert project.run("pipeline", "catch-up", *SPAN).returncode == 0
    assert json.loads((project.root / "2026-11-20/0003.json").read_bytes())["id"] != banned
    assert "may be given again" in project.run("pipeline", "ban", "--undo", minute).stdout
    assert archive.give([banned], [minutes.EPOCH + MINUTE], 0) == {minutes.EPOCH + MINUTE: banned}


def test_every_photo_that_a_minute_had_can_be_banned(project: Project, archive: Archive) -> None:
    """A minute's second ban leaves the first; --undo allows all that the minute had, and wants to know which minute."""
    banned = []
    for _ in range(2):
        banned.append(json.loads((project.root / "2026-11-20/0003.json").read_bytes())["id"])
        assert project.run("pipeline", "ban", "2026-11-20T0003").returncode == 0
        assert project.run("pipeline", "catch-up", *SPAN).returncode == 0
    assert archive.give([*banned, "another"], [minutes.EPOCH], 0) == {minutes.EPOCH: "another"}
    for arguments in ((), ("2026-11-20T0002",)):
        run = project.run("pipeline", "ban", "--undo", *arguments)
        assert (run.returncode, len(run.stderr.splitlines())) == (30, 1)
    assert project.run("pipeline", "ban", "--undo", "2026-11-20T0003").returncode == 0
    assert archive.give(banned, [minutes.EPOCH + MINUTE], 0) == {minutes.EPOCH + MINUTE: banned[0]}


@pytest.mark.parametrize("command", ["a minute", "a catch-up"])
def test_a_banned_photo_that_was_filed_before_is_not_stored(project: Project, archive: Archive, command: str) -> None:
    """Where the banned photo, or its address, waits for another minute, that minute has another photo."""
    photo, waiting = archive.photo(minutes.minute_in("2026-11-20T0003")), minutes.minute_in("2026-11-19T1200")
    archive.file_photos({waiting: photo}, [photo["pipeline"]["topic"]])
    archive.put_address(waiting, photo["urls"]["regular"])
    assert project.run("pipeline", "ban", "2026-11-20T0003").returncode == 0
    if command == "a minute":
        run = project.store("2026-11-19T1200")
    else:
        run = project.run("pipeline", "catch-up", "--start", "2026-11-19T1159", "--stop", "2026-11-19T1201")
    assert run.returncode == 0, run.stderr
    assert archive.has_picture(waiting)
    assert archive.photo(waiting)["id"] != photo["id"]


def test_an_answer_of_banned_photos_alone(minute: Project, faulty: servers.Server) -> None:
    """The next try asks for others; where all are banned each time, the minute has its reason."""
    minute.root.mkdir()
    (minute.root / "banned").write_text("2026-11-20T0003 bannedbanne\n")
    banned = servers.changes_photo(lambda photo: photo.update(id="bannedbanne"))
    faulty.breaks("photos", banned, times=1)
    run = minute.store("2026-11-19T1200")
    assert run.returncode == 0, run.stderr
    assert "every one is banned (try 1 of 3" in run.stderr and "repeats" not in run.stderr
    faulty.breaks("photos", banned)
    run = minute.run("pipeline", "catch-up", "--start", "2026-11-19T1100", "--stop", "2026-11-19T1101")
    assert run.returncode == 30
    assert "every one is banned" in run.stderr
    assert "every one is banned" in (minute.root / "2026-11-19/1100.error").read_text()


def test_a_favourite_that_is_gone_can_be_taken_back(project: Project, archive: Archive) -> None:
    """Whether its picture is there or not; what is no favourite is said to be none."""
    project.run("pipeline", "keep", "2026-11-20T0002")
    (project.root / "2026-11-20/0002.jpg").unlink()
    assert project.run("pipeline", "keep", "--undo", "2026-11-20T0002").returncode == 0
    assert told(archive, "favourites.js") == []
    assert project.run("pipeline", "keep", "--undo", "2026-11-20T0002").returncode == 30


@pytest.mark.parametrize("content", ["\ufeff{}", "{} and more", "é{}"])
def test_choices_that_cannot_be_read(project: Project, archive: Archive, content: str) -> None:
    """A file of favourites or bans that cannot be read undoes none of them: prune removes nothing, and the file is named."""
    project.run("pipeline", "keep", "2026-11-20T0002")
    path = project.root / "kept"
    path.write_text(content.format(path.read_text()))
    project.configure(keep_days="1")
    before = project.files()
    for command in (("prune",), ("keep", "2026-11-20T0001"), ("keep", "--undo", "2026-11-20T0002")):
        run = project.run("pipeline", *command)
        assert (run.returncode, len(run.stderr.splitlines())) == (30, 1), run.stderr
        assert str(path.name) in run.stderr
    assert project.files() - {"pruned-before"} == before


@pytest.mark.ci
def test_a_picture_deleted_by_hand_can_be_banned(project: Project, archive: Archive) -> None:
    """What the user has deleted comes back as another photo, not as the same."""
    before = json.loads((project.root / "2026-11-20/0001.json").read_bytes())["id"]
    (project.root / "2026-11-20/0001.jpg").unlink()
    assert project.run("pipeline", "ban", "2026-11-20T0001").returncode == 0
    assert project.run("pipeline", "catch-up", *SPAN).returncode == 0
    assert json.loads((project.root / "2026-11-20/0001.json").read_bytes())["id"] != before


@pytest.mark.parametrize("verb", ["keep", "ban"])
def test_what_is_not_there_is_said(project: Project, verb: str) -> None:
    """Where nothing is stored, or nothing of that minute, one line says so."""
    for minute in ((), ("2026-11-19T0000",)):
        run = project.run("pipeline", verb, *minute)
        assert run.returncode == 30
        assert len(run.stderr.splitlines()) == 1
