"""JPEGs of every kind, whole, damaged and hostile; the same on every run."""

import io
import re
from random import Random
from typing import Any

from PIL import Image


def noise(mode: str = "RGB", width: int = 160, height: int = 120) -> Image.Image:
    """Return an image with something in every part of it."""
    grey = Image.frombytes("L", (width, height), Random("picture").randbytes(width * height))
    return Image.merge("RGB", (grey, grey.rotate(90), grey.rotate(180))).convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """Return the image as a file of this kind."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    """Return the content as a JPEG's segment."""
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def with_head(head: bytes) -> bytes:
    """Return a whole JPEG with this in front of its own segments."""
    return PLAIN[:2] + head + PLAIN[2:]


def with_orientation(number: int, order: str = ">") -> bytes:
    """Return a whole JPEG that EXIF turns; the order of EXIF's bytes is `<` or `>`."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "a camera"
    exif[0x0112] = number
    return encoded(noise(), exif=exif)


def of_size(width: int, height: int, whole: bytes = b"") -> bytes:
    """Return a JPEG whose head says that it has this many pixels."""
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return re.sub(rb"(\xff[\xc0\xc2]\0.\x08).{4}", lambda found: found[1] + size, whole or PLAIN, count=1, flags=re.DOTALL)


def of_frame(marker: int) -> bytes:
    """Return a JPEG whose head says that it is coded in this way."""
    return PLAIN.replace(b"\xff\xc0", bytes([0xFF, marker]), 1)


def with_scans(count: int) -> bytes:
    """Return a progressive JPEG that repeats its last scan so often: few bytes, and much to do."""
    whole = encoded(Image.new("L", (2000, 2000)), progressive=True)
    return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * count + whole[-2:]


PLAIN = encoded(noise())
PROGRESSIVE = encoded(noise(), progressive=True)

# Eight by eight pixels of one grey: a table of one code, and 64 times that code.
LOSSLESS = (
    PLAIN[:2]
    + segment(0xC3, bytes.fromhex("08 0008 0008 01 01 11 00"))
    + segment(0xC4, b"\0\1" + bytes(15) + b"\0")
    + segment(0xDA, bytes.fromhex("01 01 00 01 00 00"))
    + bytes(8)
    + PLAIN[-2:]
)
# Sixteen by eight pixels, by `cjpeg -arithmetic`.
ARITHMETIC = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb0043001b12141714111b1716171e1c1b2028422b28252528513a3d3042605565645f555d5b6a"
    "7899816a7190735b5d85b586909ea3abadab6780bcc9baa6c799a8aba4ffc9000b080008001001011100ffcc000600101005ffda0008010100003f00"
    "fecbdba4ead416e47442653cc61105b9777c765287a157e0ffd9"
)

# What cameras, caches and servers leave behind the end marker.
BEHIND: dict[str, bytes] = {
    "a second JPEG": PROGRESSIVE,
    "one byte": b"\x80",
    "1.7 MB": Random("behind").randbytes(1_700_000),
    "zeros": bytes(20_000),
    "HTML": b"<!-- served in 3 ms -->",
    "an end marker": PLAIN[-2:],
}

WHOLE: dict[str, bytes] = {
    "plain": PLAIN,
    "grey": encoded(noise("L")),
    "CMYK": encoded(noise("CMYK")),
    "progressive": PROGRESSIVE,
    "larger than its thumbnail": encoded(noise(width=1080, height=720)),
    "one pixel": encoded(noise(width=1, height=1)),
    "65,000 pixels wide": encoded(noise(width=65_000, height=1)),
    "of 60 scans": with_scans(50),
    "turned by its EXIF": with_orientation(6),
    "with broken EXIF": with_head(segment(0xE1, b"Exif\0\0garbage that is no EXIF at all")),
    "with an ICC profile": encoded(noise(), icc_profile=Random("profile").randbytes(200_000)),
    "with a comment full of end markers": encoded(noise(), comment=PLAIN[-2:] * 100),
    "with a JPEG in its head": with_head(segment(0xE1, b"Exif\0\0" + encoded(noise(width=20, height=20)))),
    "with padding": with_head(b"\xff" * 100)[:-2] + b"\xff" * 100 + PLAIN[-2:],
    "with restarts": encoded(noise(), restart_marker_blocks=1),
    **{f"with {name} behind": PLAIN + behind for name, behind in BEHIND.items()},
}

Image.init()
HALF = len(PLAIN) // 2
BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "HTML": b"<!doctype html><title>502</title>",
    **{kind: encoded(noise(), kind) for kind in ("PNG", "GIF", "BMP", "EPS", "PDF", "WEBP", "AVIF") if kind in Image.SAVE},
    "TIFF with a JPEG in it": encoded(noise(), "TIFF", compression="jpeg"),
    "noise": Random("noise").randbytes(20_000),
    "zeros": bytes(20_000),
    "start and end alone": PLAIN[:2] + PLAIN[-2:],
    "head only": PLAIN[: PLAIN.index(b"\xff\xda")],
    "head and end": PLAIN[: PLAIN.index(b"\xff\xda")] + PLAIN[-2:],
    "no start": PLAIN[1:],
    "a blank before the start": b"\n" + PLAIN,
    "one byte short": PLAIN[:-1],
    "no end marker": PLAIN[:-2],
    "zeros for its second half": PLAIN[:HALF] + bytes(HALF),
    "half, and another JPEG": PLAIN[:HALF] + PLAIN,
    "two frames": PLAIN.replace(b"\xff\xc0", segment(0xC0, bytes.fromhex("08 0008 0008 01 01 11 00")) + b"\xff\xc0", 1),
    "12 bits a colour": re.sub(rb"(\xff\xc0..)\x08", b"\\1\x0c", PLAIN, count=1, flags=re.DOTALL),
    "no pixels": of_size(160, 0),
    "a frame cut short": PLAIN[:2] + b"\xff\xc0\0\2\xff\xda\0\2" + PLAIN[-2:],
    "a pixel bomb": of_size(65_000, 65_000),
    "a scan bomb": with_scans(5000),
    "a segment bomb": with_head(segment(0xE5, b"") * 100_000),
    "a table bomb": with_head(segment(0xDB, (b"\0" + b"\1" * 64) * 1000) * 10),
}
