"""A server that misbehaves on purpose, and what the fault tests share."""

import contextlib
import io
import itertools
import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from pipeline import jpeg, sandbox
from tests.conftest import KEY, Project

MINUTE = "2026-11-23T1205"
FAILED = {"2026-11-23/1205.error"}
FILED = {"2026-11-23/1205.json", "2026-11-23/given", "quota"}
# What shows a stored picture; a run that stored it may fail to make these, and says so.
SHOWN = {"latest.jpg", "index.html", "2026-11-23/index.html", "2026-11-23/thumb/1205.jpg"}
STORED = FILED | SHOWN | {"2026-11-23/1205.txt", "2026-11-23/1205.jpg"}

# What is done in the place of a well answer.
Fault = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """The sandbox on a free port, with faults in its answers.

    `requests` holds what was asked for, `photos`, `event` or `picture`, and the Authorization header that came with it;
    `broken` counts the answers that were faults.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[tuple[str, str | None]] = []
        self.broken = 0
        self.asked = threading.Event()
        self.closing = threading.Event()
        self._sandbox = sandbox.Sandbox(self.origin, hourly_limit=10**6)
        self._faults: dict[str, Iterator[Fault | None]] = {}
        self._lock = threading.Lock()

    def breaks(self, kind: str, *faults: Fault, times: int | None = None) -> None:
        """Answer the next requests of the kind with the faults in turn, so often in all, or for ever."""
        self._faults[kind] = itertools.islice(itertools.cycle(faults), times)

    def breaks_some(self, kind: str, share: float, source: Random, *faults: Fault) -> None:
        """Answer this share of the requests of the kind with one of the faults, drawn from the source."""
        self._faults[kind] = (source.choice(faults) if source.random() < share else None for _ in itertools.count())

    def breaks_nothing(self) -> None:
        """Answer well from here on."""
        self._faults.clear()

    def fault(self, kind: str, authorization: str | None) -> Fault | None:
        """Note the request, and return the fault that is its turn."""
        with self._lock:
            self.requests.append((kind, authorization))
            self.asked.set()
            fault = next(self._faults.get(kind, iter(())), None)
            self.broken += fault is not None
            return fault

    def wait_for(self, kind: str) -> None:
        """Wait until a request of the kind came."""
        while not self.count(kind):
            assert self.asked.wait(60), f"no request for {kind}"
            self.asked.clear()

    def count(self, kind: str) -> int:
        """Return how many requests of the kind came."""
        return sum(each == kind for each, _ in self.requests)

    def well_answer(self, target: str, authorization: str | None) -> sandbox.Answer:
        """Return the sandbox's answer; none of its photos is of Unsplash+, so that one request is always enough."""
        while True:
            answer = self._sandbox.answer(target, {"Authorization": authorization or ""})
            if not target.startswith("/photos/random") or b"/premium_photo-" not in answer.body:
                return answer

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that went away, as it should
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path, authorization = self.path.partition("?")[0], self.headers["Authorization"]
        kind = "photos" if path == "/photos/random" else "event" if path.endswith("/download") else "picture"
        fault = self.server.fault(kind, authorization)
        if fault:
            self.close_connection = True
            fault(self)
        else:
            self.wfile.write(message(self.well_answer()))

    def well_answer(self) -> sandbox.Answer:
        """Return what the sandbox would send."""
        return self.server.well_answer(self.path, self.headers["Authorization"])

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def message(answer: sandbox.Answer) -> bytes:
    """Return the answer as it goes over the wire."""
    head = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    return f"HTTP/1.1 {answer.status} X\r\n{head}\r\n".encode("latin-1") + answer.body


def sends(*parts: bytes) -> Fault:
    """Send these bytes and close the connection."""

    def fault(handler: Handler) -> None:
        for part in parts:
            handler.wfile.write(part)

    return fault


def answers(status: int, body: bytes = b"", **headers: str) -> Fault:
    """Send a proper answer with this content; underscores in header names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return sends(message(sandbox.Answer(status, {"Content-Length": str(len(body)), "Connection": "close", **named}, body)))


def answers_json(content: Any, status: int = 200) -> Fault:
    return answers(status, json.dumps(content).encode(), Content_Type="application/json")


def changes_photo(edit: Callable[[dict[str, Any]], object]) -> Fault:
    """Send the well answer after this change of each of its photos."""

    def fault(handler: Handler) -> None:
        well = handler.well_answer()
        photos = json.loads(well.body)
        for photo in photos:
            edit(photo)
        body = json.dumps(photos).encode()
        headers = {**well.headers, "Content-Length": str(len(body)), "Connection": "close"}
        handler.wfile.write(message(well._replace(headers=headers, body=body)))

    return fault


def changes_body(edit: Callable[[bytes], bytes], announced: Callable[[bytes], dict[str, str]] | None = None) -> Fault:
    """Send the well answer with another body; `announced` gives the headers on its length, by default the true ones."""

    def fault(handler: Handler) -> None:
        well = handler.well_answer()
        body = edit(well.body)
        length = announced(well.body) if announced else {"Content-Length": str(len(body))}
        headers = {name: value for name, value in well.headers.items() if name != "Content-Length"}
        headers |= {"Connection": "close", **length}
        handler.wfile.write(message(well._replace(headers=headers, body=body)))

    return fault


def redirects(target: str, status: int = 302) -> Fault:
    return answers(status, Location=target)


def resets(handler: Handler) -> None:
    """Close the connection with a reset."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def hangs_before_head(handler: Handler) -> None:
    handler.server.closing.wait()


def hangs_inside_head(handler: Handler) -> None:
    handler.wfile.write(message(handler.well_answer())[:20])
    handler.server.closing.wait()


def hangs_inside_body(handler: Handler) -> None:
    handler.wfile.write(message(handler.well_answer())[:-10])
    handler.server.closing.wait()


def holds_until(event: threading.Event) -> Fault:
    """Send the well answer when the event is set."""

    def fault(handler: Handler) -> None:
        event.wait()
        handler.wfile.write(message(handler.well_answer()))

    return fault


def drips(handler: Handler) -> None:
    """Send a byte at a time, slowly: every read of the client is soon answered, and the whole never."""
    for byte in message(handler.well_answer()):
        handler.wfile.write(bytes([byte]))
        if handler.server.closing.wait(0.05):
            return


def continues_for_ever(handler: Handler) -> None:
    """Announce an answer again and again."""
    while not handler.server.closing.wait(0.05):
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")


class Listener:
    """A port that counts the connections it gets, and closes them."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._connections = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if connection.recv(1) == b"\0":
                    return
                self._connections += 1

    def connections(self) -> int:
        """Stop listening, and return how many connections came before."""
        if self._thread.is_alive():
            with socket.create_connection(("127.0.0.1", self.port)) as connection:
                connection.sendall(b"\0")
            self._thread.join()
            self._socket.close()
        return self._connections


@pytest.fixture
def faulty() -> Iterator[Server]:
    """Serve on a free port until the test is over."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def minute(tmp_path: Path, faulty: Server) -> Project:
    """Return a project that asks the faulty server for one photo at a time and gives up after three tries."""
    project = Project(tmp_path, faulty.origin)
    project.configure(photos_per_request="1", retry_count="3")
    return project


def start(project: Project, *prefix: str, options: tuple[str, ...] = (), **environment: str) -> "subprocess.Popen[str]":
    """Start a run of the minute under another program, such as strace, that is given as it is called."""
    timestamp = () if "--timestamp" in options else ("--timestamp", MINUTE)
    luigi = (sys.executable, "-m", "luigi", "--module", "pipeline", "StoreImage", "--local-scheduler", *timestamp, *options)
    return subprocess.Popen(
        [*prefix, *luigi],
        cwd=project.folder,
        env={**project.environment, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
    """Wait for the process, and return its exit code and what it said."""
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    """Return what a server named `DNS:localhost`, say, speaks TLS with; its own certificate is `certificate.pem`."""
    files = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem"))
    names = ("-subj", "/CN=test", "-addext", f"subjectAltName={name}")
    request = [program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names, *files]
    subprocess.run(request, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


def program(name: str) -> str:
    """Return the path of a program of the system; skip the test where it is missing."""
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed")
    return path


@contextlib.contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    """Mount a file system on the folder; skip the test where that is not allowed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run([program("mount"), *arguments, folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def failure(project: Project) -> str:
    """Return the reason that the minute's `.error` gives, its only line."""
    line = (project.root / "2026-11-23" / "1205.error").read_text("utf-8")
    found = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \w+: (.+)\n", line)
    assert found, line
    return found[1]


def assert_key_is_nowhere(project: Project, *runs: "subprocess.CompletedProcess[str]") -> None:
    """Check that the key is in nothing that the runs said, and in no file."""
    for run in runs:
        assert KEY not in run.stdout + run.stderr
    for path in project.folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert KEY.encode() not in path.read_bytes(), path


def assert_key_went_to_the_api_alone(server: Server) -> None:
    """Check that each request to the API had the key and no request for a picture had anything."""
    for kind, authorization in server.requests:
        assert authorization == (None if kind == "picture" else f"Client-ID {KEY}"), kind


CHANGES = "openat,write,fsync,rename,link,unlink,mkdir,flock,utimensat,close"


class Call(NamedTuple):
    """A system call by which a run changes ROOT: its name, which of that name it is in the first thread, and its words."""

    name: str
    number: int
    arguments: str

    def injection(self, what: str) -> tuple[str, ...]:
        """Return the strace command that does this at the call: `signal=SIGKILL`, `error=EIO`."""
        strace = (program("strace"), "-f", "-qq", "-o", os.devnull, "-e", "signal=none")
        return (*strace, "-e", f"trace={self.name}", "-e", f"inject={self.name}:{what}:when={self.number}")


def calls(project: Project) -> list[Call]:
    """Run the minute and return its calls that change the project's folder, in their order."""
    trace = project.folder / "trace"
    strace = (program("strace"), "-f", "-qq", "-y", "--seccomp-bpf", "-o", str(trace), "-e", f"trace={CHANGES}")
    run = ended(start(project, *strace))
    if not trace.exists():
        pytest.skip(f"strace: {run.stderr.strip()}")
    name_of_root = project.root.relative_to(project.folder).parts[0]
    found, counts = [], Counter[str]()
    lines = trace.read_text("utf-8", "replace").splitlines()
    trace.unlink()
    process = lines[0].split()[0]
    for line in lines:
        made = re.match(rf"{process} +(\w+)\((.*)", line)
        if not made:
            continue
        name, arguments = made.groups()
        counts[name] += 1
        concerns_folder = f'"{name_of_root}' in arguments or re.match(rf"\d+<{project.folder}", arguments)
        if concerns_folder and (name != "openat" or "O_CREAT" in arguments):
            found.append(Call(name, counts[name], arguments))
    return found


def assert_whole(project: Project) -> None:
    """Check every file under a name of the contract: it is whole, and fits the other files of its minute."""
    for path in project.root.rglob("*"):
        if path.is_dir() or path.parent.name == ".tmp":
            continue
        content = path.read_bytes()
        photo = path.with_suffix(".json")
        if path.suffix == ".json":
            assert json.loads(content)["pipeline"]["minute"] == f"{path.parent.name}T{path.stem}", path
        elif path.suffix == ".txt":
            assert content.decode("ascii")[:-1] in json.loads(photo.read_bytes())["urls"].values(), path
        elif path.suffix == ".jpg":
            jpeg.picture(io.BytesIO(content))
            assert path.name == "latest.jpg" or path.parent.name == "thumb" or path.with_suffix(".txt").exists(), path
        elif path.suffix == ".html":
            assert content.rstrip().endswith(b"</html>"), path
        elif path.suffix == ".error":
            assert re.fullmatch(rb"\S+Z \w+: [^\n]+\n", content), path
            assert not path.with_suffix(".jpg").exists(), path
        elif path.name == "given":
            assert re.fullmatch(rb"([0-2]\d[0-5]\d [\w-]+\n)+", content), path
        else:
            assert path.name == "quota" and json.loads(content)["limit"], path
