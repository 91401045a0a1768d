"""The Unsplash API and its pictures over HTTP: what may be fetched from where, and what each answer means.

Nothing here knows Luigi, or where files live. The key goes into the Authorization header of requests to the API and nowhere
else. Times are seconds.
"""

import functools
import io
import ipaddress
import json
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitTimeout
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from typing import IO, Any, NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3
from urllib3 import BaseHTTPResponse

from pipeline.errors import (
    BadAnswer,
    BadSettings,
    InvalidKey,
    NoPhotos,
    PhotoGone,
    PipelineError,
    QuotaExceeded,
    RequestRefused,
    Unavailable,
)
from pipeline.transport import READ_SECONDS, Sent, Transport, chunks

API_URL = "https://api.unsplash.com"
DEMO_KEY = "DEMO_KEY"
SIZES = ("full", "regular", "small", "thumb")

QUICK_SECONDS = 2
EVENT_SECONDS = 3
MAX_REDIRECTS = 3
MAX_ADDRESS_LENGTH = 2048
MAX_JSON_BYTES = 8 * 2**20
MAX_PICTURE_BYTES = 100 * 2**20

_PICTURE_HEADERS = {"Accept": "image/jpeg"}
_REASON_CHARACTERS = 500
_UNSPLASH = re.compile(r"https://([a-z0-9-]+\.)*unsplash\.com(:443)?([/?#][!-~]*)?", re.IGNORECASE | re.ASCII)
_API_URL = re.compile(r"(https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d+)?)(/[!-~]*)?", re.IGNORECASE | re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_.~+/=-]+")
_PHOTO_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Photo = dict[str, Any]


class Quota(NamedTuple):
    """How many requests an hour the key has, and how many of them are left."""

    limit: int
    remaining: int


def environment_value(name: str) -> str:
    """Return the variable from the environment, else from `.env` in the working directory, else nothing."""
    return os.environ.get(name) or _dotenv(os.path.abspath(".env")).get(name) or ""


@functools.cache
def _dotenv(path: str) -> Mapping[str, str | None]:
    if not os.path.exists(path):
        return {}
    from dotenv import dotenv_values

    try:
        return dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise BadSettings(f".env cannot be read: {type(error).__name__}") from None


def api_key() -> str:
    """Return the key without blanks and quotes around it; what is no key is refused and not shown."""
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
    try:
        return api_key() == DEMO_KEY
    except PipelineError:
        return False


def client(answer_seconds: float) -> "Unsplash":
    """Return the client that the environment asks for: the same one again, with its open connections, while that holds."""
    key = api_key()
    if key == DEMO_KEY:
        from pipeline import sandbox

        return _client(key, sandbox.ORIGIN, answer_seconds)
    return _client(key, environment_value("UNSPLASH_API_URL") or API_URL, answer_seconds)


@functools.lru_cache(maxsize=1)
def _client(key: str, url: str, answer_seconds: float) -> "Unsplash":
    return Unsplash(key, url, answer_seconds)


class Unsplash:
    """Ask the API with one key, and fetch the pictures that it names.

    `quota` is what the last uncached answer said of the key, None before the first. An answer may take `answer_seconds`,
    however slowly it drips.
    """

    def __init__(self, key: str, url: str = API_URL, answer_seconds: float = 60) -> None:
        self.quota: Quota | None = None
        self._key = key
        self._url = url.rstrip("/")
        self._own_origin = re.compile(re.escape(_origin(url)) + r"([/?#][!-~]*)?", re.IGNORECASE | re.ASCII)
        self._transport: Transport | _Samples = _Samples() if key == DEMO_KEY else Transport(answer_seconds)
        self._asked: dict[str, Sent] = {}
        self._ahead = 2
        self._answer_seconds = answer_seconds

    def random_photos(
        self, topic: str, count: int, *, size: str, orientation: str = "", content_filter: str = "low"
    ) -> list[Photo]:
        """Return up to `count` (1 to 30) different photos of the topic, for one request of the quota.

        Photos of Unsplash+ (watermarked, another licence) are left out, and those that lack what the pipeline needs: an
        address of this size that may be fetched, the credit, the address of the download event. NoPhotos if nothing matches.
        """
        query = {"query": topic, "count": count, "orientation": orientation, "content_filter": content_filter}
        asked = urlencode({name: value for name, value in query.items() if value})
        answer = _parsed(self._ask(f"{self._url}/photos/random?{asked}"))
        if not isinstance(answer, list):
            raise BadAnswer("Unsplash answered something else than a list of photos")
        photos = {photo["id"]: photo for photo in answer if self._is_usable(photo, size)}
        if not photos:
            raise BadAnswer(f"Unsplash offered {len(answer)} photos of {topic!r}, and none that can be used")
        return list(photos.values())[:count]

    def may_fetch(self, address: object) -> bool:
        """Tell whether a picture may come from there: https on unsplash.com and below, or the very origin of the API."""
        return (
            isinstance(address, str)
            and len(address) <= MAX_ADDRESS_LENGTH
            and bool(_UNSPLASH.fullmatch(address) or self._own_origin.fullmatch(address))
        )

    def download(self, address: str, file: IO[bytes]) -> None:
        """Write the picture to the file as it is served.

        PhotoGone if it cannot be had from there, Unavailable if the answer was cut or is an error that may pass.
        """
        sent = self._asked_ahead(address)
        began = sent.at if sent else time.monotonic()
        try:
            self._write_picture(address, sent, file)
        finally:
            # Over a slow line the pictures that are on their way take their time from each other.
            is_quick = time.monotonic() - began < QUICK_SECONDS
            self._ahead = self._ahead + 1 if is_quick else max(1, self._ahead // 2)

    def _write_picture(self, address: str, sent: Sent | None, file: IO[bytes]) -> None:
        for _ in range(1 + MAX_REDIRECTS):
            if not self.may_fetch(address):
                raise PhotoGone(f"a picture may not come from {address[:100]!r}")
            answer, sent = (sent or self._transport.sent(address, _PICTURE_HEADERS)).answer, None
            with closing(answer()) as response:
                if isinstance(target := response.get_redirect_location(), str):
                    address = _target(address, target)
                    continue
                if response.status in (404, 410):
                    raise PhotoGone(f"the picture is gone: {response.status}")
                if response.status != 200:
                    raise Unavailable(f"the picture's host answered {response.status}")
                if not response.chunked and response.length_remaining is None:
                    raise Unavailable("the picture came without a length, and might be cut")
                for chunk in chunks(response, address, MAX_PICTURE_BYTES, PhotoGone):
                    file.write(chunk)
                return
        raise PhotoGone(f"the picture is behind more than {MAX_REDIRECTS} redirects")

    @contextmanager
    def asking_ahead(self, most: int) -> Iterator[Callable[[str], bool]]:
        """Lend a function that asks for the picture at an address, so that `download` need not wait for its host.

        It returns False, and does nothing, while enough are on their way: `most`, or fewer where pictures come slowly. Pictures
        are to be downloaded in the order in which they are asked for. Through a proxy a request leaves with its download.
        """

        def ask(address: str) -> bool:
            self._ahead = min(self._ahead, most)
            if len(self._asked) >= self._ahead:
                return False
            if self.may_fetch(address) and address not in self._asked:
                self._asked[address] = self._transport.sent(address, _PICTURE_HEADERS)
            return True

        try:
            yield ask
        finally:
            for sent in self._asked.values():
                sent.let_go()
            self._asked.clear()

    def _asked_ahead(self, address: str) -> Sent | None:
        """Return the request that was sent ahead, if one was and its host may still wait; let go of those passed over."""
        while address in self._asked:
            sent = self._asked.pop(first := next(iter(self._asked)))
            if first == address and time.monotonic() - sent.at < min(READ_SECONDS, self._answer_seconds) / 2:
                return sent
            sent.let_go()
        return None

    def report_download(self, location: str) -> None:
        """Request a photo's download_location exactly as given; give up after EVENT_SECONDS, name lookup included."""
        if not self._own_origin.fullmatch(location):
            raise BadAnswer("the address of the download event is not the API's")
        outcome: Future[bytes] = Future()

        def ask() -> None:
            try:
                outcome.set_result(self._ask(location))
            except Exception as error:
                outcome.set_exception(error)

        threading.Thread(target=ask, name="download event", daemon=True).start()
        try:
            outcome.result(EVENT_SECONDS)
        except WaitTimeout:
            raise Unavailable(f"no answer within {EVENT_SECONDS} s") from None

    def _is_usable(self, photo: object, size: str) -> bool:
        try:
            address, user, links = photo["urls"][size], photo["user"], photo["links"]  # type: ignore[index]
            texts = (user["name"], user["username"], user["links"]["html"], links["html"], links["download_location"])
            return (
                bool(_PHOTO_ID.fullmatch(photo["id"]))  # type: ignore[index]
                and all(isinstance(text, str) for text in texts)
                and self.may_fetch(address)
                and not is_of_unsplash_plus(address)
            )
        except (KeyError, TypeError):
            return False

    def _ask(self, address: str) -> bytes:
        """Return what the API answers; no error shows the key, not even where the API, or what answers for it, says it back."""
        try:
            return self._answer(address)
        except PipelineError as error:
            raise type(error)(str(error).replace(self._key, "[key]")) from None

    def _answer(self, address: str) -> bytes:
        headers = {"Authorization": f"Client-ID {self._key}", "Accept": "application/json", "Accept-Version": "v1"}
        with closing(self._transport.sent(address, headers).answer()) as response:
            self._note_quota(response.headers)
            if response.status == 200:
                return b"".join(chunks(response, address, MAX_JSON_BYTES, BadAnswer))
            raise self._refusal(response, address)

    def _note_quota(self, headers: Mapping[str, str]) -> None:
        """Remember the quota, unless the answer is from a cache: its figures are of another time."""
        limit, remaining = headers.get("X-Ratelimit-Limit", ""), headers.get("X-Ratelimit-Remaining", "")
        if limit.isdecimal() and remaining.isdecimal() and headers.get("Age", "0") == "0":
            self.quota = Quota(int(limit[:9]), int(remaining[:9]))

    def _refusal(self, response: BaseHTTPResponse, address: str) -> PipelineError:
        """Return the error that an answer other than 200 means. See docs/reliability.md for the table."""
        status = response.status
        try:
            body = next(chunks(response, address, MAX_JSON_BYTES, BadAnswer), b"")
        except PipelineError:
            body = b""
        reason = body.decode("utf-8", "replace")
        if status == 401:
            return InvalidKey(f"Unsplash does not take the key: check UNSPLASH_API_KEY in the environment or .env ({status})")
        if status == 429 or (status == 403 and "rate limit exceeded" in reason.lower()):
            return QuotaExceeded(self._quota_sentence())
        if status == 404 and _is_error_list(body):
            return NoPhotos(f"Unsplash answered {status}: {self._cut(reason)}")
        if status in (408, 425) or status >= 500 or 300 <= status < 400:
            return Unavailable(f"Unsplash answered {status}")
        if 400 <= status < 500:
            return RequestRefused(f"Unsplash answered {status}: {self._cut(reason)}")
        return BadAnswer(f"Unsplash answered {status}")

    def _cut(self, reason: str) -> str:
        return reason.replace(self._key, "[key]")[:_REASON_CHARACTERS]

    def _quota_sentence(self) -> str:
        next_hour = (datetime.now(timezone.utc) + timedelta(hours=1)).replace(minute=0)
        used = f"{self.quota.limit - self.quota.remaining} of {self.quota.limit}" if self.quota else "all"
        return f"{used} requests of this hour are used: more from about {next_hour:%H:%M} UTC"


def address_of(photo: Photo, size: str) -> str:
    """Return where the photo's picture of this size is."""
    address = photo["urls"].get(size)
    if not (isinstance(address, str) and re.fullmatch(r"[!-~]+", address)):
        raise PhotoGone(f"the photo has no picture of size {size!r}")
    return address


def is_of_unsplash_plus(address: str) -> bool:
    """Tell whether the picture is one of Unsplash+, by its host or its path."""
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


def _origin(url: str) -> str:
    """Return the scheme, the host and the port of the API's address."""
    with suppress(ValueError):  # of a host or a port that cannot be
        if (parts := _API_URL.fullmatch(url)) and urlsplit(url).port != 0:
            if parts[2].startswith("["):
                ipaddress.IPv6Address(parts[2][1:-1])  # urlsplit looks from Python 3.11.4 on
            return parts[1]
    raise BadSettings("UNSPLASH_API_URL is no address: it looks like https://api.unsplash.com")


def _target(address: str, location: str) -> str:
    """Return where a redirect leads; a target that cannot be read is kept as it is, and refused like any other."""
    try:
        return urljoin(address, location)
    except ValueError:
        return location


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8-sig"), parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"Unsplash answered something else than JSON: {error}") from error


def _finite(text: str) -> float:
    """Return the number; NaN, Infinity and 1e999 are none, and could not be written as JSON again."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is no number")
    return number


def _is_error_list(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body)["errors"], list)
    except (ValueError, RecursionError, TypeError, KeyError):
        return False


class _Samples:
    """Answer every request by the built-in sandbox: no socket is opened."""

    def __init__(self) -> None:
        from pipeline.sandbox import Sandbox

        self._sandbox = Sandbox()

    def sent(self, address: str, headers: Mapping[str, str]) -> Sent:
        def answer() -> BaseHTTPResponse:
            target = urlsplit(address)._replace(scheme="", netloc="").geturl()
            status, answer_headers, body = self._sandbox.answer(target, headers)
            return urllib3.HTTPResponse(io.BytesIO(body), answer_headers, status, preload_content=False)

        return Sent(time.monotonic(), answer)
