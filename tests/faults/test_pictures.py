"""What each broken picture leads to: another try, another photo, or a file that is stored as it was served."""

import gzip
from datetime import datetime
from pathlib import Path

import pytest

from pipeline import sandbox, steps
from pipeline.archive import Archive
from pipeline.errors import PhotoGone, PipelineError, Unavailable
from pipeline.unsplash import Unsplash
from tests import processes, servers
from tests.conftest import KEY, Project
from tests.pictures import samples
from tests.processes import FAILED, FILED, MINUTE, STORED
from tests.servers import Fault, Server
from tests.support.photos import photo

CUTS = 50
NOON = datetime(2026, 11, 23, 12, 0)


def pictured(body: bytes) -> Fault:
    """Serve these bytes as a JPEG, with their length."""
    return servers.answers(200, body, Content_Type="image/jpeg")


def announced(body: bytes, **headers: str) -> Fault:
    """Serve these bytes with other words on their length, and close the connection."""
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return servers.sends(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode(), body)


def chunked(body: bytes, *, ended: bool) -> Fault:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:1000], body[1000:]) if part)
    return announced(chunks + (b"0\r\n\r\n" if ended else b""), Transfer_Encoding="chunked")


def endless(framing: bytes, part: bytes) -> Fault:
    """Serve the beginning of a JPEG and then 300 MB in parts of a megabyte."""

    def fault(handler: servers.Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        for _ in range(300):
            handler.wfile.write(part)

    return fault


WHOLE = samples.PLAIN
HALF = samples.HALF
GONE: dict[str, Fault] = {
    "404": servers.answers(404),
    "410": servers.answers(410),
    "0 bytes": pictured(b""),
    "HTML as image/jpeg": pictured(b"<!doctype html><title>not here</title>"),
    "PNG": pictured(samples.BROKEN["PNG"]),
    "WEBP": pictured(samples.BROKEN["WEBP"]),
    "a pixel bomb": pictured(samples.BROKEN["a pixel bomb"]),
    "zeros for its second half": pictured(samples.BROKEN["zeros for its second half"]),
    "one byte short": pictured(WHOLE[:-1]),
    "300 MB": endless(b"Content-Length: 300000000", b"\0" * 10**6),
    "300 MB in chunks": endless(b"Transfer-Encoding: chunked", b"f4240\r\n%s\r\n" % (b"\0" * 10**6)),
    "gzip": servers.answers(200, gzip.compress(WHOLE), Content_Encoding="gzip"),
    "shorter than it is": announced(WHOLE, Content_Length=str(HALF)),
}
MAY_PASS: dict[str, Fault] = {
    "400": servers.answers(400),
    "401": servers.answers(401),
    "403": servers.answers(403),
    "429": servers.answers(429),
    "500": servers.answers(500),
    "503 as HTML": servers.answers(503, b"<!doctype html>"),
    "204": servers.answers(204),
    "206": servers.answers(206, WHOLE[:HALF]),
    "304": servers.answers(304),
    "reset": servers.resets,
    "closed without a word": servers.sends(b""),
    "not HTTP": servers.sends(WHOLE),
    "cut on the way": announced(WHOLE, Content_Length=str(len(WHOLE) + 1)),
    "no length": announced(WHOLE, Connection="close"),
    "no length and cut": announced(WHOLE[:HALF], Connection="close"),
    "chunks without an end": chunked(WHOLE, ended=False),
    "chunks cut": chunked(WHOLE[:HALF], ended=False),
    "two lengths": servers.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + WHOLE),
    "a length below zero": announced(WHOLE, Content_Length="-1"),
    "no number as length": announced(WHOLE, Content_Length="many"),
}


# At both ends, and evenly between.
PLACES = sorted({1, 2, 3, 20, len(WHOLE) - 2, len(WHOLE) - 1, *(len(WHOLE) * number // CUTS for number in range(1, CUTS))})


def stored(client: Unsplash, faulty: Server, folder: Path) -> Path:
    """Store a picture of the server as StoreImage does, and return where."""
    archive = Archive(folder)
    archive.file_photos({NOON: photo("AAAAAAAAAAA")}, ("art",))
    address = faulty.origin + sandbox.Sample("AAAAAAAAAAA").path + "?w=200"
    steps.store_picture(NOON, archive, lambda: client.prefetch(address)())
    return archive.local_path(NOON)


def files(folder: Path) -> list[Path]:
    """Return what there is of a picture, whole or not."""
    return [path for path in folder.glob("*/*") if path.is_file() and path.suffix != ".json"]


def reason(kind: type[PipelineError], client: Unsplash, faulty: Server, folder: Path) -> str:
    """Store the server's picture in vain, check that nothing at all is left, and return what is said."""
    with pytest.raises(kind) as raised:
        stored(client, faulty, folder)
    assert files(folder) == []
    assert len(str(raised.value)) < 300
    return str(raised.value)


@pytest.fixture
def client(faulty: Server) -> Unsplash:
    return Unsplash(KEY, faulty.origin)


@pytest.mark.parametrize("behind", ["", "a second JPEG", "HTML"])
def test_a_whole_jpeg(behind: str, client: Unsplash, faulty: Server, tmp_path: Path) -> None:
    """A whole JPEG is stored, byte for byte, with what follows its end marker."""
    content = WHOLE + samples.BEHIND.get(behind, b"")
    faulty.breaks("picture", pictured(content))
    path = stored(client, faulty, tmp_path)
    assert path.read_bytes() == content
    assert files(tmp_path) == [path]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(chunked(WHOLE, ended=True), id="chunks"),
        pytest.param(servers.answers(200, WHOLE, Content_Type="image/png"), id="called a PNG"),
        pytest.param(servers.answers(200, WHOLE, Content_Encoding="gzip"), id="called gzip"),
        pytest.param(announced(WHOLE + b"garbage", Content_Length=str(len(WHOLE))), id="garbage after its length"),
    ],
)
def test_a_whole_jpeg_with_odd_headers(fault: Fault, client: Unsplash, faulty: Server, tmp_path: Path) -> None:
    """What counts is the bytes that were announced."""
    faulty.breaks("picture", fault)
    assert stored(client, faulty, tmp_path).read_bytes() == WHOLE


@pytest.mark.parametrize("name", GONE)
def test_a_picture_that_cannot_be_had(name: str, client: Unsplash, faulty: Server, tmp_path: Path) -> None:
    """What is no whole JPEG, or is not there, drops its photo and leaves no file."""
    faulty.breaks("picture", GONE[name])
    reason(PhotoGone, client, faulty, tmp_path)


@pytest.mark.parametrize("name", MAY_PASS)
def test_a_picture_that_may_come_later(name: str, client: Unsplash, faulty: Server, tmp_path: Path) -> None:
    """A picture that was cut, or whose host is in trouble, keeps its photo, leaves no file, and is stored when it comes."""
    faulty.breaks("picture", MAY_PASS[name], pictured(WHOLE))
    reason(Unavailable, client, faulty, tmp_path)
    assert stored(client, faulty, tmp_path).read_bytes() == WHOLE


@pytest.mark.parametrize(
    "fault", [servers.hangs_before_head, servers.hangs_inside_head, servers.hangs_inside_body, servers.drips]
)
def test_a_picture_that_hangs(fault: Fault, faulty: Server, tmp_path: Path) -> None:
    """A picture that does not come within the time for an answer is given up for now, and leaves no file."""
    faulty.breaks("picture", fault)
    client = Unsplash(KEY, faulty.origin, answer_seconds=0.3)
    assert "no whole answer within 0.3 s" in reason(Unavailable, client, faulty, tmp_path)


@pytest.mark.parametrize("place", PLACES)
def test_a_picture_cut_on_the_way(place: int, client: Unsplash, faulty: Server, tmp_path: Path) -> None:
    """Wherever a picture is cut on the way, with a length or in chunks, it may come whole at the next try."""
    cut = WHOLE[:place]
    faulty.breaks("picture", announced(cut, Content_Length=str(len(WHOLE))), chunked(cut, ended=False))
    reason(Unavailable, client, faulty, tmp_path)
    reason(Unavailable, client, faulty, tmp_path)


@pytest.fixture
def patient(minute: Project) -> Project:
    """Return the project with the tries of the shipped luigi.cfg: a photo that is replaced costs two of them."""
    minute.configure(retry_count="11")
    return minute


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", ["404", "HTML as image/jpeg", "PNG", "zeros for its second half", "a pixel bomb", "300 MB"])
@pytest.mark.parametrize("dead", [1, 2])
def test_a_dead_photo_is_replaced(name: str, dead: int, patient: Project, faulty: Server) -> None:
    """A run that meets one or two photos that cannot be had stores the next one, and exits 0."""
    faulty.breaks("picture", GONE[name], times=dead)
    run = patient.store(MINUTE)
    assert run.returncode == 0, run.stderr
    assert faulty.count("photos") == faulty.count("picture") == 1 + dead
    assert patient.files() == STORED
    assert "Traceback" not in run.stderr
    processes.assert_key_is_nowhere(patient, run)
    processes.assert_key_went_to_the_api_alone(faulty)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", ["410", "WEBP", "300 MB in chunks"])
def test_photos_that_are_all_dead(name: str, patient: Project, faulty: Server) -> None:
    """A run tries three photos; when none of them can be had it leaves the reason and no photo, and exits 30."""
    faulty.breaks("picture", GONE[name])
    run = patient.store(MINUTE)
    assert run.returncode == 30, run.stderr
    assert faulty.count("photos") == faulty.count("picture") == 3
    assert patient.files() == FAILED | {"quota", "2026-11-23/given"}
    assert "StoreImage 2026-11-23T1205 failed: " in run.stderr
    assert "Traceback" not in run.stderr
    processes.assert_key_is_nowhere(patient, run)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", ["500", "cut on the way", "no length", "reset"])
def test_a_picture_that_never_comes(name: str, minute: Project, faulty: Server) -> None:
    """A picture whose host stays in trouble is asked for at each try, and its photo kept for the next run, which stores it."""
    faulty.breaks("picture", MAY_PASS[name], times=3)
    run = minute.store(MINUTE)
    assert run.returncode == 30, run.stderr
    assert (faulty.count("photos"), faulty.count("picture")) == (1, 3)
    assert minute.files() == FILED | FAILED | {"2026-11-23/1205.txt"}
    assert "Traceback" not in run.stderr
    again = minute.store(MINUTE)
    assert again.returncode == 0, again.stderr
    assert (faulty.count("photos"), faulty.count("picture")) == (1, 4)
    assert minute.files() == STORED
    processes.assert_key_is_nowhere(minute, run, again)
    processes.assert_key_went_to_the_api_alone(faulty)


SAYS_THE_KEY = {
    "redirect": servers.redirects(f"https://elsewhere.test/?client_id={KEY}"),
    "redirect, encoded": servers.redirects("https://elsewhere.test/" + "".join(f"%{ord(each):02X}" for each in KEY)),
    "redirect, as a host": servers.redirects(f"https://{KEY}.elsewhere.test/"),
    "status line": servers.sends(f"HTTP/1.1 abc {KEY}\r\n\r\n".encode()),
    "header that is none": servers.sends(f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode()),
    "chunk size": servers.sends(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n".encode()),
    "length": servers.sends(f"HTTP/1.1 200 OK\r\nContent-Length: {KEY}\r\n\r\n".encode()),
    "body": servers.answers(200, KEY.encode()),
    "terminal codes": servers.redirects("https://elsewhere.test/\x1b[2J"),
}


@pytest.mark.one_in(6)
@pytest.mark.parametrize("name", SAYS_THE_KEY)
def test_a_picture_s_host_that_says_the_key(name: str, minute: Project, faulty: Server) -> None:
    """What a host says is quoted without the key and without codes for the terminal, whoever finds fault with it."""
    minute.configure(retry_count="1")
    faulty.breaks("picture", SAYS_THE_KEY[name])
    run = minute.store(MINUTE)
    assert run.returncode == 30
    assert "Traceback" not in run.stderr
    assert "\x1b" not in run.stderr
    kept = "".join(path.read_text("utf-8", "replace") for path in minute.root.rglob("*.[ejt][rsx]*"))
    assert "2026-11-23" in kept
    for form in (KEY, "".join(f"%{ord(each):02x}" for each in KEY)):
        assert form.lower() not in (run.stderr + kept).lower()
    processes.assert_key_is_nowhere(minute, run)
