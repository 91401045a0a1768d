"""The HTTP side, against the sandbox on a real port and small servers that note what they are sent."""

import io
import json
import socket
import sys
import threading
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline import sandbox, unsplash
from pipeline.errors import BadAnswer, BadSettings, InvalidKey, NoPhotos, PhotoGone, QuotaExceeded, RequestRefused, Unavailable
from pipeline.unsplash import Unsplash
from tests.conftest import KEY, wait_until


class Recorder(ThreadingHTTPServer):
    """Answer every request with `status`, `headers` and `body`, and keep what was asked."""

    status = 200
    body = b"[]"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RecorderHandler)
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
        self.server.asked.append((self.path, dict(self.headers.items())))
        self.send_response(self.server.status)
        for name, value in {"Content-Length": str(len(self.server.body)), **self.server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(server: sandbox.Server) -> Unsplash:
    return Unsplash(KEY, server.sandbox.origin, answer_seconds=5)


def test_photos_of_a_topic(client: Unsplash) -> None:
    """One request gives up to 30 different photos of a topic, none of Unsplash+, each with what the pipeline needs."""
    photos = client.random_photos("art", 30, size="regular")
    assert 20 <= len({photo["id"] for photo in photos}) == len(photos) <= 30
    assert not any(unsplash.is_of_unsplash_plus(photo["urls"]["regular"]) for photo in photos)
    assert client.quota == unsplash.Quota(50, 49)


def test_the_request(recorder: Recorder) -> None:
    """The API is asked as its documentation says, and the key is in the Authorization header alone."""
    with pytest.raises(BadAnswer):
        Unsplash(KEY, recorder.url).random_photos(
            "still life", 30, size="small", orientation="landscape", content_filter="high"
        )
    [(path, headers)] = recorder.asked
    assert path == "/photos/random?query=still+life&count=30&orientation=landscape&content_filter=high"
    assert headers.pop("Authorization") == f"Client-ID {KEY}"
    assert headers["Accept-Version"] == "v1"
    assert headers["User-Agent"].startswith("picture-a-minute")
    assert KEY not in f"{path} {headers}"


def test_a_picture_is_fetched_without_the_key(recorder: Recorder) -> None:
    """The picture's host never sees the key, even where it is the API's own."""
    recorder.body = b"any bytes"
    Unsplash(KEY, recorder.url).download(f"{recorder.url}/photo-1", file := io.BytesIO())
    assert file.getvalue() == recorder.body
    assert KEY not in str(recorder.asked)


def test_netrc_is_not_read(recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A netrc with the API's host changes nothing, neither for the API nor for pictures."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    asker = Unsplash(KEY, recorder.url)
    with pytest.raises(BadAnswer):
        asker.random_photos("art", 1, size="regular")
    asker.download(f"{recorder.url}/photo-1", io.BytesIO())
    assert [headers.get("Authorization") for _, headers in recorder.asked] == [f"Client-ID {KEY}", None]


def test_a_topic_without_photos(client: Unsplash) -> None:
    """404 with an error list is an answer about the topic."""
    with pytest.raises(NoPhotos):
        client.random_photos(sandbox.UNMATCHED_QUERY, 30, size="regular")


def test_a_wrong_key(server: sandbox.Server) -> None:
    """401 means the key, and the message says where it is set, not what it is."""
    with pytest.raises(InvalidKey, match="UNSPLASH_API_KEY") as raised:
        Unsplash(sandbox.WRONG_KEY, server.sandbox.origin).random_photos("art", 1, size="regular")
    assert sandbox.WRONG_KEY not in str(raised.value)


def test_a_used_up_quota(client: Unsplash, server: sandbox.Server) -> None:
    """403 with the text of the limit says how many requests are used, of how many, and when there are more."""
    server.sandbox.hourly_limit = 1
    client.report_download(f"{server.sandbox.origin}/photos/abcdefghijk/download")
    with pytest.raises(QuotaExceeded, match=r"1 of 1 requests of this hour are used: more from about \d\d:00 UTC"):
        client.random_photos("art", 1, size="regular")
    assert client.quota == unsplash.Quota(1, 0)


def test_another_403_is_not_the_quota(recorder: Recorder) -> None:
    """403 without the text of the limit is a refusal, and shows what the API said, without an echoed key."""
    recorder.status, recorder.body = 403, json.dumps({"errors": [f"not allowed for {KEY}"]}).encode()
    with pytest.raises(RequestRefused, match=r"not allowed for \[key\]"):
        Unsplash(KEY, recorder.url).random_photos("art", 1, size="regular")


def test_figures_from_a_cache_are_not_the_quota(recorder: Recorder) -> None:
    """An answer with an Age is from a cache, and its rate headers are of another time."""
    recorder.headers = {"X-Ratelimit-Limit": "50", "X-Ratelimit-Remaining": "3", "Age": "2356"}
    asker = Unsplash(KEY, recorder.url)
    for age, quota in (("2356", None), ("0", unsplash.Quota(50, 3))):
        recorder.headers["Age"] = age
        with pytest.raises(BadAnswer):
            asker.random_photos("art", 1, size="regular")
        assert asker.quota == quota


def test_connections_are_used_again(recorder: Recorder) -> None:
    """Pictures of one host come over one connection."""
    asker = Unsplash(KEY, recorder.url)
    for number in range(3):
        asker.download(f"{recorder.url}/photo-{number}", io.BytesIO())
    assert len(recorder.asked) == 3
    assert len(recorder.connections) == 1


def test_a_picture_asked_for_ahead_is_asked_for_once(recorder: Recorder) -> None:
    """Its download takes the answer that is there; what may not be fetched is not asked for, what is not wanted is let go."""
    asker, wanted, unwanted = Unsplash(KEY, recorder.url), f"{recorder.url}/photo-1", f"{recorder.url}/photo-2"
    recorder.body = b"a picture"
    with asker.asking_ahead(2) as ask_ahead:
        for address in (wanted, wanted, recorder.url.replace("127.0.0.1", "localhost") + "/photo-3", unwanted):
            assert ask_ahead(address)
        assert not ask_ahead(f"{recorder.url}/photo-4")  # more than two
        asker.download(wanted, file := io.BytesIO())
        wait_until(lambda: len(recorder.asked) == 2)
    assert file.getvalue() == b"a picture"
    assert sorted(path for path, _ in recorder.asked) == ["/photo-1", "/photo-2"]
    asker.download(unwanted, file := io.BytesIO())
    assert file.getvalue() == b"a picture"
    assert [path for path, _ in recorder.asked].count("/photo-2") == 2


def test_as_many_are_asked_for_ahead_as_come_quickly(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a slow line what is asked for would wait for each other: there it is one at a time, elsewhere up to the limit."""
    recorder.body = b"a picture"
    asker = Unsplash(KEY, recorder.url)
    with asker.asking_ahead(5) as ask_ahead:
        asked = deque[str]()
        for quick_seconds, pictures, most in ((60, 50, 5), (0, 7, 1), (60, 11, 5)):
            monkeypatch.setattr(unsplash, "QUICK_SECONDS", quick_seconds)
            for number in range(pictures):
                while not ask_ahead(address := f"{recorder.url}/{most}-{number}"):
                    asker.download(asked.popleft(), io.BytesIO())
                asked.append(address)
            assert len(asked) == most
        wait_until(lambda: len(recorder.asked) == 50 + 7 + 11)


def test_a_picture_that_was_passed_over_is_let_go(recorder: Recorder) -> None:
    """Where another run has stored a picture meanwhile, what was asked for keeps neither its place nor its connection."""
    recorder.body = b"a picture"
    asker = Unsplash(KEY, recorder.url)
    with asker.asking_ahead(2) as ask_ahead:
        assert ask_ahead(f"{recorder.url}/stored-by-another-run")
        assert ask_ahead(f"{recorder.url}/photo-1")
        asker.download(f"{recorder.url}/photo-1", io.BytesIO())
        assert ask_ahead(f"{recorder.url}/photo-2")
        assert ask_ahead(f"{recorder.url}/photo-3")


def test_a_host_that_takes_no_connection_is_tried_once_a_picture() -> None:
    """A picture that was asked for ahead in vain has failed: its download does not wait for its host again."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as host:
        address = f"http://127.0.0.1:{host.getsockname()[1]}"
        asker = Unsplash(KEY, address, answer_seconds=0.2)
        with socket.create_connection(host.getsockname()) as only_one, asker.asking_ahead(2) as ask_ahead:
            ask_ahead(f"{address}/photo-1")
            with host.accept()[0] as accepted:
                assert accepted.getpeername() == only_one.getsockname()
            with pytest.raises(Unavailable, match="timed out"):
                asker.download(f"{address}/photo-1", io.BytesIO())
        host.settimeout(0)
        with pytest.raises(BlockingIOError):
            host.accept()


def test_what_is_wrong_with_a_picture_asked_for_ahead_is_said_at_its_download(recorder: Recorder) -> None:
    """Asking ahead raises nothing, and neither does letting go."""
    recorder.status = 404
    asker = Unsplash(KEY, recorder.url)
    with asker.asking_ahead(2) as ask_ahead:
        ask_ahead(f"{recorder.url}/photo-1")
        with pytest.raises(PhotoGone):
            asker.download(f"{recorder.url}/photo-1", io.BytesIO())
    assert len(recorder.asked) == 1
    recorder.shutdown()
    recorder.server_close()
    with asker.asking_ahead(2) as ask_ahead:
        ask_ahead(f"{recorder.url}/photo-2")
        with pytest.raises(Unavailable):
            asker.download(f"{recorder.url}/photo-2", io.BytesIO())
        ask_ahead(f"{recorder.url}/photo-3")


@pytest.mark.parametrize(
    "address",
    [
        "https://unsplash.com/photo-1",
        "https://images.unsplash.com/photo-1?ixid=abc&q=80",
        "https://images.unsplash.com:443/photo-1",
        "HTTPS://Images.Unsplash.com/photo-1",
        "http://127.0.0.1:8000/photo-1",
    ],
)
def test_where_pictures_may_come_from(address: str) -> None:
    """https on unsplash.com and below it, and the API's very origin, are allowed."""
    assert Unsplash(KEY, "http://127.0.0.1:8000").may_fetch(address)


def test_the_download_event_goes_to_the_api_alone(client: Unsplash, server: sandbox.Server) -> None:
    """The event is reported with the key, so only to the API."""
    client.report_download(f"{server.sandbox.origin}/photos/abcdefghijk/download?ixid=abc")
    with pytest.raises(BadAnswer):
        client.report_download("https://unsplash.com.evil.example/photos/abcdefghijk/download")


def test_an_address_that_is_none() -> None:
    """UNSPLASH_API_URL must be an http address."""
    no_addresses = ("api.unsplash.com", "ftp://api.unsplash.com", "https://user:word@api.unsplash.com", "https://a b")
    for url in (*no_addresses, "http://[1:2]", "http://localhost:65536"):
        with pytest.raises(BadSettings):
            Unsplash(KEY, url)


@pytest.mark.parametrize("text", [f" {KEY}\n", f'"{KEY}"', f"'{KEY}' ", f"\t{KEY}\r\n"])
def test_blanks_and_quotes_around_the_key_are_dropped(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key copied with what was around it is the key."""
    monkeypatch.setenv("UNSPLASH_API_KEY", text)
    assert unsplash.api_key() == KEY


@pytest.mark.parametrize("text", [f"{KEY} {KEY}", f"{KEY}\n{KEY}", f"{KEY}é", f"Client-ID {KEY}"])
def test_an_impossible_key_is_refused_unseen(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be a key is refused without being shown."""
    monkeypatch.setenv("UNSPLASH_API_KEY", text)
    with pytest.raises(InvalidKey) as raised:
        unsplash.api_key()
    assert KEY not in str(raised.value)


def test_the_key_from_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env` of the working directory holds the key, unless the environment does; no folder above is looked at."""
    (tmp_path / ".env").write_text(f"\ufeffUNSPLASH_API_KEY={KEY}\n", "utf-8")
    (tmp_path / "below").mkdir()
    monkeypatch.delenv("UNSPLASH_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    assert unsplash.api_key() == KEY
    monkeypatch.setenv("UNSPLASH_API_KEY", "another")
    assert unsplash.api_key() == "another"
    monkeypatch.delenv("UNSPLASH_API_KEY")
    monkeypatch.chdir(tmp_path / "below")
    with pytest.raises(InvalidKey, match="DEMO_KEY"):
        unsplash.api_key()


def test_a_missing_size_is_a_photo_that_cannot_be_had() -> None:
    """A photo without an address of the wanted size has to be replaced."""
    for urls in ({}, {"regular": None}, {"regular": "https://images.unsplash.com/a b"}):
        with pytest.raises(PhotoGone):
            unsplash.address_of({"urls": urls}, "regular")


def test_the_credit() -> None:
    """The credit names the photographer, and refers both links to the application."""
    photo = {"user": {"name": "Ramsés Cervantes", "links": {"html": "https://unsplash.com/@ramses"}}}
    assert unsplash.credit(photo, "my app") == {
        "text": "Photo by Ramsés Cervantes on Unsplash",
        "photographer": "https://unsplash.com/@ramses?utm_source=my+app&utm_medium=referral",
        "unsplash": "https://unsplash.com/?utm_source=my+app&utm_medium=referral",
    }


def test_demo_needs_no_network() -> None:
    """DEMO_KEY reaches the sandbox without a socket."""
    demo = Unsplash(unsplash.DEMO_KEY, sandbox.ORIGIN)
    photo = demo.random_photos("art", 30, size="thumb")[0]
    demo.download(photo["urls"]["thumb"], file := io.BytesIO())
    assert file.getvalue() == sandbox.drawing(photo["id"], 200)
    with pytest.raises(PhotoGone):
        demo.download("http://127.0.0.1/photo-1", io.BytesIO())


def test_no_answer_is_unavailable() -> None:
    """A refused connection may pass, and the reason is short."""
    with ThreadingHTTPServer(("127.0.0.1", 0), RecorderHandler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}"
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1: \[Errno 111\] Connection refused$"):
        Unsplash(KEY, url).random_photos("art", 1, size="regular")
