"""The key: from the environment or `.env`, and masked in what is said."""

import functools
import os
import re
from collections.abc import Mapping
from contextlib import suppress

from pipeline.errors import BadSettings, InvalidKey, PipelineError

DEMO_KEY = "DEMO_KEY"

_KEY = re.compile(r"[A-Za-z0-9_.~+/=-]+")


def environment_value(name: str) -> str:
    """Return the variable from the environment, else from `.env` in the working directory, else nothing."""
    return os.environ.get(name) or _dotenv(os.path.abspath(".env")).get(name) or ""


def api_key() -> str:
    """Return the key without blanks and quotes around it. InvalidKey, which does not show it, if it can be no key."""
    key = environment_value("UNSPLASH_API_KEY").strip("\"' \t\r\n")
    if not key:
        raise InvalidKey(
            "there is no key: write UNSPLASH_API_KEY=YOUR_KEY into .env (free at https://unsplash.com/developers), "
            "or set UNSPLASH_API_KEY=DEMO_KEY for sample pictures without a network"
        )
    if not _KEY.fullmatch(key):
        raise InvalidKey("UNSPLASH_API_KEY holds characters that no key has: copy it anew from https://unsplash.com/developers")
    return key


def is_demo() -> bool:
    """Tell whether the key is that of the built-in sandbox."""
    with suppress(PipelineError):
        return api_key() == DEMO_KEY
    return False


def masked(text: str, key: str) -> str:
    """Return the text with `[key]` in the place of the key, in capitals or not, percent-encoded or not."""
    pattern = "".join(f"(?:{re.escape(character)}|%(?:25)*{ord(character):02x})" for character in key)
    return re.sub(pattern, "[key]", text, flags=re.IGNORECASE)


@functools.cache
def _dotenv(path: str) -> Mapping[str, str | None]:
    if not os.path.exists(path):
        return {}
    from dotenv import dotenv_values

    try:
        return dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise BadSettings(f".env cannot be read: {type(error).__name__}") from None
