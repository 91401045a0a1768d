"""What each broken picture leads to: another try, another photo, or a file that is stored as it was served."""

import gzip
import io
import re
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image

from pipeline import jpeg, sandbox
from pipeline.errors import PhotoGone, PipelineError, Unavailable
from pipeline.storage import Store
from pipeline.unsplash import Unsplash
from tests import faults
from tests.conftest import KEY, Project
from tests.faults import FAILED, FILED, MINUTE, STORED, Fault, Server

faulty, minute = faults.faulty, faults.minute

CUTS = 50


def drawn(mode: str = "RGB", width: int = 160, height: int = 120) -> Image.Image:
    """Return a picture with something in every part of it, the same on every run."""
    noise = Image.frombytes("L", (width, height), Random("picture").randbytes(width * height))
    return Image.merge("RGB", (noise, noise.rotate(90), noise.rotate(180))).convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(drawn(), exif=exif)


def of_size(width: int, height: int) -> bytes:
    """Return a JPEG whose head says that it has this many pixels."""
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return re.sub(rb"(\xff\xc0\x00\x11\x08).{4}", lambda found: found[1] + size, encoded(drawn()), count=1, flags=re.DOTALL)


def with_scans(count: int) -> bytes:
    """Return a progressive JPEG that repeats its last scan so often: few bytes, and much to do."""
    whole = encoded(Image.new("L", (2000, 2000)), progressive=True)
    return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * count + whole[-2:]


def pictured(body: bytes) -> Fault:
    """Serve these bytes as a JPEG, with their length."""
    return faults.answers(200, body, Content_Type="image/jpeg")


def announced(body: bytes, **headers: str) -> Fault:
    """Serve these bytes with other words on their length, and close the connection."""
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return faults.sends(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode(), body)


def chunked(body: bytes, *, ended: bool) -> Fault:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:1000], body[1000:]) if part)
    return announced(chunks + (b"0\r\n\r\n" if ended else b""), Transfer_Encoding="chunked")


def endless(framing: bytes, part: bytes) -> Fault:
    """Serve the beginning of a JPEG and then 300 MB in parts of a megabyte."""

    def fault(handler: faults.Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        for _ in range(300):
            handler.wfile.write(part)

    return fault


WHOLE = encoded(drawn())
HALF = len(WHOLE) // 2
Image.init()
KINDS = [kind for kind in ("WEBP", "AVIF") if kind in Image.SAVE]

ACCEPTED = {
    "plain": WHOLE,
    "CMYK": encoded(drawn("CMYK")),
    "grey": encoded(drawn("L")),
    "progressive": encoded(drawn(), progressive=True),
    "turned by its EXIF": turned(),
    "with an ICC profile": encoded(drawn(), icc_profile=Random("profile").randbytes(200_000)),
    "with a comment full of end markers": encoded(drawn(), comment=b"\xff\xd9" * 100),
    "one pixel": encoded(drawn(width=1, height=1)),
    "65,000 pixels wide": encoded(drawn(width=65_000, height=1)),
    "with zeros after its end": WHOLE + b"\0" * 20_000,
    "of 60 scans": with_scans(50),
}
GONE: dict[str, Fault] = {
    "404": faults.answers(404),
    "410": faults.answers(410),
    "0 bytes": pictured(b""),
    "HTML as image/jpeg": pictured(b"<!doctype html><title>not here</title>"),
    "PNG": pictured(encoded(drawn(), "PNG")),
    "GIF": pictured(encoded(drawn(), "GIF")),
    "BMP": pictured(encoded(drawn(), "BMP")),
    "TIFF with a JPEG in it": pictured(encoded(drawn(), "TIFF", compression="jpeg")),
    "EPS": pictured(encoded(drawn(), "EPS")),
    "PDF": pictured(encoded(drawn(), "PDF")),
    **{kind: pictured(encoded(drawn(), kind)) for kind in KINDS},
    "noise": pictured(Random("noise").randbytes(20_000)),
    "zeros": pictured(b"\0" * 20_000),
    "start and end alone": pictured(b"\xff\xd8\xff\xd9"),
    "no pixels": pictured(of_size(160, 0)),
    "a pixel bomb": pictured(of_size(65_000, 65_000)),
    "a scan bomb": pictured(with_scans(5000)),
    "300 MB": endless(b"Content-Length: 300000000", b"\0" * 10**6),
    "300 MB in chunks": endless(b"Transfer-Encoding: chunked", b"f4240\r\n%s\r\n" % (b"\0" * 10**6)),
    "zeros for its second half": pictured(WHOLE[:HALF] + b"\0" * HALF),
    "garbage after the end": pictured(WHOLE + b"garbage"),
    "HTML after the end": pictured(WHOLE + b"<!-- served in 3 ms -->"),
    "one byte short": pictured(WHOLE[:-1]),
    "no start": pictured(WHOLE[1:]),
    "a blank before the start": pictured(b"\n" + WHOLE),
    "gzip": faults.answers(200, gzip.compress(WHOLE), Content_Encoding="gzip"),
    "shorter than it is": announced(WHOLE, Content_Length=str(HALF)),
}
MAY_PASS: dict[str, Fault] = {
    "400": faults.answers(400),
    "401": faults.answers(401),
    "403": faults.answers(403),
    "429": faults.answers(429),
    "500": faults.answers(500),
    "503 as HTML": faults.answers(503, b"<!doctype html>"),
    "204": faults.answers(204),
    "206": faults.answers(206, WHOLE[:HALF]),
    "304": faults.answers(304),
    "reset": faults.resets,
    "closed without a word": faults.sends(b""),
    "not HTTP": faults.sends(WHOLE),
    "cut on the way": announced(WHOLE, Content_Length=str(len(WHOLE) + 1)),
    "no length": announced(WHOLE, Connection="close"),
    "no length and cut": announced(WHOLE[:HALF], Connection="close"),
    "chunks without an end": chunked(WHOLE, ended=False),
    "chunks cut": chunked(WHOLE[:HALF], ended=False),
    "two lengths": faults.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + WHOLE),
    "a length below zero": announced(WHOLE, Content_Length="-1"),
    "no number as length": announced(WHOLE, Content_Length="many"),
}


# At both ends, and evenly between.
PLACES = sorted({1, 2, 3, 20, len(WHOLE) - 2, len(WHOLE) - 1, *(len(WHOLE) * number // CUTS for number in range(1, CUTS))})


def stored(client: Unsplash, faulty: Server, folder: Path) -> Path:
    """Store a picture of the server as StoreImage does, and return where."""
    picture = Store(folder).picture(datetime(2026, 11, 23, 12, 5))
    with picture.replacing() as file:
        client.download(faulty.origin + sandbox.picture_path("AAAAAAAAAAA") + "?w=200", file)
        jpeg.picture(file)
    return Path(picture.path)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


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


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_whole_jpeg(name: str, client: Unsplash, faulty: Server, tmp_path: Path) -> None:
    """A whole JPEG of any kind is stored, byte for byte, and is the only file."""
    faulty.breaks("picture", pictured(ACCEPTED[name]))
    path = stored(client, faulty, tmp_path)
    assert path.read_bytes() == ACCEPTED[name]
    assert files(tmp_path) == [path]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(chunked(WHOLE, ended=True), id="chunks"),
        pytest.param(faults.answers(200, WHOLE, Content_Type="image/png"), id="called a PNG"),
        pytest.param(faults.answers(200, WHOLE, Content_Encoding="gzip"), id="called gzip"),
        pytest.param(announced(WHOLE + b"garbage", Content_Length=str(len(WHOLE))), id="garbage after its length"),
    ],
)
def test_a_whole_jpeg_with_odd_headers(fault: Fault, client: Unsplash, faulty: Server, tmp_path: Path) -> None:
    """What counts is the bytes that were announced."""
    faulty.breaks("picture", fault)
    assert stored(client, faulty, tmp_path).read_bytes() == WHOLE


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(WHOLE[:HALF] + b"\0" * (HALF - 100) + WHOLE[-100:], id="a hole of zeros"),
        pytest.param(WHOLE[:HALF] + WHOLE[-2:], id="half, with an end marker"),
        pytest.param(of_size(10_000, 10_000), id="more pixels than data"),
    ],
)
def test_what_cannot_be_told(body: bytes, client: Unsplash, faulty: Server, tmp_path: Path) -> None:
    """A JPEG that was damaged before it was served, and has its end, is stored: its decoder fills the holes with grey."""
    faulty.breaks("picture", pictured(body))
    assert stored(client, faulty, tmp_path).read_bytes() == body


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


@pytest.mark.parametrize("fault", [faults.hangs_before_head, faults.hangs_inside_head, faults.hangs_inside_body, faults.drips])
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


@pytest.mark.parametrize("place", PLACES)
def test_a_picture_cut_at_its_host(place: int, client: Unsplash, faulty: Server, tmp_path: Path) -> None:
    """Wherever a picture was cut before it was served, it is no whole JPEG: progressive or not, filled up or not."""
    progressive = ACCEPTED["progressive"]
    rest = len(WHOLE) - place
    for cut in (WHOLE[:place], WHOLE[:place] + b"\0" * rest, progressive[: len(progressive) - rest]):
        faulty.breaks("picture", pictured(cut))
        reason(PhotoGone, client, faulty, tmp_path)


@pytest.fixture
def patient(minute: Project) -> Project:
    """Return the project with the tries of the shipped luigi.cfg: a photo that is replaced costs two of them."""
    minute.configure(retry_count="11")
    return minute


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
    faults.assert_key_is_nowhere(patient, run)
    faults.assert_key_went_to_the_api_alone(faulty)


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
    faults.assert_key_is_nowhere(patient, run)


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
    faults.assert_key_is_nowhere(minute, run, again)
    faults.assert_key_went_to_the_api_alone(faulty)
