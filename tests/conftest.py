"""One real server, real files, real `luigi` processes: what the tests stand on."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pipeline import sandbox, settings
from tests import servers

REPOSITORY = Path(__file__).parent.parent
KEY = "test-key-0123456789-abcdefghijklmnopqrstuvw"

QUICK = {
    "retry_delay": "0.1",
    "wait_interval": "0.02",
}


class Project:
    """A folder with a luigi.cfg, in which `luigi` and `python -m pipeline` are run as a person would."""

    def __init__(self, folder: Path, api_url: str) -> None:
        self.folder = folder
        self.root = folder / "data"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("UNSPLASH_", "LUIGI_"))},
            "UNSPLASH_API_KEY": KEY,
            "UNSPLASH_API_URL": api_url,
            "PYTHONWARNINGS": "error",
        }
        self.configure(**QUICK)

    def configure(self, **settings: str) -> None:
        """Write the shipped luigi.cfg with other values for these settings, whatever their section."""
        path = self.folder / "luigi.cfg"
        text = (path if path.exists() else REPOSITORY / "luigi.cfg").read_text()
        for name, value in settings.items():
            text, count = re.subn(rf"(?m)^{name} =.*$", f"{name} = {value}", text)
            if not count:
                text = text.replace("[scheduler]\n", f"[scheduler]\n{name} = {value}\n")
        path.write_text(text)

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a command of the virtual environment's Python in the folder."""
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the virtual environment's Python to its end."""
        with self.start(*command, **environment) as process:
            try:
                out, err = process.communicate(timeout=120)
            finally:
                process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def store(self, timestamp: str, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a minute with the local scheduler."""
        command = (
            "luigi",
            "--module",
            "pipeline",
            "StoreImage",
            "--local-scheduler",
            "--timestamp",
            timestamp,
            *options,
        )
        return self.run(*command, **environment)

    def files(self) -> set[str]:
        """Return the names of all files under ROOT, as `2026-11-23/1205.jpg`."""
        return {path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test marked `one_in(number)` leave all cases but one in so many to .ci/run."""
    seen = Counter[str]()
    for item in items:
        if mark := item.get_closest_marker("one_in"):
            name = item.nodeid.partition("[")[0]
            if seen[name] % mark.args[0]:
                item.add_marker(pytest.mark.ci)
            seen[name] += 1


@pytest.fixture(autouse=True, scope="session")
def _signals_are_taken() -> None:
    """Let the processes of the tests take Ctrl-C and hangups, which a background shell and nohup have them ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _settings_are_read_anew() -> None:
    """What a process reads once is read by each test."""
    settings.check.cache_clear()
    settings.archive.cache_clear()
    settings.unsplash_settings.cache_clear()


class WatchedSandbox(sandbox.Sandbox):
    """A sandbox that notes the targets it is asked for; `instead` may give another answer to one."""

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self.asked: list[str] = []
        self.instead: Callable[[str], sandbox.Answer | None] = lambda target: None

    def answer(self, target: str, headers: Mapping[str, str]) -> sandbox.Answer:
        self.asked.append(target)
        return self.instead(target) or super().answer(target, headers)

    def requests(self, word: str) -> list[str]:
        """Return the targets asked for that have the word in them."""
        return [target for target in self.asked if word in target]


def status(number: int, body: bytes = b"") -> sandbox.Answer:
    """Return an answer of nothing but a status, and a body if there is one."""
    return sandbox.Answer(number, {"Content-Length": str(len(body))}, body)


def untimed(text: str) -> str:
    """Return the lines of a log without the time that each has."""
    parts = [re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (.*\n)", line) for line in text.splitlines(keepends=True)]
    assert all(parts), text
    return "".join(part[1] for part in parts if part)


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Return when it holds; fail if it does not within so many seconds."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)


@pytest.fixture
def server() -> Iterator[sandbox.Server]:
    """Serve the sandbox on a free port; its address is `server.sandbox.origin`."""
    with sandbox.Server(0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def api(server: sandbox.Server) -> WatchedSandbox:
    """Return the sandbox behind the server, which notes what it is asked."""
    server.sandbox = watched = WatchedSandbox(server.sandbox.origin)
    return watched


@pytest.fixture
def project(tmp_path: Path, api: WatchedSandbox) -> Project:
    """Return a project folder whose API is the sandbox's server."""
    return Project(tmp_path, api.origin)


@pytest.fixture
def asking(api: WatchedSandbox, monkeypatch: pytest.MonkeyPatch) -> WatchedSandbox:
    """Have the environment of the tests name the sandbox's server."""
    monkeypatch.setenv("UNSPLASH_API_KEY", KEY)
    monkeypatch.setenv("UNSPLASH_API_URL", api.origin)
    return api


@pytest.fixture
def recorder() -> Iterator[servers.Recorder]:
    """Serve what the test says, and note what is asked."""
    with servers.Recorder() as server, servers.serving(server):
        yield server


@pytest.fixture
def proxy() -> Iterator[servers.Proxy]:
    """Pass on what comes to a free port, and note what it was."""
    with servers.Proxy() as server, servers.serving(server):
        yield server


@pytest.fixture
def faulty() -> Iterator[servers.Server]:
    """Serve the sandbox on a free port, with the faults that the test says."""
    with servers.Server() as server, servers.serving(server):
        yield server
        server.closing.set()


@pytest.fixture
def minute(tmp_path: Path, faulty: servers.Server) -> Project:
    """Return a project that asks the faulty server for one photo at a time and gives up after three tries."""
    project = Project(tmp_path, faulty.origin)
    project.configure(photos_per_request="1", retry_count="3")
    return project
