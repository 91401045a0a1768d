"""Hosts that share a catch-up: luigid divides the slices, and what one host leaves another finishes."""

import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import sandbox
from pipeline.catchup import AHEAD
from tests.conftest import Project, WatchedSandbox, status, untimed, wait_until
from tests.support.luigid import Luigid, free_port, running_luigid

# Six hours on the grid of 26 rounds of 6 topics: three windows, one of them whole.
SPAN = ("--start", "2026-11-20T0000", "--stop", "2026-11-20T0600")
MINUTES, SLICES = 360, 18
WAIT_SECONDS = 60


class PlainSandbox(WatchedSandbox):
    """A sandbox without photos of Unsplash+, so that one answer is always enough for a slice."""

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self._offers: list[bytes] = []

    def answer(self, target: str, headers: dict[str, str]) -> sandbox.Answer:  # type: ignore[override]
        answer = super().answer(target, headers)
        while b"/premium_photo-" in answer.body:
            answer = sandbox.Sandbox.answer(self, target, headers)
        if target.startswith("/photos/random"):
            self._offers.append(answer.body)
        return answer

    def slice_of(self, picture: str) -> int:
        """Return the number of the answer that offered the picture."""
        return next(number for number, offer in enumerate(self._offers) if picture.encode() in offer)


@pytest.fixture
def api(server: sandbox.Server) -> PlainSandbox:
    """Return the sandbox behind the server, with quota to spare."""
    server.sandbox = watched = PlainSandbox(server.sandbox.origin)
    watched.hourly_limit = 10**6
    return watched


class Hosts:
    """Hosts that share a ROOT and a luigid: each is a folder of its own, with a luigi.cfg that names both."""

    def __init__(self, folder: Path, api_url: str) -> None:
        self.folder = folder
        self.root = folder / "data"
        self.port = free_port()
        self._api_url = api_url
        self._began: list[subprocess.Popen[str]] = []
        self.of_luigid = self._project("luigid")

    def start(self, workers: int = 2, **environment: str) -> "subprocess.Popen[str]":
        """Start a shared catch-up on another host."""
        host = self._project(f"host{len(self._began)}")
        command = ("pipeline", "catch-up", "--shared", *SPAN, "--workers", str(workers))
        self._began.append(host.start(*command, **environment))
        return self._began[-1]

    def pictures(self) -> int:
        """Return how many minutes have a picture."""
        return len(list(self.root.glob("2*/????.jpg")))

    def close(self) -> None:
        """End what still runs."""
        for process in self._began:
            process.kill()
            process.communicate()

    def _project(self, name: str) -> Project:
        (self.folder / name).mkdir()
        project = Project(self.folder / name, self._api_url)
        settings = {"root": str(self.root), "scheduler_port": str(self.port), "size": "thumb", "worker_disconnect_delay": "3"}
        project.configure(**settings)
        return project


@pytest.fixture
def hosts(tmp_path: Path, api: PlainSandbox) -> Iterator[Hosts]:
    """Return hosts that have no luigid yet."""
    hosts = Hosts(tmp_path, api.origin)
    yield hosts
    hosts.close()


@pytest.fixture
def luigid(hosts: Hosts) -> Iterator[Luigid]:
    """Run the hosts' luigid."""
    project = hosts.of_luigid
    with running_luigid(project.folder, project.environment, hosts.port) as luigid:
        yield luigid


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Return what holds answers back until it is set; set at the end, or the server would not end."""
    gate = threading.Event()
    yield gate
    gate.set()


def holds(gate: threading.Event, is_held: Callable[[str], bool]) -> Callable[[str], None]:
    """Return what keeps the answers to such targets waiting until the gate is set."""

    def hold(target: str) -> None:
        if is_held(target):
            gate.wait(WAIT_SECONDS)

    return hold


def workers(luigid: Luigid) -> dict[str, int]:
    """Return how many slices each of luigid's workers has running."""
    return {worker["name"]: worker["num_running"] for worker in luigid.api("worker_list")}


def stored_by(process: "subprocess.Popen[str]", code: int = 0) -> int:
    """Wait for the host and return how many pictures it stored."""
    _, said = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == code, said
    assert "Traceback" not in said
    return int(re.findall(r"(?m)^this host stored (\d+) of \d+$", untimed(said))[0])


def children(process: "subprocess.Popen[str]") -> list[Path]:
    """Return where Linux shows the processes that this one began, while they are."""
    pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [path for pid in pids if (path := Path("/proc") / pid).exists() and (path / "cmdline").read_bytes()]


def pictures_fetched(api: WatchedSandbox) -> list[str]:
    return [target for target in api.asked if re.match(r"/photo-", target)]


def test_two_hosts_divide_the_work(hosts: Hosts, luigid: Luigid, api: PlainSandbox, gate: threading.Event) -> None:
    """Each stores a part, no picture is fetched twice, the API is asked once a slice at most, and luigid knows slices alone."""
    api.instead = holds(gate, lambda target: "/photos/random" in target)
    first, second = hosts.start(), hosts.start()
    wait_until(lambda: sorted(workers(luigid).values()) == [2, 2])
    gate.set()
    shares = stored_by(first), stored_by(second)
    assert min(shares) > 0
    assert sum(shares) == hosts.pictures() == MINUTES
    assert len(set(pictures_fetched(api))) == len(pictures_fetched(api)) == MINUTES
    assert len(api.requests("/photos/random")) <= SLICES
    tasks = luigid.api("task_list", status="", upstream_status="")
    assert [task["name"] for task in tasks.values()] == ["Slice"] * SLICES


@pytest.mark.ci
def test_a_killed_host_s_slices_are_finished_by_another(
    hosts: Hosts, luigid: Luigid, api: PlainSandbox, gate: threading.Event
) -> None:
    """Its processes end with it; the other host, which has nothing left to do, waits for its slices, and asks nothing again."""
    held: list[str] = []
    is_alone = True

    def hold(target: str) -> None:
        if is_alone and target.startswith("/photo-") and len(pictures_fetched(api)) > 3 * AHEAD:
            held.append(target)
            gate.wait(WAIT_SECONDS)

    api.instead = hold
    killed = hosts.start()
    wait_until(lambda: len({api.slice_of(picture) for picture in list(held)}) == 2)
    is_alone = False
    other = hosts.start()
    wait_until(lambda: len(luigid.api("task_list", status="DONE", upstream_status="")) == SLICES - 2)
    processes = children(killed)
    assert len(processes) == 2
    killed.kill()
    wait_until(lambda: not any(path.exists() for path in processes))
    gate.set()
    stored_by(other)
    assert hosts.pictures() == MINUTES
    assert len(api.requests("/photos/random")) <= SLICES
    twice = {target for target in pictures_fetched(api) if pictures_fetched(api).count(target) > 1}
    assert twice.issuperset(held)
    assert len(pictures_fetched(api)) <= MINUTES + 2 * AHEAD


@pytest.mark.ci
def test_a_host_that_joins_takes_its_share(hosts: Hosts, luigid: Luigid, api: PlainSandbox, gate: threading.Event) -> None:
    """A host that comes when others have stored some finds other minutes missing, and the same slices."""
    api.instead = holds(gate, lambda target: "/photos/random" in target and len(api.requests("/photos/random")) > 4)
    first = hosts.start()
    wait_until(lambda: len(luigid.api("task_list", status="DONE", upstream_status="")) >= 2)
    late = hosts.start()
    wait_until(lambda: sorted(workers(luigid).values()) == [2, 2])
    gate.set()
    assert stored_by(late) > 0
    stored_by(first)
    assert hosts.pictures() == len(pictures_fetched(api)) == MINUTES
    assert len(luigid.api("task_list", status="", upstream_status="")) == SLICES


@pytest.mark.ci
def test_what_failed_has_another_try(hosts: Hosts, luigid: Luigid, api: PlainSandbox) -> None:
    """A picture that fails leaves its slice to another try, by any host; nothing else is fetched again for its sake."""
    failing = iter(range(3))
    api.instead = lambda target: status(503) if target.startswith("/photo-") and next(failing, None) is not None else None
    assert sum(map(stored_by, (hosts.start(), hosts.start()))) == MINUTES
    assert len(pictures_fetched(api)) == MINUTES + 3
    assert len(api.requests("/photos/random")) <= SLICES + 3


@pytest.mark.ci
def test_pictures_that_never_come(hosts: Hosts, api: PlainSandbox) -> None:
    """When a slice has failed as often as luigid allows the host ends, with the reasons and an exit code that tells."""
    project = hosts.of_luigid
    project.configure(retry_count="2")
    api.instead = lambda target: status(503) if target.startswith("/photo-") else None
    with running_luigid(project.folder, project.environment, hosts.port):
        host = hosts.start(workers=4)
        _, said = host.communicate(timeout=WAIT_SECONDS)
    assert host.returncode == 30
    assert "2026-11-20T0559 failed: StoreImage: the picture's host answered 503" in said
    assert f"done: 0 of {MINUTES} missing stored" in said


def test_a_wrong_key_ends_it(hosts: Hosts, luigid: Luigid, api: PlainSandbox) -> None:
    """A host whose key the API refuses begins no other slice and says why."""
    host = hosts.start(UNSPLASH_API_KEY=sandbox.WRONG_KEY)
    _, said = host.communicate(timeout=WAIT_SECONDS)
    assert host.returncode == 30
    assert len(api.asked) <= 4
    assert re.search(r"check UNSPLASH_API_KEY.*: 0 of 360 missing stored", said), said
    assert "Traceback" not in said


def test_luigid_is_away(hosts: Hosts, api: PlainSandbox) -> None:
    """Without luigid nothing is begun, at once, with one line and the exit code for it."""
    host = hosts.start()
    _, said = host.communicate(timeout=WAIT_SECONDS)
    assert host.returncode == 40
    assert re.fullmatch(r"python -m pipeline: luigid does not answer at \S+ start it, or leave out --shared\n", untimed(said))
    assert api.asked == []


@pytest.mark.ci
def test_luigid_goes_away(hosts: Hosts, api: PlainSandbox) -> None:
    """A host whose luigid dies ends with one line more and the same exit code; the next call goes on from there."""
    project = hosts.of_luigid
    impatient = hosts.folder / "impatient.cfg"
    impatient.write_text("[core]\nrpc_retry_wait = 1\n")
    with running_luigid(project.folder, project.environment, hosts.port):
        # Luigi reads this setting, and warns that nobody does.
        host = hosts.start(LUIGI_CONFIG_PATH=str(impatient), PYTHONWARNINGS="ignore")
        wait_until(lambda: len(pictures_fetched(api)) > 10)
    _, said = host.communicate(timeout=WAIT_SECONDS)
    assert host.returncode == 40
    assert re.search(r"(?m)^\S+Z python -m pipeline: luigid does not answer any more at \S+$", said), said
    assert "Traceback" not in said
    before = hosts.pictures()
    assert 0 < before < MINUTES
    with running_luigid(project.folder, project.environment, hosts.port):
        assert stored_by(hosts.start()) == MINUTES - before


@pytest.mark.ci
def test_ctrl_c_leaves_the_rest_to_the_others(hosts: Hosts, luigid: Luigid, api: PlainSandbox, gate: threading.Event) -> None:
    """A host that is stopped ends after the pictures that it is at; its slices are done by another.

    Only what was asked for ahead is fetched again.
    """
    api.instead = holds(gate, lambda target: target.startswith("/photo-") and len(pictures_fetched(api)) > 4 * AHEAD)
    stopped = hosts.start()
    wait_until(lambda: len(pictures_fetched(api)) >= 4 * AHEAD + 2)
    stopped.send_signal(signal.SIGINT)
    gate.set()
    _, said = stopped.communicate(timeout=WAIT_SECONDS)
    assert stopped.returncode == 130
    assert "Traceback" not in said
    assert re.search(rf"stopped: \d+ of {MINUTES} missing stored", said)
    before = hosts.pictures()
    assert 2 * AHEAD <= before < MINUTES
    assert stored_by(hosts.start()) == MINUTES - before
    assert len(pictures_fetched(api)) <= MINUTES + 2 * AHEAD
