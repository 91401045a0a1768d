"""TLS, and proxies before it: a server with a certificate, and a proxy that notes what it passes on."""

import http.client
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer
from urllib.parse import urlsplit

import pytest

from pipeline import sandbox
from tests import faults
from tests.conftest import KEY, Project, WatchedSandbox

SPAN = ("--start", "2026-11-20T0000", "--stop", "2026-11-20T0040")
MINUTES = 40


@contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield
    server.shutdown()
    thread.join()


@pytest.fixture
def tls_api(tmp_path: Path) -> Iterator[WatchedSandbox]:
    """Serve the sandbox over TLS, as localhost."""
    context = faults.certificate(tmp_path, "DNS:localhost")
    with sandbox.server(0) as server:
        server.sandbox = watched = WatchedSandbox(f"https://localhost:{server.server_port}")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        with serving(server):
            yield watched


@pytest.fixture
def bundle(tls_api: WatchedSandbox, tmp_path: Path) -> str:
    """Return the path of the server's certificate."""
    return str(tmp_path / "certificate.pem")


class Proxy(ThreadingHTTPServer):
    """Pass requests on, and note their targets: addresses, or `CONNECT host:port` with its headers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[str] = []
        self.connect_headers: list[str] = []


class ProxyHandler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        parts = urlsplit(self.path)
        host = http.client.HTTPConnection(parts.netloc)
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
        name, _, port = self.path.rpartition(":")
        with socket.create_connection((name, int(port))) as host:
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


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server, serving(server):
        yield server


def pictures(project: Project) -> int:
    return len(list(project.root.glob("2026-11-20/[0-9]*.jpg")))


def test_over_tls(project: Project, tls_api: WatchedSandbox, bundle: str) -> None:
    """A minute and a catch-up, from a host whose certificate the environment names as trusted."""
    known = {"UNSPLASH_API_URL": tls_api.origin, "REQUESTS_CA_BUNDLE": bundle}
    run = project.store("2026-11-20T0000", **known)
    assert run.returncode == 0, run.stderr
    run = project.run("pipeline", "catch-up", *SPAN, **known)
    assert run.returncode == 0, run.stderr
    assert pictures(project) == MINUTES == len(tls_api.requests("/photo-"))


def test_a_certificate_of_another_host(project: Project, tls_api: WatchedSandbox, bundle: str) -> None:
    """A certificate counts for the name that was asked for alone."""
    elsewhere = tls_api.origin.replace("localhost", "127.0.0.1")
    run = project.run("pipeline", "catch-up", *SPAN, UNSPLASH_API_URL=elsewhere, REQUESTS_CA_BUNDLE=bundle)
    assert run.returncode == 30
    assert "IP address mismatch" in run.stderr
    assert tls_api.asked == []


def test_through_a_proxy(project: Project, api: WatchedSandbox, proxy: Proxy) -> None:
    """Every request goes to the proxy that the environment names."""
    run = project.run("pipeline", "catch-up", *SPAN, HTTP_PROXY=proxy.url, http_proxy=proxy.url, NO_PROXY="", no_proxy="")
    assert run.returncode == 0, run.stderr
    assert pictures(project) == MINUTES
    assert sorted(proxy.asked) == sorted(f"{api.origin}{target}" for target in api.asked)


def test_tls_through_a_proxy(project: Project, tls_api: WatchedSandbox, bundle: str, proxy: Proxy) -> None:
    """The proxy is told the host, and neither what is asked there nor the key."""
    run = project.run(
        "pipeline",
        "catch-up",
        *SPAN,
        UNSPLASH_API_URL=tls_api.origin,
        REQUESTS_CA_BUNDLE=bundle,
        HTTPS_PROXY=proxy.url,
        https_proxy=proxy.url,
        NO_PROXY="",
        no_proxy="",
    )
    assert run.returncode == 0, run.stderr
    assert pictures(project) == MINUTES == len(tls_api.requests("/photo-"))
    assert set(proxy.asked) == {f"CONNECT {urlsplit(tls_api.origin).netloc}"}
    assert not re.search(f"authorization|{KEY}", "".join(proxy.connect_headers), re.IGNORECASE)


def test_past_a_proxy(project: Project, api: WatchedSandbox, proxy: Proxy) -> None:
    """A host that the environment excepts is asked itself."""
    name = str(urlsplit(api.origin).hostname)
    run = project.run("pipeline", "catch-up", *SPAN, HTTP_PROXY=proxy.url, http_proxy=proxy.url, NO_PROXY=name, no_proxy=name)
    assert run.returncode == 0, run.stderr
    assert pictures(project) == MINUTES == len(api.requests("/photo-"))
    assert proxy.asked == []
