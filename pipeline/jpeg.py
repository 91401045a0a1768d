"""Whether bytes are one whole JPEG, found out by decoding all of it once, and its thumbnail."""

import contextlib
import io
import re
import struct
from typing import NamedTuple

from PIL import Image, JpegImagePlugin

from pipeline.errors import BadJpeg

MAX_PIXELS = 120_000_000
MAX_SCANS = 100
MAX_SEGMENTS = 2000
MAX_TABLES = 2**18  # bytes
THUMBNAIL_PIXELS = 240
MAX_THUMBNAIL_PIXELS = 2 * THUMBNAIL_PIXELS

# Every marker that has a meaning outside of a scan's data. A restart (D0 to D7) belongs to the data, FF 00 is its byte FF, and
# FF FF is padding in front of a marker.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
_FRAMES = b"\xc0\xc1\xc2"
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN, _APP1 = b"\xd8\xd9\xda\xe1"
_EXIF = b"Exif\0\0"
# A decoder wants the colours' meaning from APP0 and APP14; it has no use for the other APPn, and for comments.
_UNUSED = bytes([*range(0xE1, 0xEE), 0xEF, 0xFE])
_UNSHOWN = {
    **dict.fromkeys(b"\xc3\xc7\xcb\xcf", "lossless"),
    **dict.fromkeys(b"\xc9\xca\xcc\xcd\xce", "arithmetic-coded"),
    **dict.fromkeys(b"\xc5\xc6\xde", "hierarchical"),
}
_ORIENTATION, _SHORT = 0x0112, 3  # a tag of EXIF, and its type


class Picture(NamedTuple):
    """What a whole JPEG shows: its size in pixels and bytes as stored, and a small JPEG of it."""

    width: int
    height: int
    length: int
    thumbnail: bytes


def picture(content: bytes) -> Picture:
    """Return what the content shows if it is one whole JPEG, else raise BadJpeg.

    It is decoded to its end marker, at the smallest scale of libjpeg that still gives a thumbnail; what follows is not judged.
    """
    stream, orientation = _stream(content)
    turned = struct.pack(">6s4sLHHHLHxxL", _EXIF, b"MM\0*", 8, 1, _ORIENTATION, _SHORT, 1, orientation, 0)
    try:
        # The plugin itself, not Image.open(formats=("JPEG",)), which imports four more plugins before it looks at the file.
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(stream))
        width, height = image.size
        image.decodermaxblock = len(stream)  # libjpeg is slower at the end of each piece that it is given
        image.draft(None, (THUMBNAIL_PIXELS, 1) if width >= height else (1, THUMBNAIL_PIXELS))
        small = image.convert("RGB")
        small.thumbnail((MAX_THUMBNAIL_PIXELS, MAX_THUMBNAIL_PIXELS), Image.Resampling.BILINEAR, reducing_gap=None)
        thumbnail = io.BytesIO()
        thumbnail.name = "thumbnail.jpg"  # by its ending Pillow loads the one plugin it needs; told the format, it loads five
        small.save(thumbnail, quality=75, exif=turned if orientation > 1 else b"")
    except MemoryError:
        raise
    except Exception as error:  # Pillow meets hostile bytes with nearly any exception there is
        raise BadJpeg(f"not a whole JPEG: {error}") from error
    return Picture(width, height, len(content), thumbnail.getvalue())


def _stream(content: bytes) -> tuple[bytes, int]:
    """Return what a decoder needs of the content, and the orientation in EXIF; Pillow walks padding and metadata in Python."""
    if not content.startswith(b"\xff\xd8\xff"):
        raise BadJpeg(f"not a whole JPEG: it begins with {content[:8]!r}")
    head, scans, exif = [content[:2]], list[int](), b""
    end = 2
    for _ in range(MAX_SEGMENTS):
        if not (found := _MARKER.search(content, end)):
            raise BadJpeg("not a whole JPEG: it ends before its end marker")
        start, marker = found.start(), content[found.end() - 1]
        if marker == _END_OF_IMAGE:
            if sum(map(len, head)) > MAX_TABLES:
                raise BadJpeg(f"more than the {MAX_TABLES:,} bytes of tables allowed")
            first_scan = scans[0] if scans else start
            return b"".join([*head, content[first_scan : start + 2]]), _orientation(exif)
        end = start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        if marker in _UNSHOWN:
            raise BadJpeg(f"a JPEG that is {_UNSHOWN[marker]}, which no browser shows")
        if marker == _START_OF_IMAGE:
            raise BadJpeg("not a whole JPEG: another begins before its end marker")
        if marker == _START_OF_SCAN:
            scans.append(start)
            if len(scans) > MAX_SCANS:
                raise BadJpeg(f"more than the {MAX_SCANS} scans allowed, each a pass over the whole picture")
        elif marker in _FRAMES:
            height, width = struct.unpack(">HH", content[start + 5 : start + 9].ljust(4, b"\0"))
            if width * height > MAX_PIXELS:
                raise BadJpeg(f"{width} × {height} pixels are more than the {MAX_PIXELS:,} allowed")
        elif marker == _APP1 and not exif and content.startswith(_EXIF, start + 4):
            exif = content[start + 4 + len(_EXIF) : end]
        if not scans and marker not in _UNUSED:
            head.append(content[start:end])
    raise BadJpeg(f"more than the {MAX_SEGMENTS:,} segments allowed")


def _orientation(exif: bytes) -> int:
    """Return by which of EXIF's numbers a viewer turns the picture, 1 if it does not; broken EXIF breaks no picture."""
    with contextlib.suppress(KeyError, struct.error):
        order = {b"II*\0": "<", b"MM\0*": ">"}[exif[:4]]
        (start,) = struct.unpack_from(f"{order}L", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, start)
        for place in range(start + 2, start + 2 + entries * 12, 12):
            tag, kind, _, number = struct.unpack_from(f"{order}HHLH", exif, place)
            if tag == _ORIENTATION and kind == _SHORT and 1 <= number <= 8:
                return int(number)
    return 1
