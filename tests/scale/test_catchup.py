"""Catching up: what is missing is found, cut into slices, and stored."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from datetime import datetime
from pathlib import Path

import pytest

from pipeline import catchup, minutes, sandbox, settings
from pipeline.archive import Archive
from pipeline.catchup import Slice
from pipeline.minutes import MINUTE
from pipeline.progress import Progress
from tests import servers
from tests.conftest import Project, WatchedSandbox, status, untimed

TOPICS = ("history", "life", "wisdom", "art", "office", "nature")
START = datetime(2026, 11, 20)


def pictures(project: Project) -> list[str]:
    """Return the minutes that have a picture, oldest first."""
    return sorted(f"{path.parent.name}T{path.stem}" for path in project.root.glob("2*/*.jpg"))


def hour(project: Project, name: str) -> dict[str, dict[str, object]]:
    """Return what the page is told of an hour, as `2026-11-20/00`."""
    script = (project.root / f"{name}.js").read_text()
    data: dict[str, dict[str, object]] = json.loads(script[script.index("{") : script.rindex("}") + 1])
    return data


def expected(start: datetime, count: int) -> list[str]:
    return [minutes.name(start + number * MINUTE) for number in range(count)]


def day_s_minutes() -> list[datetime]:
    return [START + number * MINUTE for number in range(1440)]


def catch_up_where(project: Project, machine: str) -> "subprocess.CompletedProcess[str]":
    """Run a catch-up of START's first hour on a machine that a line of Python makes up."""
    program = f"import multiprocessing, sys; from pipeline.__main__ import main; {machine}; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0100"]
    return subprocess.run(command, cwd=project.folder, env=project.environment, capture_output=True, text=True)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """Return the archive of the folder in which this test runs."""
    monkeypatch.chdir(tmp_path)
    return settings.archive()


def test_slices_hold_every_minute_once(in_folder: Archive) -> None:
    """Slices have each missing minute once, of one topic, fewer than an answer has photos, the newest first."""
    made = catchup.slices(day_s_minutes(), Progress(1440, in_folder))
    assert sorted(minute for work in made for minute in work.found or ()) == day_s_minutes()
    assert all({minutes.topic_of(minute, TOPICS) for minute in work.found or ()} == {work.topic} for work in made)
    assert max(len(work.found or ()) for work in made) == 26
    assert [work.priority for work in made] == sorted((work.priority for work in made), reverse=True)


def test_what_a_slice_finds_missing(in_folder: Archive) -> None:
    """Of its minutes it stores those that are missing still when its turn comes; without any it is complete."""
    window = START - (START - minutes.EPOCH) % catchup.window_length()
    work = Slice(window=window, topic=minutes.topic_of(START, TOPICS))
    for work.found in ((), [START + 6 * MINUTE, START]):
        assert work.complete() == (not work.found)
    assert catchup.still_missing(work.found) == [START, START + 6 * MINUTE]
    in_folder.local_path(START).parent.mkdir(parents=True)
    in_folder.local_path(START).write_bytes(b"a picture")
    assert catchup.still_missing(work.found) == [START + 6 * MINUTE]


def test_what_is_missing_is_stored(project: Project, api: WatchedSandbox) -> None:
    """Two hours are stored, by one request for about 28 pictures, and a second call has nothing to do."""
    command = ("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0200", "--workers", "4")
    run = project.run(*command)
    assert run.returncode == 0, run.stderr
    assert pictures(project) == expected(START, 120)
    assert len(api.requests("/photos/random")) <= 12
    ids = [json.loads(path.read_bytes())["id"] for path in project.root.glob("*/*.json")]
    assert len(set(ids)) == len(ids)
    api.asked.clear()
    assert project.run(*command).returncode == 0
    assert api.asked == []


@pytest.mark.ci
def test_the_newest_come_first(project: Project) -> None:
    """A limit takes the newest of what is missing, and says by its exit code that more is."""
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0200", "--limit", "10")
    assert run.returncode == 30
    assert pictures(project) == expected(START + 110 * MINUTE, 10)


@pytest.mark.ci
def test_since_leaves_the_present_and_the_time_before_alone(project: Project) -> None:
    """--since goes back to the oldest stored minute at most, and leaves the last five minutes to their own runs."""
    now = minutes.present_minute()
    oldest = now - 20 * MINUTE
    assert project.store(minutes.name(oldest)).returncode == 0
    assert project.run("pipeline", "catch-up", "--since", "24h").returncode == 0
    stored = pictures(project)
    assert stored[0] == minutes.name(oldest)
    assert minutes.name(now - 6 * MINUTE) in stored
    assert minutes.name(now) not in stored
    assert len(stored) in (15, 16)


@pytest.mark.ci
def test_one_bad_picture_does_not_fail_its_neighbours(project: Project, api: WatchedSandbox) -> None:
    """A picture that never comes is the only one missing; nothing is fetched twice for its sake."""
    project.store("2026-11-20T0000", "--unsplash-topics", "art", "--unsplash-photos-per-request", "30")
    project.configure(topics="art")
    bad = json.loads((project.root / "2026-11-20/0005.json").read_text())["id"]
    api.instead = lambda target: status(503) if bad in target else None
    api.asked.clear()
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0020")
    assert run.returncode == 30
    assert pictures(project) == [minute for minute in expected(START, 20) if minute != "2026-11-20T0005"]
    assert "2026-11-20T0005 failed: StoreImage: the picture's host answered 503" in run.stderr
    assert len([target for target in api.requests("/photo-") if bad in target]) == 2  # the second round stores nothing
    fetched = [target for target in api.requests("/photo-") if bad not in target]
    assert len(fetched) == len(set(fetched)) == 18
    assert (project.root / "2026-11-20/0005.error").exists()


def file_an_hour(project: Project, api: WatchedSandbox) -> None:
    """Store the first minute of an hour of one topic, and with it the photos of the next ones."""
    project.configure(topics="art")
    assert project.store("2026-11-20T0000").returncode == 0
    api.asked.clear()


@pytest.mark.ci
def test_pictures_are_asked_for_ahead(project: Project, api: WatchedSandbox) -> None:
    """The next pictures of a slice are on their way while one is stored: this host answers no request that is alone."""
    file_an_hour(project, api)
    alone = threading.Barrier(2, timeout=20)

    def in_pairs(target: str) -> None:
        if "/photo-" in target:
            alone.wait()

    api.instead = in_pairs
    (project.folder / "steady.py").write_text(
        "import sys\nfrom pipeline import __main__, catchup\n"
        "catchup.QUICK_SECONDS = 60  # a slow machine must not count for a slow line\n"
        "sys.exit(__main__.main())\n"
    )
    run = project.run("steady", "catch-up", "--start", "2026-11-20T0001", "--stop", "2026-11-20T0021", "--workers", "1")
    assert run.returncode == 0, run.stderr
    assert len(api.requests("/photo-")) == 20


@pytest.mark.ci
def test_a_picture_that_takes_all_its_time_takes_none_of_its_neighbours(project: Project, api: WatchedSandbox) -> None:
    """What was asked for ahead, and waited while another picture did not come, is asked for anew."""
    file_an_hour(project, api)
    project.configure(answer_seconds="1", size="full")
    slow, over = json.loads((project.root / "2026-11-20/0005.json").read_text())["id"], threading.Event()

    def held(target: str) -> None:
        if slow in target:
            over.wait(60)

    api.instead = held
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0001", "--stop", "2026-11-20T0021", "--workers", "1")
    over.set()
    assert run.returncode == 30
    assert pictures(project) == [minute for minute in expected(START, 21) if minute != "2026-11-20T0005"]
    assert "19 of 20 missing stored" in run.stderr
    assert ", 1 failed," in run.stderr


@pytest.mark.ci
def test_what_failed_has_another_try(project: Project, api: WatchedSandbox) -> None:
    """Within a call a failed minute is tried again with the next round."""
    failing = iter(range(3))
    api.instead = lambda target: status(503) if "/photo-" in target and next(failing, None) is not None else None
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0030")
    assert run.returncode == 0, run.stderr
    assert len(pictures(project)) == 30
    assert not list(project.root.glob("*/*.error"))


@pytest.mark.ci
def test_an_answer_that_does_not_come_is_asked_for_once_a_slice(project: Project, api: WatchedSandbox) -> None:
    """While the API is in trouble no minute of a slice asks but the first: the quota is not spent on the others."""
    api.instead = lambda target: status(503) if target.startswith("/photos/random") else None
    window = START - (START - minutes.EPOCH) % (156 * MINUTE)
    span = ("--start", minutes.name(window), "--stop", minutes.name(window + 60 * MINUTE))
    run = project.run("pipeline", "catch-up", *span, "--workers", "2")
    assert run.returncode == 30
    assert len(api.requests("/photos/random")) == len(TOPICS)
    assert "0 of 60 missing stored" in run.stderr
    assert run.stderr.count("Unsplash answered 503") == len(TOPICS)


@pytest.mark.ci
def test_thumbnails_that_cannot_be_written_fail_nothing(project: Project, api: WatchedSandbox) -> None:
    """What stands in the thumbnails' way is said; the pictures are stored, and shown themselves."""
    (project.root / "2026-11-20").mkdir(parents=True)
    (project.root / "2026-11-20/thumb").write_text("no folder")
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0010")
    assert run.returncode == 0, run.stderr
    assert pictures(project) == expected(START, 10)
    assert "2026-11-20/thumb/0000.jpg: Not a directory" in run.stderr
    assert hour(project, "2026-11-20/00")["05"]["thumb"] is False


def test_what_has_the_name_of_an_address_fails_its_minute_alone(project: Project, api: WatchedSandbox) -> None:
    """A folder in the place of an address is named as the reason of its minute; the others are stored."""
    project.configure(topics="art")
    (project.root / "2026-11-20/0001.txt").mkdir(parents=True)
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0003")
    assert run.returncode == 30, run.stderr
    reason = re.escape(f"{project.root.name}/2026-11-20/0001.txt: Is a directory")
    assert re.findall(rf"(?m)^(\S+) failed: .*{reason}$", untimed(run.stderr)) == ["2026-11-20T0001"]
    assert "2 of 3 missing stored" in run.stderr
    assert pictures(project) == ["2026-11-20T0000", "2026-11-20T0002"]


def test_no_key_is_said_once(project: Project, api: WatchedSandbox) -> None:
    """Without a key no slice is begun."""
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0100", UNSPLASH_API_KEY="")
    assert run.returncode == 30
    assert run.stderr.count("there is no key") == len(run.stderr.splitlines()) == 1
    assert api.asked == []


def test_a_wrong_key_stops_all_at_once(project: Project, api: WatchedSandbox) -> None:
    """No slice is begun after the API has refused the key."""
    command = ("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-21T0000", "--workers", "2")
    run = project.run(*command, UNSPLASH_API_KEY=sandbox.WRONG_KEY)
    assert run.returncode == 30
    assert len(api.asked) <= 2
    assert "check UNSPLASH_API_KEY" in run.stderr


@pytest.mark.ci
def test_a_used_up_quota_stops_the_asking(project: Project, api: WatchedSandbox) -> None:
    """With the quota used up, what has its photo is stored still, and the rest is said to be left."""
    hour = f"{minutes.present_minute():%H}"
    project.store("2026-11-20T0000")
    ahead = len(list(project.root.glob("2026-11-20/*.json")))
    api.hourly_limit = 1
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-21T0000", "--workers", "2")
    if f"{minutes.present_minute():%H}" != hour:
        pytest.skip("an hour began meanwhile, and its quota with it")
    assert run.returncode == 30
    assert len(pictures(project)) == ahead
    assert re.search(rf"more from about \d\d:00 UTC: {ahead - 1} of 1439 missing stored", run.stderr), run.stderr
    assert len(api.requests("/photos/random")) <= 3


@pytest.mark.ci
def test_a_used_up_quota_ends_a_long_catch_up_soon(project: Project, api: WatchedSandbox) -> None:
    """What has no photo is not tried slice by slice: no process is begun for it."""
    api.hourly_limit = 0
    run = project.run("pipeline", "catch-up", "--start", "2024-01-01T0000", "--stop", "2024-12-31T0000", "--workers", "2")
    assert run.returncode == 30
    assert len(list(project.root.rglob("*.error"))) <= 250


def test_ctrl_c_stops_cleanly(project: Project, api: WatchedSandbox) -> None:
    """Ctrl-C ends the call at once; what is stored is counted and shown, and the next call goes on from there."""
    begun, gate = threading.Event(), threading.Event()

    def hold(target: str) -> None:
        if len(api.requests("/photo-")) > 20:
            begun.set()
            gate.wait(60)

    api.instead = hold
    command = ("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0300", "--workers", "2")
    process = project.start(*command)
    assert begun.wait(60)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=10)
    gate.set()
    assert process.returncode == 130
    assert "Traceback" not in shown
    stored = pictures(project)
    assert 0 < len(stored) < 30  # less than the slices it was at
    assert shown.count("\n") == 1
    assert f"stopped: {len(stored)} of 180 missing stored" in shown
    assert "0 failed" in shown
    newest = project.root / stored[-1].replace("T", "/")
    assert (project.root / "latest.jpg").read_bytes() == newest.with_suffix(".jpg").read_bytes()
    assert "id" in hour(project, stored[-1][:-2].replace("T", "/"))[stored[-1][-2:]]
    assert project.run(*command).returncode == 0
    assert pictures(project) == expected(START, 180)


@pytest.mark.parametrize("default", [pytest.param("spawn", marks=pytest.mark.ci), "forkserver"])
def test_how_python_begins_processes(project: Project, default: str) -> None:
    """Where processes do not begin as copies by default, as from Python 3.14 on, a catch-up works all the same."""
    run = catch_up_where(project, f"multiprocessing.set_start_method({default!r})")
    assert run.returncode == 0, run.stderr
    assert pictures(project) == expected(START, 60)


WITHOUT_FORK = "multiprocessing.get_all_start_methods = lambda: ['spawn']"


@pytest.mark.parametrize("machine", ["sys.platform = 'darwin'", pytest.param(WITHOUT_FORK, marks=pytest.mark.ci)])
def test_machines_that_cannot_fork(project: Project, api: WatchedSandbox, machine: str) -> None:
    """On macOS and Windows the slices run in the call's own process: all is stored but what fails, and that is said."""
    api.instead = lambda target: status(503) if target in api.requests("/photo-")[:1] else None
    run = catch_up_where(project, machine)
    assert run.returncode == 30, run.stderr
    assert len(pictures(project)) == 59
    assert run.stderr.count("failed: StoreImage: the picture's host answered 503") == 1
    api.instead = lambda target: None
    assert catch_up_where(project, machine).returncode == 0
    assert pictures(project) == expected(START, 60)


@pytest.mark.ci
def test_a_killed_process_is_said_in_one_line(project: Project, api: WatchedSandbox) -> None:
    """If the system kills one of its processes the call says so, and its slice has another try."""
    begun, gate = threading.Event(), threading.Event()

    def hold(target: str) -> None:
        if len(api.requests("/photo-")) > 5:
            begun.set()
            gate.wait(60)

    api.instead = hold
    process = project.start("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0100", "--workers", "1")
    assert begun.wait(60)
    child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[-1]
    os.kill(int(child), signal.SIGKILL)
    gate.set()
    _, shown = process.communicate(timeout=120)
    assert process.returncode == 0, shown
    assert "Traceback" not in shown
    assert shown.count("a process of the catch-up was killed") == 1
    assert pictures(project) == expected(START, 60)
    newest = project.root / pictures(project)[-1].replace("T", "/")
    assert (project.root / "latest.jpg").read_bytes() == newest.with_suffix(".jpg").read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--since", "1 day"],
        ["--start", "2026-11-20"],
        ["--limit", "many"],
        ["--since", "99999d"],
        ["--start", "2026-11-20T0001", "--stop", "2026-11-20T0001"],
        ["--stop", "2026-11-20T0001"],
    ],
)
def test_unusable_arguments(project: Project, arguments: list[str]) -> None:
    """What cannot be used is said in one line, with the exit code of the contract."""
    run = project.run("pipeline", "catch-up", *arguments)
    assert run.returncode == 40
    assert len(run.stderr.splitlines()) == 1


def test_luigi_s_own_range_works(project: Project, api: WatchedSandbox) -> None:
    """RangeByMinutes finds exactly the minutes that are missing and stores them."""
    for minute in ("2026-11-20T2359", "2026-11-21T0001"):
        project.store(minute)
    command = ("luigi", "--module", "pipeline", "RangeByMinutes", "--of", "StoreImage", "--local-scheduler")
    span = ("--start", "2026-11-20T2358", "--stop", "2026-11-21T0004", "--minutes-back", "1000000")
    run = project.run(*command, *span, PYTHONWARNINGS="ignore")
    assert run.returncode == 0, run.stderr
    assert pictures(project) == expected(datetime(2026, 11, 20, 23, 58), 6)
    assert set(re.findall(r"StoreImage (\S+) done", run.stderr)) == {
        "2026-11-20T2358", "2026-11-21T0000", "2026-11-21T0002", "2026-11-21T0003",
    }  # fmt: skip


def test_luigi_s_own_range_ends_at_the_present(project: Project) -> None:
    """A range that goes on after now stores no minute whose time has not come."""
    first = minutes.name(minutes.present_minute() - 2 * MINUTE)
    command = ("luigi", "--module", "pipeline", "RangeByMinutes", "--of", "StoreImage", "--local-scheduler", "--start", first)
    run = project.run(*command, "--minutes-forward", "30", "--minutes-interval", "1", PYTHONWARNINGS="ignore")
    assert run.returncode == 0, run.stderr
    assert first in pictures(project)
    assert max(pictures(project)) <= minutes.name(minutes.present_minute())


def test_the_bar_moves(project: Project, faulty: servers.Server) -> None:
    """On a terminal the bar's clock goes on while the first answer is waited for, from second to second."""
    faulty.breaks("photos", servers.hangs_before_head)
    terminal, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0100"]
    environment = {**project.environment, "UNSPLASH_API_URL": faulty.origin}
    with subprocess.Popen(command, cwd=project.folder, env=environment, stderr=its_end) as process:
        os.close(its_end)
        drawn = b""
        while not re.search(rb"00:01<.*00:02<.*00:03<", drawn, re.DOTALL):
            assert select.select([terminal], [], [], 60)[0], drawn
            drawn += os.read(terminal, 4096)
        process.send_signal(signal.SIGINT)
        while select.select([terminal], [], [], 60)[0]:
            try:
                os.read(terminal, 4096)
            except OSError:  # the terminal is left
                break
    os.close(terminal)
    assert process.returncode == 130
    assert faulty.count("picture") == 0
