"""Servers on free ports: one that misbehaves on purpose, one that notes what it is sent, a proxy, and TLS before them."""

import http.client
import itertools
import json
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from socketserver import BaseServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipeline import sandbox


@contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield
    server.shutdown()
    thread.join()


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


def announces(framing: bytes) -> Fault:
    """Send a head with these words on the length of a body, and then nothing."""

    def fault(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        handler.server.closing.wait()

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


class Recorder(ThreadingHTTPServer):
    """Answer every request with `status`, `headers` and `body`, when `holds` lets it, and keep what was asked."""

    daemon_threads = True
    request_queue_size = 128
    status = 200
    body = b"[]"
    holds: threading.Barrier | None = None

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), RecorderHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.connections: set[object] = set()

    def handle_error(self, *arguments: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # that is a picture let go
            super().handle_error(*arguments)


class RecorderHandler(BaseHTTPRequestHandler):
    server: Recorder
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.connections.add(self.client_address)
        self.server.asked.append((self.requestline.split(" ")[1], dict(self.headers.items())))
        if self.server.holds:
            self.server.holds.wait(60)
        self.send_response(self.server.status)
        for name, value in {"Content-Length": str(len(self.server.body)), **self.server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Proxy(ThreadingHTTPServer):
    """Pass requests on to `host`, whomever they are for, and note their targets.

    A target is an address, or `CONNECT host:port`, whose headers are noted as well.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.host = ("127.0.0.1", 0)
        self.asked: list[str] = []
        self.connect_headers: list[str] = []


class ProxyHandler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        parts = urlsplit(self.path)
        host = http.client.HTTPConnection(*self.server.host)
        host.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path, headers=dict(self.headers.items()))
        answer = host.getresponse()
        body = answer.read()
        host.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        self.server.asked.append(f"CONNECT {self.path}")
        self.server.connect_headers.append(str(self.headers))
        with socket.create_connection(self.server.host) as host:
            self.send_response(200)
            self.end_headers()
            answers = threading.Thread(target=pass_on, args=(host, self.connection))
            answers.start()
            pass_on(self.connection, host)
            answers.join()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def pass_on(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until there are no more, and say so to the other side."""
    try:
        while part := source.recv(2**16):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other side is gone


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
