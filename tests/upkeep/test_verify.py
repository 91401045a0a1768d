"""`python -m pipeline verify`: what is stored is checked against the contract, and what is damaged goes."""

import contextlib
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from pipeline import minutes, page, upkeep
from pipeline.archive import Archive
from tests.conftest import Project, untimed
from tests.upkeep.stored import ALL, DAY, MINUTE, files, put, there


def read_or_end(terminal: IO[bytes]) -> bytes:
    """Return what a terminal shows next; nothing when its other end is closed, which Linux calls an error."""
    try:
        return terminal.read(4096)
    except OSError:
        return b""


def test_whole_files_pass(project: Project, archive: Archive) -> None:
    """What a run has stored is well, photos filed for minutes to come included: nothing changes, exit 0."""
    before = project.files()
    run = project.run("pipeline", "verify")
    assert (run.returncode, run.stderr) == (0, "")
    assert untimed(run.stdout) == f"{len(list(project.root.rglob('*.json')))} minutes checked, 0 with files removed\n"
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
    archive: Archive, damage: Callable[[dict[str, Path]], None], kept: set[str], reason: str
) -> None:
    """A file that fails is removed, the picture with it, and what is before it in the chain stays; `.error` says why."""
    damage(files(archive, MINUTE))
    assert reason in upkeep.verify_minute(archive, MINUTE)
    assert there(archive, MINUTE) == kept | {"error"}
    assert reason in archive.failures(MINUTE, MINUTE)[MINUTE].reason
    assert upkeep.verify_minute(archive, MINUTE) == ""


def test_bad_metadata_of_a_minute_to_come_goes(archive: Archive) -> None:
    """Metadata that cannot be read is removed though no picture was made of it; the minute did not fail yet."""
    files(archive, MINUTE)["json"].write_text("{")
    for kind in ("txt", "jpg", "thumb"):
        files(archive, MINUTE)[kind].unlink()
    assert upkeep.verify_minute(archive, MINUTE) != ""
    assert there(archive, MINUTE) == set()


def test_what_verify_removes_a_catch_up_repairs(project: Project, archive: Archive) -> None:
    """verify names the minute, exits 1 and leaves it missing; a catch-up stores it again, and verify exits 0."""
    files(archive, MINUTE)["jpg"].write_bytes(b"")
    files(archive, MINUTE)["txt"].unlink()
    files(archive, MINUTE)["json"].unlink()
    run = project.run("pipeline", "verify")
    assert run.returncode == 1, run.stderr
    assert "2024-02-29T1205 removed: " in run.stdout
    catch_up = project.run("pipeline", "catch-up", "--start", "2024-02-29T1205", "--stop", "2024-02-29T1206")
    assert catch_up.returncode == 0, catch_up.stderr
    assert {"json", "txt", "jpg"} <= there(archive, MINUTE)
    assert project.run("pipeline", "verify").returncode == 0


def test_the_page_shows_what_is_there_again(project: Project, archive: Archive) -> None:
    """After a restore, an upgrade or a verify that was cut short, verify has the page show just what is stored."""
    put(archive, MINUTE + minutes.MINUTE, MINUTE + DAY)
    page.mend(archive, [MINUTE, MINUTE + minutes.MINUTE])
    files(archive, MINUTE)["jpg"].unlink()
    assert project.run("pipeline", "verify").returncode == 0
    assert re.findall(rb'"(\d\d)":\{"id"', (project.root / "2024-02-29/12.js").read_bytes()) == [b"06"]
    assert (project.root / "2024-03-01/12.js").exists()
    assert b'"2024-02-29":[1,0],"2024-03-01":[1,0]' in (project.root / "calendar.js").read_bytes()


def test_a_verify_that_cannot_say_what_it_does(project: Project, archive: Archive) -> None:
    """Where its output has no room it ends with 30; what it removed meanwhile is not shown any more."""
    page.mend(archive, [MINUTE])
    files(archive, MINUTE)["jpg"].write_bytes(b"x")
    command = f"exec '{sys.executable}' -m pipeline verify > /dev/full 2>&1"
    run = subprocess.run(["sh", "-c", command], cwd=project.folder, env=project.environment)
    assert run.returncode == 30
    assert b'"id"' not in (project.root / "2024-02-29/12.js").read_bytes()


def test_only_the_minutes_asked_for_are_checked(project: Project, archive: Archive) -> None:
    """--start is the first minute checked, --stop the first one not checked; days are no border."""
    bad = [MINUTE - DAY, MINUTE, MINUTE + DAY, MINUTE + 2 * DAY]
    put(archive, *bad[:1], *bad[2:])
    for minute in bad:
        files(archive, minute)["jpg"].write_bytes(b"")
    run = project.run("pipeline", "verify", "--start", minutes.name(bad[1]), "--stop", minutes.name(bad[3]))
    assert run.returncode == 1, run.stderr
    assert [line[:15] for line in untimed(run.stdout).splitlines() if "T1205 removed: " in line] == [
        minutes.name(each) for each in bad[1:3]
    ]
    assert [("jpg" in there(archive, minute)) for minute in bad] == [True, False, False, True]


def test_what_is_no_file_is_not_removed(project: Project, archive: Archive) -> None:
    """Where something else has the name of a file verify says so, and removes nothing of that minute; it checks the others."""
    put(archive, MINUTE + DAY)
    files(archive, MINUTE + DAY)["jpg"].write_bytes(b"")
    files(archive, MINUTE)["txt"].unlink()
    files(archive, MINUTE)["txt"].mkdir()
    run = project.run("pipeline", "verify")
    assert run.returncode == 30
    assert "1205.txt: what has this name is no file\n" in run.stdout
    assert run.stderr.endswith("1 minutes could not be checked\n") and run.stderr.count("\n") == 1
    assert there(archive, MINUTE) == ALL
    assert "jpg" not in there(archive, MINUTE + DAY)


def test_a_terminal_shows_a_bar(project: Project, archive: Archive) -> None:
    """verify draws its progress where stderr is a terminal."""
    terminal, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "pipeline", "verify"]
    subprocess.run(command, cwd=project.folder, env=project.environment, stderr=its_end, stdout=subprocess.DEVNULL, check=True)
    os.close(its_end)
    with open(terminal, "rb", buffering=0) as drawn:
        assert b"100%" in b"".join(iter(partial(read_or_end, drawn), b""))


def test_ctrl_c_ends_it_in_one_line(project: Project, archive: Archive) -> None:
    """verify stops soon after Ctrl-C and exits 130; it is one process, and however it ends leaves none behind."""
    with at_work(project, archive) as process:
        assert children(process) == []
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, untimed(err)) == (130, "", "stopped, 1 with files removed so far\n")


@contextlib.contextmanager
def at_work(project: Project, archive: Archive) -> "Iterator[subprocess.Popen[str]]":
    """Run verify over 600 minutes and one damaged one, in a process group of its own; lend it when it has removed that."""
    put(archive, *(MINUTE + DAY + number * minutes.MINUTE for number in range(600)))
    files(archive, MINUTE)["jpg"].write_bytes(b"")
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", "verify"],
        cwd=project.folder,
        env={**project.environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout
            assert untimed(process.stdout.readline()).startswith("2024-02-29T1205 removed: ")
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def children(process: "subprocess.Popen[str]") -> list[int]:
    """Return the processes that the process has begun."""
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xd8\xff"])
def test_a_thumbnail_is_made_again(project: Project, archive: Archive, content: bytes | None) -> None:
    """One that is missing, empty or damaged is made from its picture; nothing is removed."""
    path = files(archive, MINUTE)["thumb"]
    before = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert project.run("pipeline", "verify").returncode == 0
    assert path.read_bytes() == before
    assert b'"thumb":true' in (project.root / "2024-02-29/12.js").read_bytes()


def test_the_page_shows_whose_pictures_are_there(project: Project, archive: Archive) -> None:
    """A minute that was restored with another photo is shown with that one's credit, and no day that is gone is counted."""
    put(archive, MINUTE + DAY)
    page.mend(archive, [MINUTE, MINUTE + DAY])
    path = files(archive, MINUTE)["json"]
    photo = json.loads(path.read_text())
    path.write_text(json.dumps(photo | {"id": "abcdefghijk", "user": photo["user"] | {"name": "Somebody Else"}}))
    shutil.rmtree(files(archive, MINUTE + DAY)["jpg"].parent)
    assert project.run("pipeline", "verify").returncode == 0
    assert b"Somebody Else" in (project.root / "2024-02-29/12.js").read_bytes()
    assert b"2024-03-01" not in (project.root / "calendar.js").read_bytes()
    shutil.rmtree(files(archive, MINUTE)["jpg"].parent)
    assert project.run("pipeline", "verify").returncode == 0
    assert "No picture yet" in (project.root / "index.html").read_text()


def test_what_is_well_is_not_written(project: Project, archive: Archive) -> None:
    """A second verify writes nothing, so that a ROOT that cannot be written can be verified."""
    project.run("pipeline", "verify")
    before = {path: path.stat().st_mtime_ns for path in project.root.rglob("*")}
    assert project.run("pipeline", "verify").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in project.root.rglob("*")} == before


def test_nothing_of_that_time(project: Project, archive: Archive) -> None:
    """A span in which nothing is stored is said to be empty, not ROOT."""
    run = project.run("pipeline", "verify", "--start", "2024-01-01T0000", "--stop", "2024-01-02T0000")
    assert (run.returncode, untimed(run.stdout)) == (
        0,
        "0 minutes checked, 0 with files removed: nothing of that time is stored in data\n",
    )
