"""`python -m pipeline prune`: old pictures go and stay away, and nothing else does."""

import os
import time
from pathlib import Path

import pytest

from pipeline import minutes, page
from pipeline.archive import Archive
from pipeline.tasks import StoreImage
from tests.conftest import Project, untimed
from tests.upkeep.stored import ALL, DAY, MINUTE, days_ago, files, put, there


def test_an_empty_root_is_well(project: Project) -> None:
    """Where nothing is stored there is nothing wrong and nothing to prune; no folder is made."""
    project.configure(keep_days="1")
    assert project.run("pipeline", "verify").returncode == 0
    assert project.run("pipeline", "prune").returncode == 0
    assert not project.root.exists()


def test_nothing_is_pruned_by_default(project: Project, archive: Archive) -> None:
    """As shipped every picture is kept, and prune says so."""
    put(archive, days_ago(4000))
    before = project.files()
    run = project.run("pipeline", "prune")
    assert (run.returncode, run.stderr) == (0, "")
    assert "keep_days is not set" in run.stdout
    assert project.files() == before


def test_pictures_of_older_days_go_and_metadata_stays(project: Project, archive: Archive) -> None:
    """With keep_days = 2 the pictures and thumbnails of today and two days stay; older ones go and are counted."""
    put(archive, *map(days_ago, range(5)))
    put_back = {number: there(archive, days_ago(number)) for number in range(5)}
    project.configure(keep_days="2")
    run = project.run("pipeline", "prune")
    assert (run.returncode, run.stderr) == (0, "")
    assert {number: there(archive, days_ago(number)) for number in range(5)} == {
        **put_back,
        3: {"json", "txt"},
        4: {"json", "txt"},
    }
    assert run.stdout.endswith(" MB: other files 1, pictures 3, thumbnails 3\n")
    assert (project.root / "pruned-before").read_text() == f"{days_ago(2).date()}\n"
    assert not (project.root / days_ago(3).date().isoformat() / "thumb").exists()


def test_a_dry_run_says_the_same_and_changes_nothing(project: Project, archive: Archive) -> None:
    """--dry-run counts what would go; no file is removed or written."""
    put(archive, days_ago(9), days_ago(0))
    project.configure(keep_days="2")
    before = project.files()
    would = untimed(project.run("pipeline", "prune", "--dry-run").stdout)
    assert project.files() == before
    did = untimed(project.run("pipeline", "prune").stdout)
    assert would.startswith("would free ")
    assert would.removeprefix("would free ") == did.removeprefix("freed ")


def test_everything_takes_the_metadata_too(project: Project, archive: Archive) -> None:
    """--everything leaves no folder of a day; only the list of photos given lately stays, lest they come again."""
    put(archive, days_ago(100), days_ago(9), days_ago(0))
    for number in (100, 9):
        (project.root / days_ago(number).date().isoformat() / "given").write_text("1200 abcdefghijk\n")
        files(archive, days_ago(number))["error"].write_text("2026-01-01T00:00:00Z StoreImage: no\n")
    project.configure(keep_days="2")
    assert project.run("pipeline", "prune", "--everything").returncode == 0
    assert not (project.root / days_ago(100).date().isoformat()).exists()
    assert os.listdir(project.root / days_ago(9).date().isoformat()) == ["given"]
    assert there(archive, days_ago(0)) == ALL


@pytest.mark.one_in(2)
@pytest.mark.parametrize("options", [[], ["--everything"]])
def test_the_newest_picture_never_goes(project: Project, archive: Archive, options: list[str]) -> None:
    """A pipeline that stood still for longer than keep_days keeps its newest picture, with all that belongs to it."""
    newest = days_ago(50)
    put(archive, newest - minutes.MINUTE, newest)
    archive.publish_latest(newest, b"newest")
    project.configure(keep_days="2")
    assert project.run("pipeline", "prune", *options).returncode == 0
    assert there(archive, newest) == ALL
    assert "jpg" not in there(archive, newest - minutes.MINUTE)
    assert (project.root / "latest.jpg").exists()


def test_what_is_pruned_is_not_missing(project: Project, archive: Archive) -> None:
    """Minutes before the first kept day are complete for RangeByMinutes and for a catch-up, which asks for none of them."""
    put(archive, days_ago(9), days_ago(0))
    project.configure(keep_days="2")
    project.run("pipeline", "prune")
    first_kept = days_ago(2).replace(hour=0)
    span = [first_kept + number * minutes.MINUTE for number in (-2000, -1, 0, 1)]
    assert archive.missing(span[0], first_kept + 2 * minutes.MINUTE) == span[2:]
    assert archive.complete(iter(span)) == span[:2]
    start, stop = minutes.name(first_kept - 5 * DAY), minutes.name(first_kept)
    before = project.files()
    catch_up = project.run("pipeline", "catch-up", "--start", start, "--stop", stop)
    assert catch_up.returncode == 0, catch_up.stderr
    assert f"what is missing before {minutes.name(first_kept)} was pruned, and stays missing" in catch_up.stderr
    assert project.files() == before
    assert "bulk_complete" in vars(StoreImage)


def test_the_day_before_which_is_pruned_never_moves_back(project: Project, archive: Archive) -> None:
    """With keep_days raised afterwards, what was pruned already stays so."""
    put(archive, days_ago(9), days_ago(0))
    for keep_days in ("2", "7"):
        project.configure(keep_days=keep_days)
        project.run("pipeline", "prune")
    assert archive.pruned_before() == days_ago(2).replace(hour=0)


def test_a_clock_that_jumped_ahead(project: Project, archive: Archive) -> None:
    """Where the newest picture is more than a year old nothing is pruned, and one line says so."""
    put(archive, days_ago(400), days_ago(367))
    project.configure(keep_days="2")
    files(archive, MINUTE)["jpg"].unlink()
    before = project.files()
    run = project.run("pipeline", "prune")
    assert (run.returncode, len(run.stderr.splitlines())) == (30, 1), run.stderr
    assert "nothing is pruned, as the clock may be wrong" in run.stderr
    assert project.files() == before


def test_what_was_pruned_by_a_fast_clock(project: Project, archive: Archive) -> None:
    """A day to come in ROOT/pruned-before would hide what is missing: who asks for that is told, and not that all is well."""
    put(archive, days_ago(0))
    (project.root / "pruned-before").write_text(f"{days_ago(-2).date()}\n")
    for verb in ("status", "catch-up", "prune"):
        project.configure(keep_days="2")
        run = project.run("pipeline", verb)
        assert (run.returncode, len(run.stderr.splitlines())) == (30, 1), run.stderr
        assert "which is to come: the clock is wrong, or was" in run.stderr
    assert project.store(minutes.name(days_ago(1))).returncode == 0


def test_nothing_goes_before_it_is_written_down(project: Project, archive: Archive) -> None:
    """Where ROOT/pruned-before cannot be written nothing is removed, and one line says why."""
    put(archive, days_ago(9), days_ago(0))
    project.configure(keep_days="2")
    (project.root / "pruned-before").mkdir()
    before = project.files()
    run = project.run("pipeline", "prune")
    assert run.returncode == 30
    assert run.stderr.count("\n") == 1
    assert "Is a directory" in run.stderr
    assert project.files() == before


def test_leftovers_go(project: Project, archive: Archive) -> None:
    """Leftovers of killed runs go, keep_days or not; those of a run of now stay."""
    kept = files(archive, MINUTE)
    old = [folder / leftover(2) for folder in (project.root, kept["jpg"].parent, kept["thumb"].parent)]
    fresh = kept["jpg"].parent / leftover(0)
    for file in (*old, fresh):
        file.write_bytes(bytes(1000))
    run = project.run("pipeline", "prune")
    assert (run.returncode, run.stderr) == (0, "")
    assert "leftovers of killed runs 3" in run.stdout
    assert [path.exists() for path in (*old, fresh)] == [False, False, False, True]


def test_empty_folders_go(project: Project, archive: Archive) -> None:
    """An empty folder of a day that is over goes, and that of its thumbnails, keep_days or not; today's stays."""
    old, today = (project.root / f"{days_ago(number).date()}" for number in (9, 0))
    for folder in (old, today):
        (folder / "thumb").mkdir(parents=True)
    assert project.run("pipeline", "prune").returncode == 0
    assert (old.exists(), (today / "thumb").exists()) == (False, True)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("keep_days", ["-1", "99999999"])
def test_a_senseless_keep_days_is_refused(project: Project, archive: Archive, keep_days: str) -> None:
    """keep_days must be a number of days that can be counted back; one line says so and nothing is removed."""
    project.configure(keep_days=keep_days)
    before = project.files()
    run = project.run("pipeline", "prune")
    assert run.returncode == 40
    assert f"keep_days is {keep_days}" in run.stderr
    assert project.files() == before


def test_what_is_shown_leads_to_no_pruned_day(project: Project, archive: Archive) -> None:
    """The page's data of pruned days go, a day's page of version 1.0 too, and the calendar does not lead there."""
    old, kept = days_ago(3), days_ago(2)
    put(archive, old, kept, days_ago(0))
    page.mend(archive, [old, kept, days_ago(0)])
    page_of_old = project.root / f"{old.date()}" / "index.html"
    page_of_old.write_text("<!doctype html>")
    assert f"{old.date()}" in (project.root / "calendar.js").read_text()
    project.configure(keep_days="2")
    assert project.run("pipeline", "prune").returncode == 0
    assert not page_of_old.exists()
    assert sorted(path.parent.name for path in project.root.glob("2*/00.js")) == [f"{kept.date()}", f"{days_ago(0).date()}"]
    for name in ("calendar.js", "newest.js", "index.html"):
        assert f"{old.date()}" not in (project.root / name).read_text()
    assert f"{kept.date()}" in (project.root / "calendar.js").read_text()


STRANGERS = (
    "sunset for grandma.jpg",
    "favourites/keep.jpg",
    "favourites/1201.jpg",
    "1201 (1).jpg",
    "1201.JPG",
    "1201.jpeg",
    "2460.jpg",
    "thumb/1201 (1).jpg",
    "thumb/1201.png",
    "12.js.bak",
    "given (1)",
    ".hidden",
    ".1201.jpg.swp",
)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("options", [[], ["--everything"]])
def test_files_of_the_user_stay(project: Project, archive: Archive, options: list[str]) -> None:
    """In the folder of a pruned day every file with a name that is not ours stays, however old, and is not counted."""
    put(archive, days_ago(9), days_ago(0))
    folder = project.root / f"{days_ago(9).date()}"
    strange = [folder / name for name in STRANGERS]
    write_old(*strange)
    project.configure(keep_days="2")
    run = project.run("pipeline", "prune", *options)
    assert (run.returncode, run.stderr) == (0, "")
    assert [path for path in strange if not path.exists()] == []
    assert run.stdout.endswith("pictures 2, thumbnails 2\n")
    assert there(archive, days_ago(9)) == (set() if options else {"json", "txt"})


@pytest.mark.one_in(2)
@pytest.mark.parametrize("options", [[], ["--everything"]])
def test_a_photo_collection_stays(project: Project, options: list[str]) -> None:
    """Pointed at somebody's photos, in folders by the day or not, prune removes none of them."""
    names = (
        "IMG_0001.jpg",
        "2019-05-01/IMG_0002.jpg",
        "2019-05-01/DSC01201.JPG",
        "2019-05-01/20190501_120500.jpg",
        "2019-05-01/thumb/IMG_0002.jpg",
        "2019-05-01/12-05.jpg",
        "2019/05/1201.jpg",
        "20190501/1201.jpg",
        "2019-5-1/1201.jpg",
        "2019-02-30/1201.jpg",
        "holidays/2019-05-01/1201.jpg",
    )
    write_old(*(project.root / name for name in names))
    project.configure(keep_days="2")
    run = project.run("pipeline", "prune", *options)
    assert (run.returncode, run.stderr) == (0, "")
    assert untimed(run.stdout) == "freed 0.0 MB: nothing to remove\n"
    assert project.files() >= set(names)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("options", [[], ["--everything"]])
def test_nothing_goes_through_a_link(project: Project, archive: Archive, options: list[str]) -> None:
    """Nothing is removed behind a folder of a day or of thumbnails that is a link out of ROOT; one within ROOT is followed."""
    linked, of_thumbnails, within = map(days_ago, (9, 8, 7))
    put(archive, linked, of_thumbnails, within, days_ago(0))
    elsewhere = project.folder / "elsewhere"
    elsewhere.mkdir()
    make_link(project.root / f"{linked.date()}", elsewhere / "day")
    make_link(project.root / f"{of_thumbnails.date()}" / "thumb", elsewhere / "thumb")
    make_link(project.root / f"{within.date()}", project.root / "moved")
    write_old(elsewhere / "day" / leftover(2))
    (elsewhere / "day" / "thumb" / "0000.jpg").rename(elsewhere / "0000.jpg")  # an empty folder stays, too
    make_old(elsewhere / "day" / "thumb")
    behind = sorted(elsewhere.rglob("*"))
    project.configure(keep_days="2")
    run = project.run("pipeline", "prune", *options)
    assert (run.returncode, run.stderr) == (0, "")
    assert sorted(elsewhere.rglob("*")) == behind
    assert "jpg" not in there(archive, within)


def test_a_picture_ahead_of_the_clock_is_not_the_newest(project: Project, archive: Archive) -> None:
    """The newest picture that never goes is the newest that is not later than now."""
    newest = days_ago(50)
    put(archive, newest, days_ago(-400))
    project.configure(keep_days="2")
    assert project.run("pipeline", "prune", "--everything").returncode == 0
    assert there(archive, newest) == there(archive, days_ago(-400)) == ALL


def leftover(hours: float) -> str:
    """Return the name of what a run left that was killed so many hours ago."""
    return f".1205.jpg.{time.time_ns() - int(hours * 3600e9):016x}-{os.getpid():x}"


def write_old(*paths: Path) -> None:
    """Write files that no run of today can have written."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1000))
        make_old(path)


def make_old(path: Path) -> None:
    """Have the file or folder be older than any run."""
    then = path.stat().st_mtime - 2 * 3600
    os.utime(path, (then, then))


def make_link(path: Path, target: Path) -> None:
    """Move the folder, and put a link in its place."""
    path.rename(target)
    path.symlink_to(target, target_is_directory=True)


def test_a_folder_with_the_name_of_a_picture_stays(project: Project, archive: Archive) -> None:
    """It is the user's, and stops nothing."""
    put(archive, days_ago(9), days_ago(8), days_ago(0))
    (files(archive, days_ago(9))["jpg"].parent / "1300.jpg").mkdir()
    project.configure(keep_days="2")
    run = project.run("pipeline", "prune")
    assert (run.returncode, run.stderr) == (0, "")
    assert ["jpg" in there(archive, days_ago(number)) for number in (9, 8, 0)] == [False, False, True]
    assert (files(archive, days_ago(9))["jpg"].parent / "1300.jpg").is_dir()


def test_no_verb_sends_after_what_was_pruned(project: Project, archive: Archive) -> None:
    """A minute that is to be pruned and lost its picture stays missing: nothing says that a catch-up stores it."""
    put(archive, days_ago(9), days_ago(0))
    for minute in (MINUTE, days_ago(9)):
        project.run("pipeline", "keep", minutes.name(minute))
    project.configure(keep_days="0")
    assert project.run("pipeline", "prune").returncode == 0
    files(archive, MINUTE)["jpg"].write_bytes(b"")
    run = project.run("pipeline", "verify")
    assert run.returncode == 1 and "catch-up" not in run.stdout
    run = project.run("pipeline", "ban", minutes.name(days_ago(9)))
    assert run.returncode == 0 and "catch-up" not in run.stdout
    assert "before the first picture" not in project.run("pipeline", "status").stdout
