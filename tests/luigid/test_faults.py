"""luigid in trouble: away, dead during a run, without its memory, paused; and a worker that died and held its minute."""

import subprocess
import threading
import time

import pytest

from tests import processes, servers
from tests.conftest import KEY, REPOSITORY, Project, untimed
from tests.processes import FAILED, MINUTE, STORED
from tests.servers import Fault, Server
from tests.support.luigid import free_port, running_luigid

MOST_SECONDS = 120
ALREADY_RUNNING = 10


@pytest.fixture
def project(minute: Project) -> Project:
    """Return the project with a worker that asks luigid again after a second, not after 30."""
    path = minute.folder / "luigi.cfg"
    path.write_text(path.read_text().replace("[core]\n", "[core]\nrpc_retry_wait = 1\n"))
    minute.environment["PYTHONWARNINGS"] = "ignore"  # Luigi reads this setting, and says that nobody does
    return minute


def start(project: Project, luigid: int) -> "subprocess.Popen[str]":
    """Start a run of the minute that reports to luigid on this port."""
    command = ("luigi", "--module", "pipeline", "StoreImage", "--scheduler-port", str(luigid), "--timestamp", MINUTE)
    return project.start(*command)


def assert_stored(project: Project, *runs: "subprocess.CompletedProcess[str]") -> None:
    assert runs[-1].returncode == 0, runs[-1].stderr
    pictures = {name for name in project.files() if name in STORED}
    assert pictures == STORED
    assert not (FAILED - STORED) & project.files()
    processes.assert_whole(project)
    processes.assert_key_is_nowhere(project, *runs)


def test_luigid_is_down(project: Project, faulty: Server) -> None:
    """A run that finds no luigid says so at each try, without a traceback, ends not with exit code 0, and leaves no file."""
    run = processes.ended(start(project, free_port()))
    assert run.returncode not in (0, None)
    said = untimed(run.stderr).splitlines()
    assert said[0].startswith("luigid does not answer, the next try is in a while: ")
    assert said[-1].startswith("luigid does not answer: ")
    assert "Traceback" not in run.stderr
    assert faulty.requests == []
    assert not project.root.exists()
    processes.assert_key_is_nowhere(project, run)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("kind", ["photos", "picture"])
def test_luigid_dies_during_a_run(kind: str, project: Project, faulty: Server) -> None:
    """A run whose luigid dies ends by itself; what it leaves is whole, and the next run stores the minute."""
    held = threading.Event()
    faulty.breaks(kind, servers.holds_until(held), times=1)
    with running_luigid(project.folder, project.environment) as luigid:
        process = start(project, luigid.port)
        faulty.wait_for(kind)
    held.set()
    run = processes.ended(process)
    print(run.returncode, run.stderr)
    assert "Traceback" not in run.stderr
    processes.assert_whole(project)
    (project.folder / "luigid.state").unlink(missing_ok=True)
    with running_luigid(project.folder, project.environment) as luigid:
        assert_stored(project, run, processes.ended(start(project, luigid.port)))


@pytest.mark.ci
@pytest.mark.one_in(2)
@pytest.mark.parametrize("kind", ["photos", "picture"])
def test_luigid_is_restarted_without_its_state(kind: str, project: Project, faulty: Server) -> None:
    """A run whose luigid forgets everything ends by itself; what it leaves is whole, and the next run stores the minute."""
    held = threading.Event()
    faulty.breaks(kind, servers.holds_until(held), times=1)
    with running_luigid(project.folder, project.environment) as luigid:
        process = start(project, luigid.port)
        faulty.wait_for(kind)
    (project.folder / "luigid.state").unlink(missing_ok=True)
    with running_luigid(project.folder, project.environment, luigid.port):
        held.set()
        run = processes.ended(process)
        print(run.returncode, run.stderr)
        assert "Traceback" not in run.stderr
        processes.assert_whole(project)
        assert_stored(project, run, processes.ended(start(project, luigid.port)))


def seconds_until_stored(kind: str, project: Project, faulty: Server) -> float:
    """Kill a worker that holds the minute, and return how long it takes until another run stores it.

    Until luigid has given up the dead worker, runs of the minute end at once with the exit code for that.
    """
    faulty.breaks(kind, servers.hangs_before_head, times=1)
    with running_luigid(project.folder, project.environment) as luigid:
        held = start(project, luigid.port)
        faulty.wait_for(kind)
        held.kill()
        processes.ended(held)
        killed = time.monotonic()
        while (run := processes.ended(start(project, luigid.port))).returncode == ALREADY_RUNNING:
            assert time.monotonic() < killed + 2 * MOST_SECONDS
        seconds = time.monotonic() - killed
    print(f"another run stored the minute of a killed worker after {seconds:.1f} s")
    for path in (project.root / ".tmp").glob("*"):
        path.unlink()
    assert_stored(project, run)
    return seconds


@pytest.mark.one_in(2)
@pytest.mark.parametrize("kind", ["photos", "picture"])
def test_a_killed_worker_holds_its_minute_for_a_while(kind: str, project: Project, faulty: Server) -> None:
    """When luigid has given up a worker that was killed, another run stores the minute."""
    project.configure(worker_disconnect_delay="2")
    seconds_until_stored(kind, project, faulty)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["photos", "picture"])
def test_a_killed_worker_holds_its_minute_for_two_minutes_at_most(kind: str, project: Project, faulty: Server) -> None:
    """With the shipped luigi.cfg that is within two minutes."""
    (project.folder / "luigi.cfg").write_text((REPOSITORY / "luigi.cfg").read_text())
    assert seconds_until_stored(kind, project, faulty) <= MOST_SECONDS


def test_a_paused_luigid(project: Project, faulty: Server) -> None:
    """While somebody has paused luigid a run waits and asks for nothing; it goes on when luigid does."""
    with running_luigid(project.folder, project.environment) as luigid:
        luigid.api("pause")
        process = start(project, luigid.port)
        while not luigid.tasks("PENDING"):
            time.sleep(0.05)
        assert faulty.requests == []
        luigid.api("unpause")
        assert_stored(project, processes.ended(process))


@pytest.mark.ci
def test_a_luigid_that_stays_paused(project: Project, faulty: Server) -> None:
    """A run that waits for longer than luigi.cfg allows ends, not with exit code 0, and leaves no file."""
    project.configure(max_keep_alive_idle_duration="1seconds")
    with running_luigid(project.folder, project.environment) as luigid:
        luigid.api("pause")
        run = processes.ended(start(project, luigid.port))
        assert run.returncode == 25, run.stderr
        assert "Traceback" not in run.stderr
        assert faulty.requests == []
        assert not project.root.exists()
        luigid.api("unpause")
        assert_stored(project, run, processes.ended(start(project, luigid.port)))


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (servers.answers(401), "UNSPLASH_API_KEY"),
        (servers.answers(400, KEY.encode()), "[key]"),
        (servers.answers(503), "answered 503"),
        (servers.resets, "reset"),
    ],
    ids=["401", "the key in the answer", "503", "reset"],
)
def test_the_key_is_not_in_luigid(answer: Fault, word: str, project: Project, faulty: Server) -> None:
    """Neither luigid's API nor its pages nor its state have the key, though the run failed and luigid shows why."""
    faulty.breaks("photos", answer)
    with running_luigid(project.folder, project.environment) as luigid:
        run = processes.ended(start(project, luigid.port))
        seen = [luigid.page(path) for path in ("/", "/api/task_list?data={}", "/api/worker_list?data={}")]
        for task in luigid.api("task_list", status="", upstream_status=""):
            seen += [
                str(luigid.api(method, task_id=task)) for method in ("fetch_error", "get_task_status_message", "dep_graph")
            ]
    assert run.returncode == 30
    assert word in "".join(seen)
    assert KEY not in "".join(seen)
    assert (project.folder / "luigid.state").stat().st_size
    processes.assert_key_is_nowhere(project, run)
