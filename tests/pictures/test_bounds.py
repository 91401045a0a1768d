"""However hostile a picture, it takes bounded work and memory, and only BadJpeg comes out."""

import struct
import subprocess
import sys
from collections.abc import Callable
from types import FrameType

import pytest

from pipeline import jpeg
from pipeline.errors import BadJpeg
from tests.pictures import samples

MEGABYTE = 2**20


def tags(count: int, length: int) -> bytes:
    """Return EXIF of so many tags, each of which claims the same bytes of the file."""
    entries = b"".join(struct.pack("<HHLL", 1000 + number, 7, length, 0) for number in range(count))
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", count) + entries


HOSTILE: dict[str, Callable[[], bytes]] = {
    "empty segments": lambda: samples.with_head(samples.segment(0xE5, b"") * 4_000_000),
    "empty segments between scans": lambda: samples.PLAIN[:-2] + samples.segment(0xE5, b"") * 4_000_000 + samples.PLAIN[-2:],
    "padding": lambda: samples.with_head(b"\xff" * 16 * MEGABYTE),
    "padding after the scan": lambda: samples.PLAIN[:-2] + b"\xff" * 16 * MEGABYTE + samples.PLAIN[-2:],
    "restarts": lambda: samples.PLAIN[:-2] + b"\xff\xd0" * 8 * MEGABYTE + samples.PLAIN[-2:],
    "junk": lambda: samples.with_head(samples.segment(0xE5, b"") + bytes(16 * MEGABYTE)),
    "EXIF of 5,000 tags": lambda: samples.with_head(samples.segment(0xE1, tags(5_000, 60_000))),
    "tables": lambda: samples.with_head(samples.segment(0xDB, (b"\0" + b"\1" * 64) * 1000) * 250),
}


class TooManySteps(BaseException):
    """Stops a picture's check; no `except Exception` holds it up."""


@pytest.mark.parametrize("name", HOSTILE)
def test_steps(name: str) -> None:
    """Python does not call more functions for 16 MB of segments, padding or junk than for a picture of many segments."""
    content, steps = HOSTILE[name](), 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal steps
        steps += event in ("call", "c_call")
        if steps > 20_000:
            raise TooManySteps

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        jpeg.picture(content)
    except BadJpeg:
        pass
    finally:
        sys.setprofile(before)


PEAK = """
import resource, sys
content = sys.stdin.buffer.read()
from pipeline import jpeg
from pipeline.errors import BadJpeg
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    jpeg.picture(content)
except BadJpeg:
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // (2**20 if sys.platform == "darwin" else 2**10))
"""


def megabytes(content: bytes) -> int:
    """Return how much memory a process wants for the picture, beyond the content."""
    run = subprocess.run([sys.executable, "-c", PEAK], input=content, capture_output=True, check=True, timeout=120)
    assert not run.stderr
    return int(run.stdout)


@pytest.mark.ci
@pytest.mark.parametrize("name", HOSTILE)
def test_memory(name: str) -> None:
    """A small picture takes no more memory than its bytes a few times over, whatever they say; and nothing is printed."""
    assert megabytes(HOSTILE[name]()) < 100


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "most"), [("RGB", 800), ("CMYK", 1050)])
def test_memory_of_the_largest_picture(mode: str, most: int) -> None:
    """A progressive picture of the most pixels allowed takes 6 bytes a pixel in colour, 8 in CMYK."""
    side = int(jpeg.MAX_PIXELS**0.5)
    progressive = samples.encoded(samples.noise(mode), progressive=True, subsampling=0)
    assert most * 0.7 < megabytes(samples.of_size(side, side, progressive)) < most
