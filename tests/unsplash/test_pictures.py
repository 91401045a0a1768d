"""Pictures over HTTP: what is sent for them, what they must announce and may hold, and fetching them ahead."""

import gzip
import http.client
import socket
import subprocess
import sys
import threading
import time

import pytest

from pipeline import sandbox
from pipeline.errors import PhotoGone, Unavailable
from pipeline.unsplash import MAX_PICTURE_BYTES, SIZES, Unsplash
from tests import servers
from tests.conftest import KEY, wait_until
from tests.servers import Fault, Recorder, Server

HANGS = [
    servers.hangs_before_head,
    servers.hangs_inside_head,
    servers.hangs_inside_body,
    servers.drips,
    servers.continues_for_ever,
]


def test_a_picture_is_fetched_without_the_key(recorder: Recorder) -> None:
    """The picture's host never sees the key, even where it is the API's own."""
    recorder.body = b"any bytes"
    assert Unsplash(KEY, recorder.url).prefetch(f"{recorder.url}/photo-1")() == recorder.body
    assert KEY not in str(recorder.asked)


def test_connections_are_used_again(recorder: Recorder) -> None:
    """Pictures of one host come over one connection."""
    client = Unsplash(KEY, recorder.url)
    for number in range(3):
        client.prefetch(f"{recorder.url}/photo-{number}")()
    assert len(recorder.asked) == 3
    assert len(recorder.connections) == 1


def test_a_connection_is_kept_for_each_of_many_threads(recorder: Recorder) -> None:
    """Sixteen pictures at a time come over sixteen connections, again and again."""
    client = Unsplash(KEY, recorder.url)
    recorder.holds = threading.Barrier(16)
    for _ in range(3):
        for picture in [client.prefetch(f"{recorder.url}/photo-{number}") for number in range(16)]:
            picture()
    assert len(recorder.asked) == 3 * 16
    assert len(recorder.connections) == 16


def test_a_picture_that_is_fetched_ahead(recorder: Recorder) -> None:
    """It is asked for at once, and asked for once; its bytes are there when they are waited for."""
    recorder.body = b"a picture"
    picture = Unsplash(KEY, recorder.url).prefetch(f"{recorder.url}/photo-1")
    wait_until(lambda: len(recorder.asked) == 1)
    assert picture() == picture() == b"a picture"
    assert len(recorder.asked) == 1


def test_pictures_that_are_fetched_ahead_come_side_by_side(faulty: Server, client: Unsplash) -> None:
    """One that hangs holds up no other, and each is the picture of its own address."""
    goes_on = threading.Event()
    faulty.breaks("picture", servers.holds_until(goes_on), times=1)
    photos = client.random_photos("art", 30, size="thumb")[:4]
    first = client.prefetch(photos[0]["urls"]["thumb"])
    faulty.wait_for("picture")
    others = [client.prefetch(photo["urls"]["thumb"]) for photo in photos[1:]]
    fetched = [picture() for picture in others]
    goes_on.set()
    client = Unsplash(KEY, faulty.origin)
    assert [first(), *fetched] == [client.prefetch(photo["urls"]["thumb"])() for photo in photos]
    assert len(set(fetched)) == 3


def test_what_is_wrong_with_a_picture_fetched_ahead_is_said_when_it_is_waited_for(recorder: Recorder) -> None:
    """Beginning raises nothing: not for an address that is refused, and not for a host that is away."""
    recorder.status = 404
    client = Unsplash(KEY, recorder.url)
    gone, refused = client.prefetch(f"{recorder.url}/photo-1"), client.prefetch("http://[::1/photo")
    for picture in (gone, refused, gone):
        with pytest.raises(PhotoGone):
            picture()
    assert len(recorder.asked) == 1
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    away = Unsplash(KEY, f"http://127.0.0.1:{port}").prefetch(f"http://127.0.0.1:{port}/photo-1")
    with pytest.raises(Unavailable, match="Connection refused"):
        away()


def test_a_picture_that_came_in_time_is_kept(recorder: Recorder) -> None:
    """The time for an answer begins when it is asked for; who comes later for it gets it all the same."""
    recorder.body = b"a picture"
    picture = Unsplash(KEY, recorder.url, answer_seconds=0.5).prefetch(f"{recorder.url}/photo-1")
    time.sleep(0.6)
    assert picture() == b"a picture"


@pytest.mark.parametrize("fault", HANGS)
def test_an_answer_that_is_late(fault: Fault, faulty: Server) -> None:
    """An answer that is not whole when its time is over is given up then, however it hangs."""
    for kind in ("photos", "picture", "event"):
        faulty.breaks(kind, fault)
    client = Unsplash(KEY, faulty.origin, answer_seconds=0.3)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1: no whole answer within 0\.3 s$"):
        client.prefetch(f"{faulty.origin}{sandbox.Sample('AAAAAAAAAAA').path}?w=200")()
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1: no whole answer within 0\.3 s$"):
        client.random_photos("art", 1, size="regular")
    assert 0.6 <= time.monotonic() - began < 2


@pytest.mark.one_in(2)
@pytest.mark.parametrize("fault", [servers.hangs_before_head, servers.drips])
def test_a_download_event_that_is_late(fault: Fault, faulty: Server, client: Unsplash) -> None:
    """A download event is waited for three seconds and no longer."""
    faulty.breaks("event", fault)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1: no whole answer within 3 s$"):
        client.report_download(f"{faulty.origin}/photos/x/download")
    assert 3 <= time.monotonic() - began < 5


def test_a_body_that_drips_for_ever_is_let_go(faulty: Server) -> None:
    """Soon after a picture that drips is given up its connection is closed, and its thread takes other requests."""
    gone = threading.Event()
    before = set(threading.enumerate())

    def drips_for_ever(handler: servers.Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        try:
            while not handler.server.closing.wait(0.05):
                handler.wfile.write(b"x")
        except OSError:
            gone.set()

    client = Unsplash(KEY, faulty.origin, answer_seconds=0.2)
    faulty.breaks("picture", drips_for_ever)
    with pytest.raises(Unavailable):
        client.prefetch(f"{faulty.origin}/photo")()
    assert gone.wait(5)
    faulty.breaks("picture", servers.answers(503))
    for _ in range(5):
        with pytest.raises(Unavailable):
            client.prefetch(f"{faulty.origin}/photo")()
    added = [each for each in threading.enumerate() if each not in before and each.name.startswith("request to")]
    assert len(added) <= 2, "the first picture's thread, and one that began before it was idle again"


@pytest.mark.one_in(2)
@pytest.mark.parametrize("is_waited_for", [False, True])
def test_a_late_answer_does_not_hold_the_process(is_waited_for: bool, faulty: Server) -> None:
    """A process ends when it has nothing else to do, though an answer is still to come."""
    faulty.breaks("picture", servers.hangs_before_head)
    program = f"""
from pipeline import sandbox
from pipeline.errors import Unavailable
from pipeline.unsplash import Unsplash
picture = Unsplash("key", {faulty.origin!r}, answer_seconds=0.2).prefetch({faulty.origin!r} + "/photo")
try:
    {is_waited_for} and picture()
except Unavailable as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=15)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == ("127.0.0.1: no whole answer within 0.2 s\n" if is_waited_for else "")


@pytest.mark.parametrize(
    ("framing", "part"),
    [
        pytest.param(b"Content-Length: 300000000\r\nContent-Encoding: gzip", gzip.compress(b"\0" * 10**8), id="bomb"),
        pytest.param(b"Transfer-Encoding: chunked", b"f4240\r\n%s\r\n" % (b"\0" * 10**6), id="endless"),
        pytest.param(b"Content-Length: 1000", b"", id="hangs"),
    ],
)
def test_the_body_of_a_redirect_is_not_read(framing: bytes, part: bytes, faulty: Server) -> None:
    """A redirect is followed at once, whatever follows its head."""
    sent = 0

    def fault(handler: servers.Handler) -> None:
        nonlocal sent
        handler.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: /other\r\n" + framing + b"\r\n\r\n")
        for _ in range(300 if part else 0):
            handler.wfile.write(part)
            sent += len(part)
        handler.server.closing.wait()

    faulty.breaks("picture", fault, servers.answers(200, b"a picture"))
    assert Unsplash(KEY, faulty.origin, answer_seconds=5).prefetch(f"{faulty.origin}/photo")() == b"a picture"
    assert sent < 50 * 10**6


def test_the_most_that_a_picture_may_have() -> None:
    """64 MiB for the full size, 16 MiB for the others."""
    assert {size: MAX_PICTURE_BYTES[size] // 2**20 for size in SIZES} == {"full": 64, "regular": 16, "small": 16, "thumb": 16}


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("length", [999, 1000, 1001, 5000])
def test_a_picture_that_is_too_long(length: int, is_chunked: bool, client: Unsplash, faulty: Server) -> None:
    """A picture may have as many bytes as are allowed; one with more is refused, for good."""
    body = b"x" * length
    chunks = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (length, body)
    whole = b"Content-Length: %d\r\n\r\n%s" % (length, body)
    faulty.breaks("picture", servers.sends(b"HTTP/1.1 200 OK\r\n", chunks if is_chunked else whole))
    if length <= 1000:
        assert client.prefetch(f"{faulty.origin}/photo", 1000)() == body
    else:
        with pytest.raises(PhotoGone, match="longer than 1,000 bytes"):
            client.prefetch(f"{faulty.origin}/photo", 1000)()


def test_a_picture_that_announces_too_much_is_not_waited_for(client: Unsplash, faulty: Server) -> None:
    """A picture that says that it is too long is refused before any of it has come."""
    faulty.breaks("picture", servers.announces(b"Content-Length: 100000000"))
    with pytest.raises(PhotoGone, match="longer than 67,108,864 bytes"):
        client.prefetch(f"{faulty.origin}/photo")()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"Content-Length: 9\r\n\r\nshort", r"IncompleteRead\(5 bytes read, 4 more expected\)"),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", "IncompleteRead"),
        (b"Transfer-Encoding: chunked\r\n\r\n9\r\nshort", "IncompleteRead"),
        (b"Transfer-Encoding: chunked\r\n\r\n-1\r\nshort\r\n0\r\n\r\n", "IncompleteRead"),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\nshort\r\n0\r\n\r\n", "IncompleteRead"),
        (b"\r\nshort", "without a length"),
        (b"Content-Length: many\r\n\r\nshort", "without a length"),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nshort", "unmatching values"),
    ],
)
def test_a_picture_that_is_not_as_long_as_it_says(answer: bytes, reason: str, client: Unsplash, faulty: Server) -> None:
    """A picture that is cut, or could be cut without a word, is no picture yet: it may come at the next try."""
    faulty.breaks("picture", servers.sends(b"HTTP/1.1 200 OK\r\n" + answer))
    with pytest.raises(Unavailable, match=reason):
        client.prefetch(f"{faulty.origin}/photo")()


def test_what_is_called_gzip_is_not_unpacked(client: Unsplash, faulty: Server) -> None:
    """A picture is stored as it was sent."""
    body = gzip.compress(b"a picture")
    faulty.breaks("picture", servers.answers(200, body, Content_Encoding="gzip"))
    assert client.prefetch(f"{faulty.origin}/photo")() == body


def test_a_status_of_its_own_kind(client: Unsplash, faulty: Server) -> None:
    """404 and 410 mean that the picture is gone; no other status does."""
    for status in map(int, http.client.responses):
        if status >= 200 and status not in (200, 301, 302, 303, 307, 308):
            faulty.breaks("picture", servers.answers(status))
            with pytest.raises(PhotoGone if status in (404, 410) else Unavailable, match=str(status)):
                client.prefetch(f"{faulty.origin}/photo")()
