"""A run that is killed at any of its calls that change ROOT: the files are whole, the next run goes on, the litter goes."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import faults
from tests.conftest import Project
from tests.faults import MINUTE, Call, Server

faulty, minute = faults.faulty, faults.minute

BOUNDED = 25
PHOTOS = 30


@pytest.fixture
def project(minute: Project) -> Project:
    """Return the project with a look-ahead: a run files thirty photos, and drops the first of them, whose picture is gone."""
    minute.configure(photos_per_request=str(PHOTOS), retry_count="11")
    return minute


def points(project: Project, faulty: Server) -> list[Call]:
    """Return the calls of a run at which it is killed: each that changes a file or a folder of ROOT."""
    found = [call for call in faults.calls(project) if call.name not in ("close", "flock")]
    shutil.rmtree(project.root)
    return found


def kill(project: Project, faulty: Server, step: int) -> int:
    """Kill runs at one point in `step`, check what each leaves and that the next one finishes it, and return how many."""
    gone = faults.answers(404)
    faulty.breaks("picture", gone, times=1)
    chosen = points(project, faulty)[::step]
    for call in chosen:
        faulty.breaks("picture", gone, times=1)
        killed = faults.ended(faults.start(project, *call.injection("signal=SIGKILL")))
        assert killed.returncode == -signal.SIGKILL, (call, killed.stderr)
        assert_next_run_finishes(project, call)
        shutil.rmtree(project.root)
    print(f"killed at {len(chosen)} points")
    return len(chosen)


def assert_next_run_finishes(project: Project, call: Call) -> None:
    faults.assert_whole(project)
    litter = list((project.root / ".tmp").glob("*"))
    for path in litter:
        os.utime(path, (0, 0))
    run = project.store(MINUTE)
    assert run.returncode == 0, (call, run.stderr)
    if any(path.exists() for path in litter):  # the minute was stored before the kill: the next run of any minute clears it
        assert project.store("2026-11-23T1206").returncode == 0, call
    assert list((project.root / ".tmp").iterdir()) == [], call
    faults.assert_whole(project)
    assert {f"2026-11-23/1205.{suffix}" for suffix in ("json", "txt", "jpg")} < project.files(), call
    assert "2026-11-23/1205.error" not in project.files(), call
    ids = [json.loads(path.read_bytes())["id"] for path in filed(project)]
    assert len(ids) == len(set(ids)), call
    faults.assert_key_is_nowhere(project, run)


def filed(project: Project) -> Iterator[Path]:
    return project.root.glob("*/*.json")


def test_kills(project: Project, faulty: Server) -> None:
    """Killed at points all over a run, every file is whole, and the next run stores the minute and clears the litter."""
    assert kill(project, faulty, BOUNDED) >= 200 / BOUNDED


@pytest.mark.slow
def test_all_kills(project: Project, faulty: Server) -> None:
    """Killed at every point, at least 200, the same."""
    assert kill(project, faulty, 1) >= 200
