"""A day of minutes with everything going wrong at times, then caught up: nothing is lost, twice there, or left over."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import datetime
from random import Random

import pytest

from pipeline.minutes import MINUTE, name
from tests import processes, servers
from tests.conftest import Project
from tests.servers import Server

BOUNDED = 120
DAY = 1440
SHARE = 0.05
KILLS = 5
MOST_RUNS = 40
START = datetime(2025, 3, 30)

PASSING = (
    servers.resets,
    servers.sends(b""),
    servers.answers(500),
    servers.answers(503, b"<!doctype html>"),
    servers.answers(200, b"<!doctype html>"),
    servers.redirects("http://127.0.0.1:1/"),
    servers.changes_body(lambda body: body[: len(body) // 2]),
    servers.changes_body(lambda body: body[: len(body) // 2], lambda body: {"Content-Length": str(len(body))}),
    servers.hangs_inside_head,
)
OF_API = (*PASSING, servers.answers(403, b"Rate Limit Exceeded"), servers.answers_json([]), servers.answers(401))
OF_PICTURES = (*PASSING, servers.answers(404), servers.answers(410), servers.changes_body(lambda body: body[:-2] + b"\0\0"))


def caught_up(project: Project, faulty: Server, count: int, seed: int) -> None:
    """Catch up so many minutes, with broken answers and killed runs, until nothing is missing, and check what there is."""
    source = Random(seed)
    for kind, broken in (("photos", OF_API), ("event", OF_API), ("picture", OF_PICTURES)):
        faulty.breaks_some(kind, SHARE, Random(source.random()), *broken)
    project.configure(photos_per_request="30", size="thumb", answer_seconds="1")
    said, codes = "", Counter[int]()
    while codes[0] == 0:
        assert codes.total() < MOST_RUNS, said
        run = started(project, count)
        if codes[-signal.SIGKILL] < KILLS:
            kill_during(run, faulty, source.randrange(1, count // KILLS))
        ended = processes.ended(run)
        codes[ended.returncode] += 1
        said += ended.stderr
        processes.assert_whole(project)
    assert codes[-signal.SIGKILL] == KILLS
    answers = f"{len(faulty.requests)} answers, {faulty.broken} of them broken"
    print(f"seed {seed}: {count} minutes, {answers}; exit codes of the runs: {dict(codes)}")

    faulty.breaks_nothing()
    for path in processes.temporary_files(project):
        processes.grown_old(path)
    assert project.run("pipeline", "prune").returncode == 0
    assert processes.temporary_files(project) == []
    assert_complete(project, [START + number * MINUTE for number in range(count)])
    assert "Traceback" not in said
    processes.assert_key_is_nowhere(project, ended)
    processes.assert_key_went_to_the_api_alone(faulty)


def kill_during(run: "subprocess.Popen[str]", faulty: Server, pictures: int) -> None:
    """Kill the run and its processes when it has asked for so many pictures, unless it ends before."""
    enough = faulty.count("picture") + pictures
    while faulty.count("picture") < enough and run.poll() is None:
        faulty.asked.wait(0.1)
        faulty.asked.clear()
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGKILL)


def started(project: Project, count: int) -> "subprocess.Popen[str]":
    """Start a catch-up in a process group of its own."""
    span = ("--start", name(START), "--stop", name(START + count * MINUTE), "--workers", "3")
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "catch-up", *span],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def assert_complete(project: Project, minutes: list[datetime]) -> None:
    """Check that each minute has its three files and no failure, and that no photo and no picture is there twice."""
    photos, pictures = Counter[str](), Counter[str]()
    for each in minutes:
        stem = project.root / f"{each:%Y-%m-%d}" / f"{each:%H%M}"
        photos[json.loads(stem.with_suffix(".json").read_bytes())["id"]] += 1
        pictures[hashlib.sha256(stem.with_suffix(".jpg").read_bytes()).hexdigest()] += 1
        assert stem.with_suffix(".txt").exists() and not stem.with_suffix(".error").exists()
    assert len(photos) == len(pictures) == len(minutes)


@pytest.mark.parametrize("count", [BOUNDED // 2, pytest.param(BOUNDED, marks=pytest.mark.ci)])
def test_some_hours(count: int, minute: Project, faulty: Server) -> None:
    """An hour or two, 5 % of all answers broken and five runs killed: every minute is stored in the end, once."""
    caught_up(minute, faulty, count, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_day(seed: int, minute: Project, faulty: Server) -> None:
    """The same for a day of 1,440 minutes."""
    caught_up(minute, faulty, DAY, seed)
