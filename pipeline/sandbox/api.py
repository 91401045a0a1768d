"""What the API and its picture host answer."""

import html
import json
import re
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pipeline.sandbox.photos import Sample, drawing, random_id

ORIGIN = "https://sandbox.invalid"  # a name reserved never to exist
WRONG_KEY = "WRONG_KEY"
UNMATCHED_QUERY = "nothing"
WIDTHS = {"regular": 1080, "small": 400, "thumb": 200}

_ALLOWED = {
    "orientation": ("landscape", "portrait", "squarish"),
    "content_filter": ("low", "high"),
    "count": tuple(map(str, range(1, 31))),
}
_API_PHOTO = re.compile(r"/photos/(?P<id>[A-Za-z0-9_-]{11})(?P<download>/download)?")
_PICTURE = re.compile(r"/(premium_)?photo-[0-9]{13}-(?P<id>[A-Za-z0-9_-]{11})")
_WIDTH = re.compile(r"[0-9]{1,9}")
_AUTHORIZATION = re.compile(r"Client-ID ([!-~]+)")


class Answer(NamedTuple):
    """What a request is answered with."""

    status: int
    headers: dict[str, str]
    body: bytes


class Sandbox:
    """Answer requests as the Unsplash API and its picture host would.

    `origin` begins every address in an answer. Each key may make `hourly_limit` API requests per clock hour
    of `clock` (seconds since 1970), refused ones included; pictures are free. Threads may share one sandbox.
    """

    def __init__(self, origin: str = ORIGIN, *, hourly_limit: int = 50, clock: Callable[[], float] = time.time) -> None:
        self.origin = origin
        self.hourly_limit = hourly_limit
        self._clock = clock
        self._lock = threading.Lock()
        self._used: Counter[tuple[int, str]] = Counter()

    def answer(self, target: str, headers: Mapping[str, str]) -> Answer:
        """Return the answer to a GET of `target`, a path with its query; header names may be of any case."""
        path, _, query = target.partition("?")
        parameters = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        if path.startswith("/@"):
            name = html.escape(urllib.parse.unquote(path[1:]))
            page = f"<!doctype html><title>Sandbox</title><p>{name}: the sandbox's photos are drawn and its people made up.\n"
            return _answer(200, "text/html; charset=utf-8", page.encode(errors="replace"))
        if picture := _PICTURE.fullmatch(path):
            if path != Sample(picture["id"]).path:  # as earlier versions drew it
                return _answer(404, "text/plain", b"Not Found")
            width = parameters.get("w", "")
            return _answer(200, "image/jpeg", drawing(picture["id"], int(width) if _WIDTH.fullmatch(width) else 0))
        sent = {name.lower(): value for name, value in headers.items()}
        client = _AUTHORIZATION.fullmatch(sent.get("authorization", ""))
        return self._api(path, parameters, client[1] if client else "")

    def _api(self, path: str, parameters: Mapping[str, str], key: str) -> Answer:
        with self._lock:
            counted = int(self._clock() // 3600), key
            self._used[counted] += 1
            remaining = self.hourly_limit - self._used[counted]
        rates = {"X-Ratelimit-Limit": str(self.hourly_limit), "X-Ratelimit-Remaining": str(max(0, remaining))}
        content: Any
        if key in ("", WRONG_KEY):
            status, content = 401, "OAuth error: The access token is invalid"
        elif remaining < 0:
            return _answer(403, "text/plain", b"Rate Limit Exceeded", rates)
        elif path == "/photos/random":
            status, content = self._random(parameters)
        elif found := _API_PHOTO.fullmatch(path):
            photo = self._photo(found["id"])
            status, content = 200, {"url": photo["urls"]["full"]} if found["download"] else photo
        else:
            status, content = 404, "Couldn't find Photo"
        body = json.dumps(content if status == 200 else {"errors": [content]}, ensure_ascii=False)
        return _answer(status, "application/json", body.encode(), rates)

    def _random(self, parameters: Mapping[str, str]) -> tuple[int, Any]:
        for name, allowed in _ALLOWED.items():
            if parameters.get(name, allowed[0]) not in allowed:
                return 400, f"{name} does not have a valid value"
        query = parameters.get("query", "").strip()
        if query.lower() == UNMATCHED_QUERY:
            return 404, "No photos found."
        ids = [random_id(parameters.get("orientation")) for _ in range(int(parameters.get("count", 1)))]
        photos = [self._photo(photo_id, query) for photo_id in ids]
        return 200, photos if "count" in parameters else photos[0]

    def _photo(self, photo_id: str, query: str = "") -> dict[str, Any]:
        sample = Sample(photo_id)
        address, profile = f"{self.origin}/photos/{photo_id}", f"{self.origin}/@{sample.username}"
        picture = f"{self.origin}{sample.path}?ixid=sample&ixlib=rb-4.0.3"
        full = f"{picture}&crop=entropy&cs=srgb&fm=jpg&q=85"
        jpeg = f"{picture}&crop=entropy&cs=tinysrgb&fit=max&fm=jpg&q=80"
        links = {"self": address, "html": f"{profile}/{photo_id}", "download": full}
        return {
            "id": photo_id,
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(sample.taken // 1000)),
            "width": sample.width,
            "height": sample.height,
            "color": sample.colours[0],
            "description": None,
            "alt_description": "a sample drawing" + (f" for “{query}”" if query else ""),
            "urls": {"raw": picture, "full": full} | {size: f"{jpeg}&w={width}" for size, width in WIDTHS.items()},
            "links": links | {"download_location": f"{address}/download?ixid=sample"},
            "current_user_collections": [],
            "user": {
                "username": sample.username,
                "name": sample.name,
                "links": {"self": f"{self.origin}/users/{sample.username}", "html": profile},
            },
        }


def _answer(status: int, content_type: str, body: bytes, rates: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, {"Content-Type": content_type, "Content-Length": str(len(body)), **(rates or {})}, body)
