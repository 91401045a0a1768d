"""Runs over TLS and through proxies: a server with a certificate, and a proxy that notes what it passes on."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import sandbox
from tests import servers
from tests.conftest import KEY, Project, WatchedSandbox
from tests.servers import Proxy

SPAN = ("--start", "2026-11-20T0000", "--stop", "2026-11-20T0040")
MINUTES = 40


@pytest.fixture
def tls_api(tmp_path: Path) -> Iterator[WatchedSandbox]:
    """Serve the sandbox over TLS, as localhost and as api.test, which only a proxy knows."""
    context = servers.certificate(tmp_path, "DNS:localhost,DNS:api.test")
    with sandbox.Server(0) as server:
        server.sandbox = watched = WatchedSandbox(f"https://localhost:{server.server_port}")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        with servers.serving(server):
            yield watched


@pytest.fixture
def bundle(tls_api: WatchedSandbox, tmp_path: Path) -> str:
    """Return the path of the server's certificate."""
    return str(tmp_path / "certificate.pem")


def through(proxy: Proxy, watched: WatchedSandbox, origin: str) -> dict[str, str]:
    """Have the proxy pass all on to the sandbox, as its origin; return the environment of a run that uses the proxy."""
    proxy.host = ("127.0.0.1", int(watched.origin.rpartition(":")[2]))
    watched.origin = origin
    scheme = origin.partition(":")[0]
    names = dict.fromkeys((f"{scheme}_proxy", f"{scheme}_proxy".upper()), proxy.url)
    return {"UNSPLASH_API_URL": origin, **names, "NO_PROXY": "", "no_proxy": ""}


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
    """Every request for another machine goes to the proxy that the environment names."""
    run = project.run("pipeline", "catch-up", *SPAN, **through(proxy, api, "http://api.test"))
    assert run.returncode == 0, run.stderr
    assert pictures(project) == MINUTES
    assert sorted(proxy.asked) == sorted(f"http://api.test{target}" for target in api.asked)


def test_tls_through_a_proxy(project: Project, tls_api: WatchedSandbox, bundle: str, proxy: Proxy) -> None:
    """The proxy is told the host, and neither what is asked there nor the key."""
    environment = through(proxy, tls_api, "https://api.test")
    run = project.run("pipeline", "catch-up", *SPAN, REQUESTS_CA_BUNDLE=bundle, **environment)
    assert run.returncode == 0, run.stderr
    assert pictures(project) == MINUTES == len(tls_api.requests("/photo-"))
    assert set(proxy.asked) == {"CONNECT api.test:443"}
    assert not re.search(f"authorization|{KEY}", "".join(proxy.connect_headers), re.IGNORECASE)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_past_a_proxy(host: str, project: Project, api: WatchedSandbox, proxy: Proxy) -> None:
    """A host that the environment excepts is asked itself, and this machine always, though nothing excepts it."""
    environment = through(proxy, api, api.origin.replace("127.0.0.1", host))
    if host == "0.0.0.0":  # this machine, by a name that is not loopback
        environment |= {"NO_PROXY": host, "no_proxy": host}
    run = project.run("pipeline", "catch-up", *SPAN, **environment)
    assert run.returncode == 0, run.stderr
    assert pictures(project) == MINUTES == len(api.requests("/photo-"))
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"https_proxy": "socks5://127.0.0.1:1"}, "pip install 'requests[socks]'"),
        ({"https_proxy": "http://somebody:secret@proxy:99999"}, "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is no address"),
        ({"REQUESTS_CA_BUNDLE": "/nowhere/company.pem", "https_proxy": ""}, "/nowhere/company.pem holds no certificates"),
    ],
)
def test_what_cannot_pass_ends_the_run(environment: dict[str, str], reason: str, project: Project) -> None:
    """One try, one line that says what to do, and exit code 30."""
    run = project.store(
        "2026-11-20T0000", **{"UNSPLASH_API_URL": "https://api.test", "no_proxy": "", "NO_PROXY": "", **environment}
    )
    assert run.returncode == 30
    assert run.stderr.count(reason) == run.stderr.count("FetchMetadata 2026-11-20T0000 failed: ") == 1
    assert "Traceback" not in run.stderr
    assert "secret" not in run.stderr
    assert run.stderr.count("FetchMetadata 2026-11-20T0000 started") == 1
