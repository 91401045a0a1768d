"""A run that is killed at any of its calls that change ROOT: the files are whole, the next run goes on, the litter goes."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import processes, servers
from tests.conftest import Project
from tests.processes import MINUTE, Call
from tests.servers import Server

BOUNDED = 25
PHOTOS = 30


@pytest.fixture
def project(minute: Project) -> Project:
    """Return the project with a look-ahead: a run files thirty photos, and drops the first of them, whose picture is gone."""
    minute.configure(photos_per_request=str(PHOTOS), retry_count="11")
    return minute


def points(project: Project, faulty: Server) -> list[Call]:
    """Return the calls of a run at which it is killed: each that changes a file or a folder of ROOT."""
    found = [call for call in processes.calls(project) if call.name not in ("close", "flock")]
    shutil.rmtree(project.root)
    return found


def kill(project: Project, faulty: Server, step: int) -> int:
    """Kill runs at one point in `step`, check what each leaves and that the next one finishes it, and return how many."""
    gone = servers.answers(404)
    faulty.breaks("picture", gone, times=1)
    chosen = points(project, faulty)[::step]
    for call in chosen:
        faulty.breaks("picture", gone, times=1)
        killed = processes.ended(processes.start(project, *call.injection("signal=SIGKILL")))
        assert killed.returncode == -signal.SIGKILL, (call, killed.stderr)
        assert_next_run_finishes(project, call)
        shutil.rmtree(project.root)
    print(f"killed at {len(chosen)} points")
    return len(chosen)


def assert_next_run_finishes(project: Project, call: Call) -> None:
    processes.assert_whole(project)
    litter = [processes.grown_old(path) for path in processes.temporary_files(project)]
    run = project.store(MINUTE)
    assert run.returncode == 0, (call, run.stderr)
    if any(path.exists() for path in litter):  # the next run that writes in their folder clears them
        assert project.store("2026-11-23T1206").returncode == 0, call
    assert processes.temporary_files(project) == [], call
    processes.assert_whole(project)
    assert {f"2026-11-23/1205.{suffix}" for suffix in ("json", "txt", "jpg")} < project.files(), call
    assert "2026-11-23/1205.error" not in project.files(), call
    ids = [json.loads(path.read_bytes())["id"] for path in filed(project)]
    assert len(ids) == len(set(ids)), call
    processes.assert_key_is_nowhere(project, run)


def filed(project: Project) -> Iterator[Path]:
    return project.root.glob("*/*.json")


@pytest.mark.parametrize("step", [8 * BOUNDED, pytest.param(BOUNDED, marks=pytest.mark.ci)])
def test_kills(step: int, project: Project, faulty: Server) -> None:
    """Killed at points all over a run, every file is whole, and the next run stores the minute and clears the litter."""
    assert kill(project, faulty, step) >= 200 / step


@pytest.mark.slow
def test_all_kills(project: Project, faulty: Server) -> None:
    """Killed at every point, at least 200, the same."""
    assert kill(project, faulty, 1) >= 200


def test_the_reason_goes_after_the_picture_has_its_name(minute: Project, faulty: Server) -> None:
    """At no moment is a minute without both; killed in between it has both, counts as stored, and its next run tidies up."""
    error, picture = minute.root / "2026-11-23/1205.error", minute.root / "2026-11-23/1205.jpg"

    def fail() -> None:
        faulty.breaks("photos", servers.answers(503))
        assert minute.store(MINUTE).returncode == 30
        assert error.exists()
        faulty.breaks_nothing()

    fail()
    made = processes.calls(minute)
    [named] = [place for place, call in enumerate(made) if call.name == "rename" and '11-23/1205.jpg")' in call.arguments]
    [gone] = [place for place, call in enumerate(made) if call.name == "unlink" and '/1205.error")' in call.arguments]
    thumbnail = next(place for place, call in enumerate(made) if "thumb" in call.arguments)
    between = [call.name for call in made[named:gone] if call.name not in ("close", "flock")]
    assert between[:2] == ["rename", "fsync"]
    assert named < gone < thumbnail
    shutil.rmtree(minute.root)

    fail()
    killed = processes.ended(processes.start(minute, *made[gone].injection("signal=SIGKILL")))
    assert killed.returncode == -signal.SIGKILL
    assert error.exists()
    assert picture.exists()
    status = minute.run("pipeline", "status", "--json", "--max-age", "1e6")
    assert json.loads(status.stdout)["newest"] == MINUTE
    again = minute.store(MINUTE)
    assert again.returncode == 0
    assert "stored already" in again.stderr
    assert not error.exists()
    processes.assert_whole(minute)
