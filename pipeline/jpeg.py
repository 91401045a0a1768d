"""Whether a file is one whole JPEG, found out by decoding all of it once."""

import io
import re
import warnings
from typing import IO, Any, NamedTuple

from PIL import Image, ImageFile, JpegImagePlugin

from pipeline.errors import BadJpeg

MAX_PIXELS = 120_000_000
MAX_SCANS = 100
THUMBNAIL_PIXELS = 240
MAX_THUMBNAIL_PIXELS = 2 * THUMBNAIL_PIXELS

# A marker and the first byte of its segment's length, which is 14 at most. As an expression it is found in a third of the
# time that bytes.count takes.
_START_OF_SCAN = re.compile(b"\xff\xda\0")
_END_MARKER = b"\xff\xd9"
_ORIENTATION = 0x0112


class Picture(NamedTuple):
    """What a whole JPEG shows: its size in pixels and bytes as stored, and a small JPEG of it."""

    width: int
    height: int
    length: int
    thumbnail: bytes


def picture(file: IO[bytes]) -> Picture:
    """Return what the file shows if it is one whole JPEG, else raise BadJpeg.

    The whole stream is decoded, at the smallest scale of libjpeg (1, 1/2, 1/4, 1/8) that still gives a thumbnail: most often
    that is the thumbnail. A hole inside the stream cannot be told from a picture; a missing end can, by the end marker.
    """
    try:
        file.seek(0)
        content = file.read()
        # The plugin itself, not Image.open(formats=("JPEG",)), which imports four more plugins before it looks at the file.
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(content))
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise BadJpeg(f"{width} × {height} pixels are more than the {MAX_PIXELS:,} allowed")
        if (scans := len(_START_OF_SCAN.findall(content))) > MAX_SCANS:
            raise BadJpeg(f"{scans} scans, each a pass over the whole picture, are more than the {MAX_SCANS} allowed")
        image.decodermaxblock = len(content)  # libjpeg is slower at the end of each piece that it is given
        image.draft(None, (THUMBNAIL_PIXELS, 1) if width >= height else (1, THUMBNAIL_PIXELS))
        image.load()
        thumbnail = _thumbnail(image)
    except (BadJpeg, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the disk's trouble, not the picture's
        # Pillow meets hostile bytes with nearly any exception there is.
        raise BadJpeg(f"not a whole JPEG: {error}") from error
    if not content.rstrip(b"\0").endswith(_END_MARKER):
        raise BadJpeg("not a whole JPEG: its end marker is missing")
    return Picture(width, height, len(content), thumbnail)


class _JpegFile(io.BytesIO):
    """By the name's ending Pillow loads the one plugin that it needs; told the format, it loads five."""

    name = "thumbnail.jpg"


def _thumbnail(image: ImageFile.ImageFile) -> bytes:
    small: Image.Image = image if image.mode == "RGB" else image.convert("RGB")
    small.thumbnail((MAX_THUMBNAIL_PIXELS, MAX_THUMBNAIL_PIXELS), Image.Resampling.BILINEAR, reducing_gap=None)
    with _JpegFile() as file:
        small.save(file, quality=75, **_turned_as(image))
        return file.getvalue()


def _turned_as(image: ImageFile.ImageFile) -> dict[str, Any]:
    """Return the EXIF by which a viewer turns the picture, if it has any; broken EXIF does not make a broken picture."""
    if "exif" not in image.info:
        return {}
    exif = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif[_ORIENTATION] = int(image.getexif()[_ORIENTATION])
    except Exception:
        return {}
    return {"exif": exif}
