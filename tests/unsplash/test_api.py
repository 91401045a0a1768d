"""What is asked of the API, and what its answers mean: against the sandbox on a port, and servers that misbehave."""

import gzip
import json
import tracemalloc
import urllib.parse
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from pipeline import sandbox, unsplash
from pipeline.errors import BadAnswer, BadSettings, InvalidKey, NoPhotos, PhotoGone, QuotaExceeded, RequestRefused, Unavailable
from pipeline.unsplash import Unsplash
from tests import servers
from tests.conftest import KEY
from tests.servers import Fault, Recorder, Server


@pytest.fixture
def asker(server: sandbox.Server) -> Unsplash:
    """Return a client of the sandbox."""
    return Unsplash(KEY, server.sandbox.origin, answer_seconds=5)


def photos(client: Unsplash) -> list[unsplash.Photo]:
    return client.random_photos("art", 1, size="regular")


def test_photos_of_a_topic(asker: Unsplash) -> None:
    """One request gives up to 30 different photos of a topic, none of Unsplash+, each with what the pipeline needs."""
    found = asker.random_photos("art", 30, size="regular")
    assert 20 <= len({photo["id"] for photo in found}) == len(found) <= 30
    assert not any(unsplash.is_of_unsplash_plus(photo["urls"]["regular"]) for photo in found)
    assert asker.quota == unsplash.Quota(50, 49)


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
    assert headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"].startswith("picture-a-minute")
    assert KEY not in f"{path} {headers}"


def test_a_topic_without_photos(asker: Unsplash) -> None:
    """404 with an error list is an answer about the topic."""
    with pytest.raises(NoPhotos):
        asker.random_photos(sandbox.UNMATCHED_QUERY, 30, size="regular")


def test_a_wrong_key(server: sandbox.Server) -> None:
    """401 means the key, and the message says where it is set, not what it is."""
    with pytest.raises(InvalidKey, match="UNSPLASH_API_KEY") as raised:
        photos(Unsplash(sandbox.WRONG_KEY, server.sandbox.origin))
    assert sandbox.WRONG_KEY not in str(raised.value)


def test_a_used_up_quota(asker: Unsplash, server: sandbox.Server) -> None:
    """403 with the text of the limit says how many requests are used, of how many, and when there are more."""
    server.sandbox.hourly_limit = 1
    asker.report_download(f"{server.sandbox.origin}/photos/abcdefghijk/download")
    with pytest.raises(QuotaExceeded, match=r"1 of 1 requests of this hour are used: more from about \d\d:00 UTC"):
        photos(asker)
    assert asker.quota == unsplash.Quota(1, 0)


def test_another_403_is_not_the_quota(recorder: Recorder) -> None:
    """403 without the text of the limit is a refusal, and shows what the API said, without an echoed key."""
    recorder.status, recorder.body = 403, json.dumps({"errors": [f"not allowed for {KEY}"]}).encode()
    with pytest.raises(RequestRefused, match=r"not allowed for \[key\]"):
        photos(Unsplash(KEY, recorder.url))


def test_figures_from_a_cache_are_not_the_quota(recorder: Recorder) -> None:
    """An answer with an Age is from a cache, and its rate headers are of another time."""
    recorder.headers = {"X-Ratelimit-Limit": "50", "X-Ratelimit-Remaining": "3", "Age": "2356"}
    client = Unsplash(KEY, recorder.url)
    for age, quota in (("2356", None), ("0", unsplash.Quota(50, 3))):
        recorder.headers["Age"] = age
        with pytest.raises(BadAnswer):
            photos(client)
        assert client.quota == quota
    recorder.headers = {}
    with pytest.raises(BadAnswer):
        photos(client)
    assert client.quota == unsplash.Quota(50, 3)  # an answer without figures says nothing


def whole(faulty: Server) -> list[Any]:
    """Return thirty photos as the API gives them, none of Unsplash+."""
    answer: list[Any] = json.loads(faulty.well_answer("/photos/random?count=30", f"Client-ID {KEY}").body)
    return answer


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda photo: photo["urls"].pop("regular"), r"no urls\.regular \(30 of them\)"),
        (lambda photo: photo.update(user=None), r"no user\.name \(30 of them\)"),
        (lambda photo: photo.update(id="../../x"), r"an impossible id \(30 of them\)"),
        (lambda photo: photo["urls"].update(regular=f"http://{photo['id']}/"), r"an address that is refused \(30 of them\)"),
        (
            lambda photo: photo["urls"].update(regular="https://plus.unsplash.com/premium_photo-1"),
            r"a picture of Unsplash\+ \(30 of them\)",
        ),
    ],
)
def test_photos_of_which_none_can_be_used(edit: Callable[[Any], object], reason: str, client: Unsplash, faulty: Server) -> None:
    """The error says the commonest reason."""
    offered = whole(faulty)
    for photo in offered:
        edit(photo)
    faulty.breaks("photos", servers.answers_json([None, *offered, {}]))
    with pytest.raises(BadAnswer, match=rf"^Unsplash offered 32 photos of 'art', and none that can be used: {reason}$"):
        photos(client)


def test_a_photo_without_a_download_event(client: Unsplash, faulty: Server) -> None:
    """A photo can be used though it does not say where its download is reported."""
    faulty.breaks("photos", servers.changes_photo(lambda photo: photo["links"].pop("download_location")))
    assert len(photos(client)) == 1


def nested(depth: int, faulty: Server) -> bytes:
    """Return an answer that is nested so deeply: a list, a photo in it, and in the photo lists."""
    return json.dumps(whole(faulty)[:1]).encode()[:-2] + b', "deep": %s}]' % (b"[" * (depth - 2) + b"]" * (depth - 2))


def test_json_that_is_nested_deeply(client: Unsplash, faulty: Server) -> None:
    """64 levels are taken; more are refused when they come, since another process may not be able to read them."""
    faulty.breaks("photos", servers.answers(200, nested(64, faulty)), servers.answers(200, nested(65, faulty)))
    assert len(photos(client)) == 1
    with pytest.raises(BadAnswer, match="something else than JSON: nested deeper than 64"):
        photos(client)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", gzip.compress), ("GZIP", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)],
)
def test_an_answer_that_is_compressed(
    encoding: str, packed: Callable[[bytes], bytes], client: Unsplash, faulty: Server
) -> None:
    """What is compressed though nobody asked for it is unpacked, reasons of refusals too."""
    answer = packed(json.dumps(whole(faulty)).encode())
    limit = packed(b"Rate Limit Exceeded")
    faulty.breaks(
        "photos",
        servers.answers(200, answer, Content_Encoding=encoding),
        servers.answers(403, limit, Content_Encoding=encoding),
    )
    assert len(photos(client)) == 1
    with pytest.raises(QuotaExceeded):
        photos(client)


@pytest.mark.parametrize("size", [8 * 10**6, 10**8])
def test_a_gzip_bomb(size: int, client: Unsplash, faulty: Server) -> None:
    """An answer is unpacked as far as the limit of an answer, and no further."""
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(b" " * 10**6) for _ in range(size // 10**6)) + packer.compress(b"[ ]") + packer.flush()
    faulty.breaks("photos", servers.answers(200, bomb, Content_Encoding="gzip"))
    tracemalloc.start()
    try:
        with pytest.raises(BadAnswer, match="longer than 8,388,608 bytes" if size > 2**23 else "offered 0 photos"):
            photos(client)
        assert tracemalloc.get_traced_memory()[1] < 5 * 2**23
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "body", [b"no gzip", gzip.compress(b"[1, 2, 3]" * 1000)[:-100], gzip.compress(b"[]")[:5]], ids=["none", "cut", "its head"]
)
def test_a_broken_compression(body: bytes, client: Unsplash, faulty: Server) -> None:
    """What cannot be unpacked, or not to its end, is no answer of the API."""
    faulty.breaks("photos", servers.answers(200, body, Content_Encoding="gzip"))
    with pytest.raises(BadAnswer, match="something else than"):
        photos(client)


ENCODED = "".join(f"%{ord(character):02x}" for character in KEY)
SAYINGS = {
    "the key": KEY,
    "percent-encoded": ENCODED,
    "percent-encoded in part, in capitals": urllib.parse.quote(KEY, safe="")[:5] + ENCODED[15:].upper(),
    "percent-encoded twice": ENCODED.replace("%", "%25"),
    "in a longer text": f"{'x' * 490}{KEY}{'y' * 200}",
    "where Python cuts a text that is no number": f"{'x' * 180}{KEY}",
    "in an address": f"https://example.com/?client_id={KEY}&x=1",
    "in capitals": KEY.upper(),
}
SPEAKERS: dict[str, tuple[str, Callable[[bytes], Fault]]] = {
    "the API's reason": ("photos", lambda said: servers.answers(400, said)),
    "the API's status line": ("photos", lambda said: servers.sends(b"HTTP/1.1 " + said + b"\r\n\r\n")),
    "the API's number": ("photos", lambda said: servers.answers(200, b"[NaN, " + said + b"]")),
    "the API's chunk size": (
        "photos",
        lambda said: servers.sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + said + b"\r\n"),
    ),
    "the picture's status line": ("picture", lambda said: servers.sends(b"HTTP/1.1 " + said + b"\r\n\r\n")),
    "the picture's protocol": ("picture", lambda said: servers.sends(said + b"\r\n\r\n")),
    "the picture's chunk size": (
        "picture",
        lambda said: servers.sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + said + b"\r\n"),
    ),
    "where the picture leads": ("picture", lambda said: servers.redirects("https://example.com/?" + said.decode())),
    "where the picture's name leads": ("picture", lambda said: servers.redirects("//" + said.decode())),
    "the event's reason": ("event", lambda said: servers.answers(404, said)),
}


@pytest.mark.parametrize("saying", SAYINGS)
@pytest.mark.parametrize("speaker", SPEAKERS)
def test_a_key_that_is_said_back(speaker: str, saying: str, client: Unsplash, faulty: Server) -> None:
    """No error shows the key, whoever says it back, in whatever letters and wherever: not even a part of it."""
    kind, fault = SPEAKERS[speaker]
    faulty.breaks(kind, fault(SAYINGS[saying].encode()))
    with pytest.raises((BadAnswer, RequestRefused, Unavailable, PhotoGone)) as raised:
        if kind == "photos":
            photos(client)
        elif kind == "event":
            client.report_download(f"{faulty.origin}/photos/x/download")
        else:
            client.prefetch(f"{faulty.origin}/photo")()
    shown = str(raised.value)
    assert faulty.count(kind) == 1
    for text in (KEY, ENCODED, ENCODED.replace("%", "%25")):
        for length in range(12, len(text)):
            assert text[:length].lower() not in shown.lower(), length
            assert text[-length:].lower() not in shown.lower(), length


def test_a_text_from_outside_is_one_clean_line(client: Unsplash, faulty: Server) -> None:
    """What the API says is shown without what moves a terminal, on one line, and no longer than anyone reads."""
    said = "no\x1b[2J\x07\r\n\x9b1m way\u202e\u2028 \ud800".encode("utf-8", "surrogatepass") + b"x" * 10**5
    faulty.breaks("photos", servers.answers(400, said))
    with pytest.raises(RequestRefused) as raised:
        photos(client)
    assert str(raised.value).startswith("Unsplash answered 400: no[2J 1m way")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) == 500


def test_the_download_event_goes_to_the_api_alone(asker: Unsplash, server: sandbox.Server) -> None:
    """The event is reported with the key, so only to the API."""
    asker.report_download(f"{server.sandbox.origin}/photos/abcdefghijk/download?ixid=abc")
    with pytest.raises(BadAnswer):
        asker.report_download("https://unsplash.com.evil.example/photos/abcdefghijk/download")


def test_an_address_that_is_none() -> None:
    """UNSPLASH_API_URL must be an http address."""
    no_addresses = ("api.unsplash.com", "ftp://api.unsplash.com", "https://user:word@api.unsplash.com", "https://a b")
    for url in (*no_addresses, "http://[1:2]", "http://localhost:65536"):
        with pytest.raises(BadSettings):
            Unsplash(KEY, url)


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


def test_demo_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """DEMO_KEY reaches the sandbox without a socket, whatever the environment says of proxies and certificates."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "UNSPLASH_API_URL"):
        monkeypatch.setenv(name, "nowhere:")
    monkeypatch.setenv("UNSPLASH_API_KEY", unsplash.DEMO_KEY)
    demo = unsplash.client(5)
    photo = demo.random_photos("art", 30, size="thumb")[0]
    assert demo.prefetch(photo["urls"]["thumb"])() == sandbox.drawing(photo["id"], 200)
    demo.report_download(photo["links"]["download_location"])
    assert demo.quota == unsplash.Quota(50, 48)
    with pytest.raises(PhotoGone):
        demo.prefetch("http://127.0.0.1/photo-1")()


def test_one_client_while_the_environment_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client keeps its connections from task to task, and another key or address makes another one."""
    monkeypatch.setenv("UNSPLASH_API_KEY", KEY)
    monkeypatch.setenv("UNSPLASH_API_URL", "http://127.0.0.1:1")
    client = unsplash.client(5)
    assert unsplash.client(5) is client
    monkeypatch.setenv("UNSPLASH_API_URL", "http://127.0.0.1:2")
    assert unsplash.client(5) is not client
