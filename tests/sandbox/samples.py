"""Photos of the sandbox, the same on every run."""

import io
from random import Random

from PIL import Image

from pipeline import sandbox

KEY = {"Authorization": "Client-ID any-key"}


def ids(count: int, premium: bool | None = None) -> list[str]:
    """Return so many photo ids; only Unsplash+ ones, or none of them, when `premium` says so."""
    source = Random("test_sandbox")
    found: list[str] = []
    while len(found) < count:
        photo_id = sandbox.random_id(source=source)
        if premium in (None, sandbox.Sample(photo_id).is_premium):
            found.append(photo_id)
    return found


def decoded(jpeg: bytes) -> Image.Image:
    """Return the whole picture; an error if it is no JPEG."""
    image = Image.open(io.BytesIO(jpeg), formats=("JPEG",))
    image.load()
    return image
