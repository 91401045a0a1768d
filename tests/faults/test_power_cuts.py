"""What is left of a run when the power goes: the disk as it was at that moment, without what was still in memory.

A run works on a file system of its own, in an image. It is killed, and the image copied at once: the copy holds what had been
flushed, and what the kernel happened to have written. The file system that comes up from the copy is the one after the cut.
"""

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import processes, servers
from tests.conftest import Project
from tests.processes import MINUTE, Call
from tests.servers import Server

BOUNDED = 12
MEGABYTES = 16
# The kernel writes nothing before it is told to: no flush of renamed files, and no commit of the journal by the clock.
UNHELPFUL = "loop,noauto_da_alloc,commit=600"


@pytest.fixture
def project(minute: Project) -> Project:
    """Return the project with its ROOT on a disk that is mounted at `disk`, and formatted in `formatted`."""
    minute.configure(photos_per_request="4", root="disk/data")
    minute.root = minute.folder / "disk" / "data"
    formatted = minute.folder / "formatted"
    with formatted.open("wb") as file:
        file.truncate(MEGABYTES * 2**20)
    subprocess.run([servers.program("mkfs.ext4"), "-q", formatted], check=True)
    return minute


@contextlib.contextmanager
def disk(project: Project, image: Path) -> Iterator[None]:
    with processes.mounted(project.folder / "disk", "-o", UNHELPFUL, str(image)):
        yield


def copied(source: Path, name: str) -> Path:
    target = source.with_name(name)
    subprocess.run(["cp", "--sparse=always", source, target], check=True)
    return target


def after_cut(project: Project, *prefix: str) -> tuple["subprocess.CompletedProcess[str]", Path]:
    """Run the minute on a new disk under another program, and return how it ended and the disk as it was then."""
    image = copied(project.folder / "formatted", "image")
    with disk(project, image):
        run = processes.ended(processes.start(project, *prefix))
        return run, copied(image, "cut")


def points(project: Project) -> list[Call]:
    """Return the calls of a run that change ROOT."""
    with disk(project, copied(project.folder / "formatted", "image")):
        return [call for call in processes.calls(project) if call.name not in ("close", "flock")]


def cut(project: Project, step: int) -> int:
    """Cut the power at one point in `step`, check what comes up and that the next run finishes it, and return how many."""
    chosen = points(project)[::step]
    for call in chosen:
        run, image = after_cut(project, *call.injection("signal=SIGKILL"))
        assert run.returncode == -signal.SIGKILL, (call, run.stderr)
        with disk(project, image):
            if project.root.exists():
                processes.assert_whole(project)
            again = project.store(MINUTE)
            assert again.returncode == 0, (call, again.stderr)
            processes.assert_whole(project)
            assert "2026-11-23/1205.jpg" in project.files(), call
    print(f"cut at {len(chosen)} points")
    return len(chosen)


@pytest.mark.parametrize("step", [3 * BOUNDED, pytest.param(BOUNDED, marks=pytest.mark.ci)])
def test_power_cuts(step: int, project: Project) -> None:
    """At moments all over a run, the files that come up after a power cut are whole, and the next run stores the minute."""
    assert cut(project, step) >= 50 / step


@pytest.mark.slow
def test_all_power_cuts(project: Project) -> None:
    """At every moment, at least 50, the same."""
    assert cut(project, 1) >= 50


def test_a_power_cut_after_the_run(project: Project) -> None:
    """What a run that ended well has stored is there after a power cut at its end."""
    run, image = after_cut(project)
    assert run.returncode == 0, run.stderr
    with disk(project, image):
        processes.assert_whole(project)
        assert {f"2026-11-23/1205.{suffix}" for suffix in ("json", "txt", "jpg")} < project.files()


def test_a_power_cut_in_and_after_a_catch_up(project: Project, faulty: Server) -> None:
    """What a cut leaves of a catch-up is whole, and the next one stores the rest; what has ended well is there after a cut."""
    catch_up = ("pipeline", "catch-up", "--start", "2026-11-23T1200", "--stop", "2026-11-23T1220", "--workers", "3")
    stored = {f"2026-11-23/12{number:02}.{suffix}" for number in range(20) for suffix in ("json", "txt", "jpg")}
    image = copied(project.folder / "formatted", "image")
    with disk(project, image):
        cuts: list[Path] = []
        process = project.start(*catch_up)
        while process.poll() is None:
            faulty.asked.wait(1)
            faulty.asked.clear()
            if faulty.count("picture") >= 5 * (len(cuts) + 1):
                cuts.append(copied(image, f"cut {len(cuts)}"))
        ended = processes.ended(process)
        assert ended.returncode == 0, ended.stderr
        after = copied(image, "after")
    assert cuts
    for each in cuts:
        with disk(project, each):
            if project.root.exists():
                processes.assert_whole(project)
            again = project.run(*catch_up)
            assert again.returncode == 0, again.stderr
            processes.assert_whole(project)
            assert stored < project.files()
    with disk(project, after):
        processes.assert_whole(project)
        assert stored < project.files()


def test_a_disk_that_does_not_flush(project: Project) -> None:
    """The same cut loses the picture where flushing does nothing: the tests before would see it."""
    lies = (servers.program("strace"), "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:retval=0")
    run, image = after_cut(project, *lies)
    assert run.returncode == 0, run.stderr
    with disk(project, image):
        assert not project.root.exists() or "2026-11-23/1205.jpg" not in project.files()


def test_what_is_flushed(minute: Project) -> None:
    """A file is flushed before it is renamed, and a folder after something came into it, ROOT's parents too."""
    minute.configure(photos_per_request="4", root="new/data")
    minute.root = minute.folder / "new" / "data"
    flushed: set[str] = set()
    waiting: dict[str, str] = {}
    for call in processes.calls(minute):
        if call.name == "fsync":
            path = re.search(r"<(.+?)(?:\(deleted\))?>", call.arguments)
            assert path, call
            flushed.add(path[1])
            waiting.pop(path[1], None)
        elif call.name in ("rename", "mkdir") and call.arguments.endswith("= 0"):
            paths = [minute.folder / name for name in re.findall(r'"(.+?)"', call.arguments)]
            assert call.name == "mkdir" or str(paths[0]) in flushed, call
            waiting[str(paths[-1].parent)] = call.arguments
    assert waiting == {}
