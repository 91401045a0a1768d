"""The way to a host: names, proxies, certificates, and how an address is written when it is asked for."""

import importlib.util
import subprocess
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.errors import BadAnswer, BadSettings, Unavailable
from pipeline.unsplash import Unsplash
from tests import servers
from tests.conftest import KEY
from tests.servers import Listener, Proxy, Recorder

ADDRESS = "https://images.unsplash.com/photo-1"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the environment name neither proxies nor certificates."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def asked(client: Unsplash, recorder: Recorder) -> list[tuple[str, str | None]]:
    """Ask for photos and a picture, and return the targets and the Authorization headers that came."""
    with pytest.raises(BadAnswer):
        client.random_photos("art", 1, size="regular")
    client.prefetch(f"{recorder.url}/photo-1")()
    return [(path.partition("?")[0], headers.get("Authorization")) for path, headers in recorder.asked]


AS_IT_SHOULD_BE = [("/photos/random", f"Client-ID {KEY}"), ("/photo-1", None)]


def test_no_answer_is_unavailable() -> None:
    """A refused connection may pass, and the reason is short."""
    with ThreadingHTTPServer(("127.0.0.1", 0), servers.RecorderHandler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}"
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1: \[Errno 111\] Connection refused$"):
        Unsplash(KEY, url).random_photos("art", 1, size="regular")


def test_netrc_is_not_read(recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A netrc with the API's host changes nothing, neither for the API nor for pictures."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert asked(Unsplash(KEY, recorder.url), recorder) == AS_IT_SHOULD_BE


def test_no_cookie_is_sent_back(recorder: Recorder) -> None:
    """Hosts cannot tell from a cookie that it is the same one who asks."""
    recorder.headers = {"Set-Cookie": "name=value; Path=/"}
    client = Unsplash(KEY, recorder.url)
    for _ in range(2):
        client.prefetch(f"{recorder.url}/photo-1")()
    assert not any("Cookie" in headers for _, headers in recorder.asked)


@pytest.mark.parametrize(
    "target",
    [
        "/photo-1?ixid=M3w5MTMyMXww&ixlib=rb-4.0.3&q=80&w=1080",
        "/photo-1?ixid=a%3D%3D&s=%7E%2B~+",
        "/a/../b/./c",
        "/a//b/",
        "/%41%7E~",
        "/a;b=c,d?e=f:g@h/i?j!$'()*",
    ],
)
def test_an_address_is_asked_for_as_it_is_written(target: str, recorder: Recorder) -> None:
    """Unsplash signs and counts by what stands in its addresses: nothing in them is written in another way."""
    Unsplash(KEY, recorder.url).prefetch(f"{recorder.url}{target}")()
    assert recorder.asked[0][0] == target


@pytest.mark.parametrize(
    ("target", "sent"),
    [("/%7e%2f?a=%c3%A9", "/%7E%2F?a=%C3%A9"), ('/a|b?c="{}"', "/a%7Cb?c=%22%7B%7D%22"), ("/100%", "/100%25")],
)
def test_what_no_address_may_hold(target: str, sent: str, recorder: Recorder) -> None:
    """What means the same is all that urllib3 changes: small letters of an encoding, characters that must be encoded."""
    Unsplash(KEY, recorder.url).prefetch(f"{recorder.url}{target}")()
    assert recorder.asked[0][0] == sent


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "127.8.9.10", "[::1]"])
def test_this_machine_is_not_asked_through_a_proxy(host: str, elsewhere: Listener) -> None:
    """A proxy of the environment is for other machines, though nothing says so."""
    with Recorder("::1" if host == "[::1]" else "127.0.0.1" if "host" in host.lower() else host) as recorder:
        recorder.url = f"http://{host}:{recorder.server_port}"
        with servers.serving(recorder):
            assert asked(Unsplash(KEY, recorder.url), recorder) == AS_IT_SHOULD_BE
    assert elsewhere.connections() == 0


@pytest.mark.usefixtures("bare")
def test_another_machine_is_asked_through_the_proxy(recorder: Recorder, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is the proxy's to look up; a host that the environment excepts is asked itself."""
    proxy.host = ("127.0.0.1", recorder.server_port)
    monkeypatch.setenv("http_proxy", proxy.url)
    recorder.url = "http://api.test"
    assert asked(Unsplash(KEY, recorder.url), recorder) == AS_IT_SHOULD_BE
    assert [address.partition("?")[0] for address in proxy.asked] == [f"{recorder.url}{path}" for path, _ in AS_IT_SHOULD_BE]

    monkeypatch.setenv("no_proxy", "0.0.0.0")  # this machine, by a name that is not loopback
    recorder.url = f"http://0.0.0.0:{recorder.server_port}"
    assert asked(Unsplash(KEY, recorder.url), recorder) == 2 * AS_IT_SHOULD_BE
    assert len(proxy.asked) == 2


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "proxy", ["http://", "http://somebody:secret@proxy:99999", "http://[::1", "ftp://proxy:3128", "http://proxy:port", "//"]
)
def test_a_proxy_that_is_none(name: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's address that cannot be one ends the run, and is not shown: it may hold a password."""
    monkeypatch.setenv(name, proxy)
    for client in (Unsplash(KEY), Unsplash(KEY, "https://api.test")):
        with pytest.raises(BadSettings, match="HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is no address") as raised:
            client.prefetch(ADDRESS)()
        assert "secret" not in str(raised.value)


@pytest.mark.usefixtures("bare")
@pytest.mark.skipif(importlib.util.find_spec("socks") is not None, reason="PySocks is installed")
@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4"])
def test_a_socks_proxy_without_its_package(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends, and the error says what to install."""
    monkeypatch.setenv("https_proxy", f"{scheme}://127.0.0.1:1")
    with pytest.raises(BadSettings, match=r"pip install 'requests\[socks\]'"):
        Unsplash(KEY).random_photos("art", 1, size="regular")


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_certificates_that_are_none(
    name: str, content: bytes | None, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of certificates that is not there, or holds none, ends the run and is named; http goes on without it."""
    bundle = tmp_path / "company.pem"
    if content is not None:
        bundle.write_bytes(content)
    monkeypatch.setenv(name, str(bundle))
    api = recorder.url.replace("http:", "https:")
    with pytest.raises(BadSettings, match=rf"^REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE: {bundle} holds no certificates$"):
        Unsplash(KEY, api).random_photos("art", 1, size="regular")
    assert recorder.asked == []
    assert asked(Unsplash(KEY, recorder.url), recorder) == AS_IT_SHOULD_BE


@pytest.mark.usefixtures("bare")
def test_certificates_that_are_not_the_hosts(recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose certificate cannot be trusted may get a better one; the certificates that are trusted are not to blame."""
    context = servers.certificate(tmp_path, "DNS:localhost")
    (tmp_path / "others").mkdir()
    servers.certificate(tmp_path / "others", "DNS:localhost")
    recorder.socket = context.wrap_socket(recorder.socket, server_side=True, do_handshake_on_connect=False)
    recorder.url = f"https://localhost:{recorder.server_port}"
    for trusted in ("others/certificate.pem", "others"):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / trusted))
        with pytest.raises(Unavailable, match=r"^localhost: .*CERTIFICATE_VERIFY_FAILED"):
            Unsplash(KEY, recorder.url).random_photos("art", 1, size="regular")
    assert recorder.asked == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
    assert asked(Unsplash(KEY, recorder.url), recorder) == AS_IT_SHOULD_BE


NAMES_THAT_HANG = """
import socket, subprocess, sys, time
from pipeline.errors import Unavailable
from pipeline.unsplash import Unsplash

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
nameserver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
nameserver.bind(("127.0.0.1", 53))
client = Unsplash("key", "http://api.test", answer_seconds=1)
for ask in (
    lambda: client.random_photos("art", 1, size="regular"),
    lambda: client.prefetch("http://api.test/photo")(),
    lambda: client.report_download("http://api.test/photos/x/download"),
):
    began = time.monotonic()
    try:
        ask()
    except Unavailable as error:
        print(error, int(time.monotonic() - began))
assert nameserver.recv(1000)  # it was asked
print("ended", flush=True)
"""


@pytest.mark.ci
def test_a_name_lookup_that_hangs(tmp_path: Path) -> None:
    """A name server that never answers takes no more time than any other host, and does not hold the process at its end.

    In a process with a network and an /etc/resolv.conf of its own.
    """
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    apart = [
        servers.program("unshare"),
        "--map-root-user",
        "--mount",
        "--net",
        "sh",
        "-c",
        script,
        str(tmp_path / "resolv.conf"),
    ]
    servers.program("ip")
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces")
    began = time.monotonic()
    run = subprocess.run([*apart, sys.executable, "-c", NAMES_THAT_HANG], capture_output=True, text=True, timeout=60)
    assert run.stdout.splitlines() == [
        "api.test: no whole answer within 1 s 1",
        "api.test: no whole answer within 1 s 1",
        "api.test: no whole answer within 3 s 3",
        "ended",
    ], run.stderr
    assert run.returncode == 0
    assert time.monotonic() - began < 15


def test_threads_may_share_a_client(recorder: Recorder) -> None:
    """Many threads at once get each their own answer."""
    client = Unsplash(KEY, recorder.url)
    got: list[bytes] = []
    recorder.body = b"a picture"
    threads = [
        threading.Thread(target=lambda number=number: got.append(client.prefetch(f"{recorder.url}/{number}")()))
        for number in range(32)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [b"a picture"] * 32
    assert sorted(int(path[1:]) for path, _ in recorder.asked) == list(range(32))
