"""A real luigid on a free port."""

import json
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.conftest import Project

START_SECONDS = 60
ASKED_AGAIN_SECONDS = 5


class Luigid:
    """A luigid that listens on a port of this host."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def page(self, path: str) -> str:
        """Return a page of the web view."""
        with urllib.request.urlopen(self.url + path, timeout=START_SECONDS) as answer:
            return str(answer.read().decode())

    def api(self, method: str, **arguments: Any) -> Any:
        """Return what the web view is told when it asks."""
        return json.loads(self.page(f"/api/{method}?{urllib.parse.urlencode({'data': json.dumps(arguments)})}"))["response"]

    def tasks(self, status: str) -> dict[str, str]:
        """Return the ids of the tasks of this status, by the task's name."""
        return {task["name"]: task_id for task_id, task in self.api("task_list", status=status, upstream_status="").items()}

    def is_up(self) -> bool:
        """Tell whether it answers."""
        try:
            return self.page("/api/is_paused") != ""
        except urllib.error.URLError:
            return False


def free_port() -> int:
    """Return a port that nothing listens on, of those that the system gives to no connection of its own accord."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


@contextmanager
def running_luigid(folder: Path, environment: Mapping[str, str], port: int = 0) -> Iterator[Luigid]:
    """Run luigid in the folder, with the luigi.cfg there, until the block ends; what it warns of is Luigi's own."""
    luigid = Luigid(port or free_port())
    program = str(Path(sys.executable).parent / "luigid")
    command = [program, "--address", "127.0.0.1", "--port", str(luigid.port), "--state-path", str(folder / "luigid.state")]
    variables = {**environment, "PYTHONWARNINGS": "default"}
    with (folder / "luigid.log").open("a") as log:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log)
    try:
        give_up = time.monotonic() + START_SECONDS
        while not luigid.is_up():
            said = (folder / "luigid.log").read_text()
            assert process.poll() is None and time.monotonic() < give_up, f"luigid did not start:\n{said}"
            time.sleep(0.05)
        yield luigid
    finally:
        give_up = time.monotonic() + START_SECONDS
        while process.poll() is None:
            assert time.monotonic() < give_up, "luigid did not end"
            # It loses a signal that comes while it writes a line of its log, as it would write another one then.
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(ASKED_AGAIN_SECONDS)


def run_minute(project: Project, luigid: Luigid, timestamp: str) -> "subprocess.CompletedProcess[str]":
    """Run a minute as cron does, through this luigid."""
    options = ("--scheduler-port", str(luigid.port), "--timestamp", timestamp)
    return project.run("luigi", "--module", "pipeline", "StoreImage", *options)
