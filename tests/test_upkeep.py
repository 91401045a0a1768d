"""What is stored is checked against the contract and repaired, and old pictures go and stay away."""

import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from pipeline import minutes, upkeep
from pipeline.disk import LITTER_SECONDS
from pipeline.storage import Store
from pipeline.tasks import StoreImage
from tests.conftest import Project

MINUTE = datetime(2024, 2, 29, 12, 5)
ALL = {"json", "txt", "jpg", "thumb"}
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ROOT in which one minute is stored, with its look-ahead."""
    project = Project(tmp_path_factory.mktemp("sample"), "https://api.invalid")
    run = project.store(minutes.name(MINUTE), UNSPLASH_API_KEY="DEMO_KEY")
    assert run.returncode == 0, run.stderr
    root = project.root / "demo"
    paths = files(Store(root), MINUTE)
    paths["thumb"].parent.mkdir(exist_ok=True)
    shutil.copy(paths["jpg"], paths["thumb"])
    return root


@pytest.fixture
def store(sample: Path, project: Project) -> Store:
    """The project's files: those of one minute, with its look-ahead."""
    shutil.copytree(sample, project.root)
    return Store(project.root)


def files(store: Store, minute: datetime) -> dict[str, Path]:
    """Return where each of a minute's files is, by what it is."""
    folder = store.files.local_path("") / minute.date().isoformat()
    paths = {kind: folder / f"{minute:%H%M}.{kind}" for kind in ("json", "txt", "jpg", "error")}
    return {**paths, "thumb": folder / "thumb" / f"{minute:%H%M}.jpg"}


def there(store: Store, minute: datetime) -> set[str]:
    """Return which of a minute's files there are."""
    return {kind for kind, path in files(store, minute).items() if path.exists()}


def put(store: Store, *others: datetime) -> None:
    """Give other minutes the same picture, with metadata of their own."""
    source = files(store, MINUTE)
    for minute in others:
        for kind, path in files(store, minute).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind in ALL:
                shutil.copy(source[kind], path)
        photo = json.loads(source["json"].read_text())
        photo["pipeline"]["minute"] = minutes.name(minute)
        files(store, minute)["json"].write_text(json.dumps(photo))


def read_or_end(terminal: IO[bytes]) -> bytes:
    """Return what a terminal shows next; nothing when its other end is closed, which Linux calls an error."""
    try:
        return terminal.read(4096)
    except OSError:
        return b""


def days_ago(number: int) -> datetime:
    """Return noon of so many days ago."""
    return minutes.present_minute().replace(hour=12, minute=0) - number * DAY


def test_whole_files_pass(project: Project, store: Store) -> None:
    """What a run has stored is well, photos filed for minutes to come included: nothing changes, exit 0."""
    before = project.files()
    run = project.run("pipeline", "verify")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"{len(list(store.files.local_path('').rglob('*.json')))} minutes checked, 0 with files removed\n"
    assert project.files() == before


def change(kind: str, edit: Callable[[bytes], bytes]) -> Callable[[dict[str, Path]], None]:
    def damage(paths: dict[str, Path]) -> None:
        paths[kind].write_bytes(edit(paths[kind].read_bytes()))

    return damage


@pytest.mark.parametrize(
    ("damage", "kept", "reason"),
    [
        (change("jpg", lambda jpeg: jpeg[: len(jpeg) // 2]), {"json", "txt"}, "not a whole JPEG"),
        (change("jpg", lambda jpeg: jpeg[:-2]), {"json", "txt"}, "not a whole JPEG"),
        (change("jpg", lambda jpeg: b"<html>"), {"json", "txt"}, "not a whole JPEG"),
        (lambda paths: paths["txt"].unlink(), {"json"}, "address"),
        (change("txt", lambda line: b"https://images.unsplash.com/another\n"), {"json"}, "address"),
        (change("txt", lambda line: line + line), {"json"}, "address"),
        (change("txt", lambda line: line.strip()), {"json"}, "address"),
        (lambda paths: paths["json"].unlink(), set(), "metadata"),
        (change("json", lambda photo: photo[:-9]), set(), "metadata"),
        (change("json", lambda photo: photo.replace(b'"2024-02-29T1205"', b'"2024-02-29T1206"')), set(), "another minute"),
    ],
)
def test_a_bad_file_goes_with_what_was_made_of_it(
    store: Store, damage: Callable[[dict[str, Path]], None], kept: set[str], reason: str
) -> None:
    """A file that fails is removed, the picture with it, and what is before it in the chain stays; `.error` says why."""
    damage(files(store, MINUTE))
    assert reason in upkeep.verify_minute(store, MINUTE)
    assert there(store, MINUTE) == kept | {"error"}
    assert reason in store.reason(MINUTE)
    assert upkeep.verify_minute(store, MINUTE) == ""


def test_bad_metadata_of_a_minute_to_come_goes(store: Store) -> None:
    """Metadata that cannot be read is removed though no picture was made of it; the minute did not fail yet."""
    files(store, MINUTE)["json"].write_text("{")
    for kind in ("txt", "jpg", "thumb"):
        files(store, MINUTE)[kind].unlink()
    assert upkeep.verify_minute(store, MINUTE) != ""
    assert there(store, MINUTE) == set()


def test_what_verify_removes_a_catch_up_repairs(project: Project, store: Store) -> None:
    """verify names the minute, exits 1 and leaves it missing; a catch-up stores it again, and verify exits 0."""
    files(store, MINUTE)["jpg"].write_bytes(b"")
    files(store, MINUTE)["txt"].unlink()
    files(store, MINUTE)["json"].unlink()
    run = project.run("pipeline", "verify")
    assert run.returncode == 1, run.stderr
    assert "2024-02-29T1205 removed: " in run.stdout
    catch_up = project.run("pipeline", "catch-up", "--start", "2024-02-29T1205", "--stop", "2024-02-29T1206")
    assert catch_up.returncode == 0, catch_up.stderr
    assert {"json", "txt", "jpg"} <= there(store, MINUTE)
    assert project.run("pipeline", "verify").returncode == 0


def test_only_the_minutes_asked_for_are_checked(project: Project, store: Store) -> None:
    """--start is the first minute checked, --stop the first one not checked; days are no border."""
    bad = [MINUTE - DAY, MINUTE, MINUTE + DAY, MINUTE + 2 * DAY]
    put(store, *bad[:1], *bad[2:])
    for minute in bad:
        files(store, minute)["jpg"].write_bytes(b"")
    run = project.run("pipeline", "verify", "--start", minutes.name(bad[1]), "--stop", minutes.name(bad[3]))
    assert run.returncode == 1, run.stderr
    assert [line[:15] for line in run.stdout.splitlines() if "T1205 removed: " in line] == [
        minutes.name(each) for each in bad[1:3]
    ]
    assert [("jpg" in there(store, minute)) for minute in bad] == [True, False, False, True]


def test_a_file_that_may_not_be_read_is_not_removed(project: Project, store: Store) -> None:
    """Where the system refuses to read a file verify ends with one line, and removes nothing of that minute."""
    files(store, MINUTE)["txt"].unlink()
    files(store, MINUTE)["txt"].mkdir()
    run = project.run("pipeline", "verify")
    assert run.returncode == 30
    assert "1205.txt: Is a directory" in run.stderr
    assert there(store, MINUTE) == ALL


def test_a_terminal_shows_a_bar(project: Project, store: Store) -> None:
    """verify draws its progress where stderr is a terminal."""
    terminal, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "pipeline", "verify"]
    subprocess.run(command, cwd=project.folder, env=project.environment, stderr=its_end, stdout=subprocess.DEVNULL, check=True)
    os.close(its_end)
    with open(terminal, "rb", buffering=0) as drawn:
        assert b"100%" in b"".join(iter(partial(read_or_end, drawn), b""))


def test_ctrl_c_ends_it_in_one_line(project: Project, store: Store) -> None:
    """verify stops soon after Ctrl-C, exits 130, and leaves what it has not come to for another time."""
    put(store, *(MINUTE + DAY + number * minutes.MINUTE for number in range(600)))
    files(store, MINUTE)["jpg"].write_bytes(b"")
    process = project.start("pipeline", "verify", PYTHONUNBUFFERED="1")
    assert process.stdout
    assert process.stdout.readline().startswith("2024-02-29T1205 removed: ")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (130, "", "stopped, 1 with files removed so far\n")


def test_an_empty_root_is_well(project: Project) -> None:
    """Where nothing is stored there is nothing wrong and nothing to prune; no folder is made."""
    project.configure(keep_days="1")
    assert project.run("pipeline", "verify").returncode == 0
    assert project.run("pipeline", "prune").returncode == 0
    assert not project.root.exists()


def test_nothing_is_pruned_by_default(project: Project, store: Store) -> None:
    """As shipped every picture is kept, and prune says so."""
    put(store, days_ago(4000))
    before = project.files()
    run = project.run("pipeline", "prune")
    assert (run.returncode, run.stderr) == (0, "")
    assert "keep_days is not set" in run.stdout
    assert project.files() == before


def test_pictures_of_older_days_go_and_metadata_stays(project: Project, store: Store) -> None:
    """With keep_days = 2 the pictures and thumbnails of today and two days stay; older ones go and are counted."""
    put(store, *map(days_ago, range(5)))
    put_back = {number: there(store, days_ago(number)) for number in range(5)}
    project.configure(keep_days="2")
    run = project.run("pipeline", "prune")
    assert (run.returncode, run.stderr) == (0, "")
    assert {number: there(store, days_ago(number)) for number in range(5)} == {
        **put_back,
        3: {"json", "txt"},
        4: {"json", "txt"},
    }
    assert run.stdout.endswith(" MB: other files 1, pictures 3, thumbnails 3\n")
    assert (store.files.local_path("") / "pruned-before").read_text() == f"{days_ago(2).date()}\n"
    assert not (store.files.local_path("") / days_ago(3).date().isoformat() / "thumb").exists()


def test_a_dry_run_says_the_same_and_changes_nothing(project: Project, store: Store) -> None:
    """--dry-run counts what would go; no file is removed or written."""
    put(store, days_ago(9), days_ago(0))
    project.configure(keep_days="2")
    before = project.files()
    would = project.run("pipeline", "prune", "--dry-run").stdout
    assert project.files() == before
    did = project.run("pipeline", "prune").stdout
    assert would.startswith("would free ")
    assert would.removeprefix("would free ") == did.removeprefix("freed ")


def test_everything_takes_the_metadata_too(project: Project, store: Store) -> None:
    """--everything leaves no folder of a day; only the list of photos given lately stays, lest they come again."""
    put(store, days_ago(100), days_ago(9), days_ago(0))
    for number in (100, 9):
        (store.files.local_path("") / days_ago(number).date().isoformat() / "given").write_text("1200 abcdefghijk\n")
        files(store, days_ago(number))["error"].write_text("2026-01-01T00:00:00Z StoreImage: no\n")
    project.configure(keep_days="2")
    assert project.run("pipeline", "prune", "--everything").returncode == 0
    assert not (store.files.local_path("") / days_ago(100).date().isoformat()).exists()
    assert os.listdir(store.files.local_path("") / days_ago(9).date().isoformat()) == ["given"]
    assert there(store, days_ago(0)) == ALL


@pytest.mark.parametrize("options", [[], ["--everything"]])
def test_the_newest_picture_never_goes(project: Project, store: Store, options: list[str]) -> None:
    """A pipeline that stood still for longer than keep_days keeps its newest picture, with all that belongs to it."""
    newest = days_ago(50)
    put(store, newest - minutes.MINUTE, newest)
    store.publish_latest(newest)
    project.configure(keep_days="2")
    assert project.run("pipeline", "prune", *options).returncode == 0
    assert there(store, newest) == ALL
    assert "jpg" not in there(store, newest - minutes.MINUTE)
    assert (store.files.local_path("") / "latest.jpg").exists()


def test_what_is_pruned_is_not_missing(project: Project, store: Store) -> None:
    """Minutes before the first kept day are complete for RangeByMinutes and for a catch-up, which asks for none of them."""
    put(store, days_ago(9), days_ago(0))
    project.configure(keep_days="2")
    project.run("pipeline", "prune")
    first_kept = days_ago(2).replace(hour=0)
    span = [first_kept + number * minutes.MINUTE for number in (-2000, -1, 0, 1)]
    assert store.missing_minutes(span[0], first_kept + 2 * minutes.MINUTE) == span[2:]
    assert store.complete(iter(span)) == span[:2]
    start, stop = minutes.name(first_kept - 5 * DAY), minutes.name(first_kept)
    before = project.files()
    catch_up = project.run("pipeline", "catch-up", "--start", start, "--stop", stop)
    assert catch_up.returncode == 0, catch_up.stderr
    assert project.files() == before
    assert "bulk_complete" in vars(StoreImage)


def test_the_day_before_which_is_pruned_never_moves_back(project: Project, store: Store) -> None:
    """With keep_days raised afterwards, what was pruned already stays so."""
    put(store, days_ago(9), days_ago(0))
    for keep_days in ("2", "7"):
        project.configure(keep_days=keep_days)
        project.run("pipeline", "prune")
    assert store.pruned_before() == days_ago(2).replace(hour=0)


def test_nothing_goes_before_it_is_written_down(project: Project, store: Store) -> None:
    """Where ROOT/pruned-before cannot be written nothing is removed, and one line says why."""
    put(store, days_ago(9), days_ago(0))
    project.configure(keep_days="2")
    (store.files.local_path("") / "pruned-before").mkdir()
    before = project.files()
    run = project.run("pipeline", "prune")
    assert run.returncode == 30
    assert run.stderr.count("\n") == 1
    assert "Is a directory" in run.stderr
    assert project.files() == before


def test_litter_and_empty_folders_go(project: Project, store: Store) -> None:
    """Leftovers of killed runs and empty folders of days go, keep_days or not; those of a run of now stay."""
    old = 2 * LITTER_SECONDS
    litter, fresh = store.files.local_path("") / ".tmp" / "old", store.files.local_path("") / ".tmp" / "new"
    empty, made_now = store.files.local_path("") / "2026-01-01", store.files.local_path("") / "2026-01-02"
    for file in (litter, fresh):
        file.write_bytes(bytes(1000))
    for folder in (empty / "thumb", made_now):
        folder.mkdir(parents=True)
    for path in (litter, empty / "thumb", empty):
        present = path.stat().st_mtime
        os.utime(path, (present - old, present - old))
    run = project.run("pipeline", "prune")
    assert (run.returncode, run.stderr) == (0, "")
    assert "leftovers of killed runs 1" in run.stdout
    assert [path.exists() for path in (litter, fresh, empty / "thumb", made_now)] == [False, True, False, True]


@pytest.mark.parametrize("keep_days", ["-1", "99999999"])
def test_a_senseless_keep_days_is_refused(project: Project, store: Store, keep_days: str) -> None:
    """keep_days must be a number of days that can be counted back; one line says so and nothing is removed."""
    project.configure(keep_days=keep_days)
    before = project.files()
    run = project.run("pipeline", "prune")
    assert run.returncode == 30
    assert f"keep_days is {keep_days}" in run.stderr
    assert project.files() == before


def test_pages_lead_to_no_pruned_day(project: Project, store: Store) -> None:
    """The pages of pruned days go, and the first kept day's page does not lead there."""
    old, kept = days_ago(3), days_ago(2)
    put(store, old, kept, days_ago(0))
    for minute in (old, kept):
        (store.files.local_path("") / minute.date().isoformat() / "index.html").write_text(f"../{old.date()}/index.html")
    project.configure(keep_days="2")
    assert project.run("pipeline", "prune").returncode == 0
    assert not (store.files.local_path("") / old.date().isoformat() / "index.html").exists()
    assert f"{old.date()}" not in (store.files.local_path("") / kept.date().isoformat() / "index.html").read_text()
