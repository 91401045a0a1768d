"""What the API's answers mean: photos, and which of them can be used; refusals; how much of the quota is left."""

import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from pipeline.errors import BadAnswer, InvalidKey, NoPhotos, PhotoGone, QuotaExceeded, RequestRefused, Unavailable

SIZES = ("full", "regular", "small", "thumb")
MAX_BYTES = 8 * 2**20
MAX_DEPTH = 64
MAX_REASON_BYTES = 2**16

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Photo = dict[str, Any]


class Quota(NamedTuple):
    """How many requests an hour the key has, and how many of them are left; when that was so, if it was kept."""

    limit: int
    remaining: int
    at: str = ""


def quota_of(headers: Mapping[str, str]) -> Quota | None:
    """Return the quota that the headers tell; the figures of an answer from a cache are of another time."""
    limit, remaining = headers.get("X-Ratelimit-Limit", ""), headers.get("X-Ratelimit-Remaining", "")
    is_told = limit.isdecimal() and remaining.isdecimal() and headers.get("Age", "0") == "0"
    return Quota(int(limit[:9]), int(remaining[:9])) if is_told else None


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """Return when an answer was given by the clock of its host; None if it does not say, or comes from a cache."""
    try:
        date = parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, TypeError):
        return None
    return date.replace(tzinfo=timezone.utc) if headers.get("Age", "0") == "0" else None


def unpacked(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return the body without a compression that nobody asked for, cut one byte after the most that an answer may have."""
    if (encoding := headers.get("Content-Encoding", "").lower()) not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, MAX_BYTES + 1)
    except zlib.error as error:
        raise BadAnswer(f"Unsplash answered something else than {encoding}: {error}") from error


def check(status: int, body: bytes, quota: Quota | None) -> None:
    """Raise what an answer means that is not 200, or too long. See docs/reliability.md for the table."""
    reason = body[:MAX_REASON_BYTES].decode("utf-8", "replace")
    if status == 401:
        raise InvalidKey(f"Unsplash does not take the key: check UNSPLASH_API_KEY in the environment or .env ({status})")
    if status == 429 or (status == 403 and "rate limit exceeded" in reason.lower()):
        next_hour = (datetime.now(timezone.utc) + timedelta(hours=1)).replace(minute=0)
        used = f"{quota.limit - quota.remaining} of {quota.limit}" if quota else "all"
        raise QuotaExceeded(f"{used} requests of this hour are used: more from about {next_hour:%H:%M} UTC")
    if status == 404 and re.search(r'"errors"\s*:\s*\[', reason):
        raise NoPhotos(f"Unsplash answered {status}: {reason}")
    if 400 <= status < 500 and status not in (408, 425):
        raise RequestRefused(f"Unsplash answered {status}: {reason}")
    if status >= 300:
        raise Unavailable(f"Unsplash answered {status}")
    if status != 200:
        raise BadAnswer(f"Unsplash answered {status}")
    if len(body) > MAX_BYTES:
        raise BadAnswer(f"the answer is longer than {MAX_BYTES:,} bytes")


def usable_photos(body: bytes, topic: str, size: str, may_fetch: Callable[[str], bool]) -> list[Photo]:
    """Return the different photos in the body that can be used at this size. BadAnswer if there are none."""
    offered = _parsed(body)
    if not isinstance(offered, list):
        raise BadAnswer("Unsplash answered something else than a list of photos")
    flaws = [_flaw(photo, size, may_fetch) for photo in offered]
    usable = {photo["id"]: photo for photo, flaw in zip(offered, flaws, strict=True) if not flaw}
    if not usable:
        commonest = "".join(f": {flaw} ({number} of them)" for flaw, number in Counter(flaws).most_common(1))
        raise BadAnswer(f"Unsplash offered {len(offered)} photos of {topic!r}, and none that can be used{commonest}")
    return list(usable.values())


def address_of(photo: Photo, size: str) -> str:
    """Return where the photo's picture of this size is. PhotoGone if that is nowhere."""
    address = photo["urls"].get(size)
    if not (isinstance(address, str) and re.fullmatch(r"[!-~]+", address)):
        raise PhotoGone(f"the photo has no picture of size {size!r}")
    return address


def is_of_unsplash_plus(address: str) -> bool:
    """Tell by host or path whether the picture is one of Unsplash+: watermarked, and under another licence."""
    parts = urlsplit(address)
    return (parts.hostname or "").startswith("plus.") or parts.path.startswith("/premium_photo-")


def credit(photo: Photo, app_name: str) -> dict[str, str]:
    """Return the credit that Unsplash asks for: its text, and the links of the photographer and of Unsplash."""

    def referred(address: str) -> str:
        return f"{address}{'&' if '?' in address else '?'}{urlencode({'utm_source': app_name, 'utm_medium': 'referral'})}"

    return {
        "text": f"Photo by {photo['user']['name']} on Unsplash",
        "photographer": referred(photo["user"]["links"]["html"]),
        "unsplash": referred("https://unsplash.com/"),
    }


def _parsed(body: bytes) -> Any:
    """Return what the JSON holds. BadAnswer if it is none, or another process could not write or read it again."""
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_float=_finite, parse_constant=_finite)
        if _is_too_deep(value):
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"Unsplash answered something else than JSON: {error}") from error
    return value


def _finite(text: str) -> float:
    """Return the number; NaN, Infinity and 1e999 are none, and could not be written as JSON again."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is no number")
    return number


def _is_too_deep(value: Any, allowed: int = MAX_DEPTH) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is not None and (allowed == 0 or any(_is_too_deep(each, allowed - 1) for each in inner))


def _flaw(photo: Any, size: str, may_fetch: Callable[[str], bool]) -> str:
    """Return why the photo cannot be used at this size, or nothing if it can."""
    for path in ("id", f"urls.{size}", "user.name", "user.username", "user.links.html", "links.html"):
        value = photo
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if not isinstance(value, str):
            return f"no {path}"
    if not _ID.fullmatch(photo["id"]):
        return "an impossible id"
    if not may_fetch(address := photo["urls"][size]):
        return "an address that is refused"
    return "a picture of Unsplash+" if is_of_unsplash_plus(address) else ""
