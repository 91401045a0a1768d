"""What is one whole JPEG, and what is not."""

import io
import random

import pytest
from PIL import Image

from pipeline import jpeg
from pipeline.errors import BadJpeg


def drawn(mode: str = "RGB", size: tuple[int, int] = (640, 400), **options: object) -> bytes:
    """Return a JPEG of noise, about 100 kB."""
    noise = Image.frombytes("L", size, random.Random(1).randbytes(size[0] * size[1]))
    buffer = io.BytesIO()
    noise.convert(mode).save(buffer, "JPEG", quality=80, **options)
    return buffer.getvalue()


def with_orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


WHOLE = {
    "plain": drawn(),
    "grey": drawn("L"),
    "CMYK": drawn("CMYK"),
    "progressive": drawn(progressive=True),
    "EXIF-rotated": drawn(exif=with_orientation(6)),
    "broken EXIF": drawn(exif=b"Exif\0\0garbage that is no EXIF at all"),
    "ICC profile": drawn(icc_profile=bytes(range(256)) * 20),
    "zero padding behind": drawn() + bytes(3000),
    "one pixel": drawn(size=(1, 1)),
}


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE.keys())
def test_a_whole_jpeg_passes(content: bytes) -> None:
    """Every kind of whole JPEG is accepted, with its own size."""
    size = Image.open(io.BytesIO(content)).size
    picture = jpeg.picture(io.BytesIO(content))
    assert (picture.width, picture.height) == size
    assert picture.length == len(content)


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE.keys())
def test_the_thumbnail_is_small_and_turned_as_the_picture(content: bytes) -> None:
    """The thumbnail is a JPEG of at most 480 pixels that a viewer turns the same way."""
    thumbnail = Image.open(io.BytesIO(jpeg.picture(io.BytesIO(content)).thumbnail))
    assert thumbnail.format == "JPEG"
    assert max(thumbnail.size) <= jpeg.MAX_THUMBNAIL_PIXELS
    turned = 6 if content is WHOLE["EXIF-rotated"] else 0
    assert thumbnail.getexif().get(0x0112, 0) == turned


def other_format(name: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(buffer, name)
    return buffer.getvalue()


def bomb() -> bytes:
    """Return a small JPEG whose header claims 65,500 × 65,500 pixels."""
    content = bytearray(drawn(size=(16, 16)))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = (65500).to_bytes(2, "big") * 2
    return bytes(content)


BROKEN = {
    "nothing": b"",
    "HTML": b"<!doctype html><title>502</title>",
    "PNG": other_format("PNG"),
    "GIF": other_format("GIF"),
    "WebP": other_format("WEBP"),
    "EPS": other_format("EPS"),
    "BMP": other_format("BMP"),
    "head only": WHOLE["plain"][:600],
    "no end marker": WHOLE["plain"][:-2],
    "zeroed second half": WHOLE["plain"][: len(WHOLE["plain"]) // 2] + bytes(len(WHOLE["plain"]) // 2),
    "garbage behind": WHOLE["plain"] + b"<!-- cached -->",
    "pixel bomb": bomb(),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_anything_else_is_refused(content: bytes) -> None:
    """What is not one whole JPEG is BadJpeg, whatever Pillow makes of it."""
    with pytest.raises(BadJpeg):
        jpeg.picture(io.BytesIO(content))


@pytest.mark.parametrize("place", range(1, 50))
@pytest.mark.parametrize("kind", ["plain", "progressive"])
def test_a_cut_jpeg_is_refused(kind: str, place: int) -> None:
    """A JPEG cut at any of 49 places is refused."""
    content = WHOLE[kind]
    with pytest.raises(BadJpeg):
        jpeg.picture(io.BytesIO(content[: len(content) * place // 50]))
