"""A stand-in for the Unsplash API and its picture host.

`Sandbox.answer` takes a request's target and headers and gives back what the service would send, as far as is
known. DEMO_KEY calls it in-process, without a socket; `server` puts it behind a real port. Nothing is stored:
an 11-character photo id determines the whole photo, its drawing included, so any process can serve any photo.
"""

from __future__ import annotations

import base64
import html
import io
import json
import math
import re
import sys
import threading
import time
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random, SystemRandom
from typing import Any, NamedTuple

ORIGIN = "https://sandbox.invalid"  # a name reserved never to exist
WRONG_KEY = "WRONG_KEY"
UNMATCHED_QUERY = "nothing"
MOST_PHOTOS = 30
ORIENTATIONS = ("landscape", "portrait", "squarish")
CONTENT_FILTERS = ("low", "high")

# Width and height of a photo, in pixels: small for a photograph, so that drawing the full size stays cheap.
SHAPES = (
    *((1800, 1200), (1920, 1080), (1600, 1200), (1800, 1200)),
    *((1200, 1800), (1200, 1600), (1280, 1600)),
    (1400, 1400),
)

# Username: first and last name. Made up; not all are ASCII or safe in HTML, and one has no last name.
PHOTOGRAPHERS = {
    "sample-ada": ("Ada", "Mockingbird"),
    "sample-elodie": ("Élodie", "Bac-à-Sable"),
    "sample-soren": ("Søren", "Sandkasse"),
    "sample-jurgen": ("Jürgen", "Mustermotiv"),
    "sample-lucja": ("Łucja", "Piaskownica"),
    "sample-nandu": ("Ñandú", "del Ejemplo"),
    "sample-hanako": ("見本", "花子"),
    "sample-mau": ("Nguyễn", "Thị Mẫu"),
    "sample-zoe": ("Zoë", "Zandbak"),
    "sample-oisin": ("Oisín", "O'Sample"),
    "sample-specimen": ("Specimen & Daughters", None),
    "sample-lorem": ("Lorem", "Ipsum"),
}


class Palette(NamedTuple):
    """The colours of a drawing, each as #rrggbb; the ridges run from `far` to `near`."""

    sky: str
    horizon: str
    sun: str
    far: str
    near: str


PALETTES = (
    Palette("#f4b393", "#fde8cf", "#fff6e0", "#c8796b", "#3f2a44"),
    Palette("#88c0d0", "#e9f3ee", "#fff3c4", "#6fa3a8", "#1f4251"),
    Palette("#20294f", "#6d5c95", "#f6e7c1", "#4b4478", "#12142c"),
    Palette("#f7c873", "#fdeebf", "#ef6f4c", "#d98f4e", "#4d3325"),
    Palette("#a9d3c1", "#f1f4dc", "#fbe08c", "#6fa585", "#1f4a3d"),
    Palette("#e8a0b4", "#fbe3da", "#fffaf0", "#a86b95", "#3a2554"),
    Palette("#5b86b8", "#f3cfb3", "#ffdf9e", "#5f7399", "#1d2b47"),
    Palette("#d9dbd3", "#f5f2ea", "#e08e79", "#8fa39b", "#34474b"),
    Palette("#173f4f", "#4f9a94", "#f3e3a5", "#2f7175", "#0b2530"),
    Palette("#c6b7e2", "#f8e9ec", "#ffd6a5", "#8d83bd", "#35305f"),
)
RIDGES = ("hills", "peaks", "roofs", "pines", "waves")

_API_PHOTO = re.compile(r"/photos/(?P<id>[A-Za-z0-9_-]{11})(?P<download>/download)?")
_PICTURE = re.compile(r"/(?:premium_)?photo-[0-9]{13}-(?P<id>[A-Za-z0-9_-]{11})")
_AUTHORIZATION = re.compile(r"Client-ID (?P<key>[!-~]+)")
_INTEGER = re.compile(r"-?[0-9]{1,9}")


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
        self._hour = 0
        self._used: Counter[str] = Counter()

    def answer(self, target: str, headers: Mapping[str, str]) -> Answer:
        """Return the answer to a GET of `target`, a path with its query; header names may be of any case."""
        path, _, query = target.partition("?")
        parameters = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        if path.startswith("/@"):
            return _answer(200, "text/html; charset=utf-8", _page(urllib.parse.unquote(path[1:])))
        if (picture := _PICTURE.fullmatch(path)) and path == picture_path(picture["id"]):
            jpeg = _jpeg(picture["id"], parameters.get("w", ""))
            return _answer(200, "image/jpeg", jpeg, {"Accept-Ranges": "bytes"})
        sent = {name.lower(): value for name, value in headers.items()}
        client = _AUTHORIZATION.fullmatch(sent.get("authorization", ""))
        return self._api(path, parameters, client["key"] if client else "")

    def _api(self, path: str, parameters: Mapping[str, str], key: str) -> Answer:
        remaining = self._count_request(key)
        content: Any
        content_type = "application/json"
        if key in ("", WRONG_KEY):
            status, content = 401, _errors("OAuth error: The access token is invalid")
        elif remaining < 0:
            status, content, content_type = 403, "Rate Limit Exceeded", "text/plain"
        elif path == "/photos/random":
            status, content = self._random(parameters)
        elif photo := _API_PHOTO.fullmatch(path):
            found = self._photo(photo["id"])
            status, content = 200, {"url": found["urls"]["full"]} if photo["download"] else found
        else:
            status, content = 404, _errors("Couldn't find Photo")
        body = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        headers = {
            "Cache-Control": "private,max-age=0" if status == 200 else "no-cache",
            "X-Ratelimit-Limit": str(self.hourly_limit),
            "X-Ratelimit-Remaining": str(max(0, remaining)),
            "X-Request-Id": str(uuid.uuid4()),
        }
        return _answer(status, content_type, body.encode(), headers)

    def _count_request(self, key: str) -> int:
        """Count a request and return how many `key` has left this hour, -1 or less when it had none."""
        with self._lock:
            hour = int(self._clock() // 3600)
            if hour != self._hour:
                self._hour = hour
                self._used.clear()
            self._used[key] += 1
            return self.hourly_limit - self._used[key]

    def _random(self, parameters: Mapping[str, str]) -> tuple[int, Any]:
        wanted = parameters.get("orientation")
        query = parameters.get("query", "").strip()
        count = parameters.get("count", "1")
        # Worded as the service words an unknown or blank orientation; the others are assumed to follow it.
        if wanted not in (None, *ORIENTATIONS):
            return 400, _errors("orientation does not have a valid value")
        if parameters.get("content_filter") not in (None, *CONTENT_FILTERS):
            return 400, _errors("content_filter does not have a valid value")
        if not _INTEGER.fullmatch(count):
            return 400, _errors("count is invalid")
        if not 1 <= int(count) <= MOST_PHOTOS:
            return 400, _errors("count does not have a valid value")
        if query.lower() == UNMATCHED_QUERY:
            return 404, _errors("No photos found.")
        photos = [self._photo(random_id(wanted), query) for _ in range(int(count))]
        return 200, photos if "count" in parameters else photos[0]

    def _photo(self, photo_id: str, query: str = "") -> dict[str, Any]:
        width, height = shape(photo_id)
        drawn = _chance("photo", photo_id)
        username = drawn.choice(list(PHOTOGRAPHERS))
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_milliseconds(photo_id) // 1000))
        ixid = base64.urlsafe_b64encode(f"3|sample|{photo_id}".encode()).decode().rstrip("=")
        picture = self.origin + picture_path(photo_id)
        jpeg = f"{picture}?crop=entropy&cs=tinysrgb&fit=max&fm=jpg&ixid={ixid}&ixlib=rb-4.0.3&q=80"
        full = f"{picture}?crop=entropy&cs=srgb&fm=jpg&ixid={ixid}&ixlib=rb-4.0.3&q=85"
        subject = f" for “{query}”" if query else ""
        return {
            "id": photo_id,
            "slug": f"a-sample-drawing-{photo_id}",
            "created_at": moment,
            "updated_at": moment,
            "promoted_at": None,
            "width": width,
            "height": height,
            "color": palette(photo_id).far,
            "blur_hash": None,
            "description": "A sample, drawn by the sandbox." if drawn.random() < 0.1 else None,
            "alt_description": f"a sample drawing of {ridge(photo_id)}{subject}",
            "urls": {
                "raw": f"{picture}?ixid={ixid}&ixlib=rb-4.0.3",
                "full": full,
                "regular": f"{jpeg}&w=1080",
                "small": f"{jpeg}&w=400",
                "thumb": f"{jpeg}&w=200",
                "small_s3": f"{jpeg}&w=400",
            },
            "links": {
                "self": f"{self.origin}/photos/{photo_id}",
                "html": f"{self.origin}/@{username}/{photo_id}",
                "download": full,
                "download_location": f"{self.origin}/photos/{photo_id}/download?ixid={ixid}",
            },
            "likes": drawn.randrange(1000),
            "liked_by_user": False,
            "current_user_collections": [],
            "user": self._user(username, moment),
        }

    def _user(self, username: str, updated_at: str) -> dict[str, Any]:
        first_name, last_name = PHOTOGRAPHERS[username]
        user_id = random_id(None, _chance("user", username))
        likeness = f"{self.origin}{picture_path(user_id)}?crop=faces&fit=crop&ixlib=rb-4.0.3"
        return {
            "id": user_id,
            "updated_at": updated_at,
            "username": username,
            "name": f"{first_name} {last_name}" if last_name else first_name,
            "first_name": first_name,
            "last_name": last_name,
            "bio": None,
            "location": None,
            "links": {
                "self": f"{self.origin}/users/{username}",
                "html": f"{self.origin}/@{username}",
                "photos": f"{self.origin}/users/{username}/photos",
            },
            "profile_image": {
                "small": f"{likeness}&w=32&h=32",
                "medium": f"{likeness}&w=64&h=64",
                "large": f"{likeness}&w=128&h=128",
            },
            "total_collections": 0,
            "social": {"instagram_username": None, "portfolio_url": None, "twitter_username": None},
        }


class Server(ThreadingHTTPServer):
    """Serve a sandbox over HTTP, one thread a connection."""

    request_queue_size = 128

    def __init__(self, port: int, host: str, hourly_limit: int) -> None:
        super().__init__((host, port), _Handler)
        self.sandbox = Sandbox(f"http://{host}:{self.server_port}", hourly_limit=hourly_limit)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that went away is no error of ours
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 60
    # A whole answer leaves in one write and at once; otherwise a kept connection waits for acknowledgements.
    wbufsize = 2**18
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        answer = self.server.sandbox.answer(self.path, dict(self.headers.items()))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.send_response(405)
        self.send_header("Allow", "GET, HEAD")
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")  # the body is left unread
        self.end_headers()

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the sandbox's requests are no news."""


def server(port: int, *, host: str = "127.0.0.1", hourly_limit: int = 50) -> Server:
    """Return a server bound to `port`, any free one when 0, that does not serve yet.

    Raises OSError when the port is taken.
    """
    return Server(port, host, hourly_limit)


def _answer(status: int, content_type: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    described = {"Content-Type": content_type, "Content-Length": str(len(body))}
    return Answer(status, {**described, **(headers or {})}, body)


def _errors(message: str) -> dict[str, list[str]]:
    return {"errors": [message]}


def _page(name: str) -> bytes:
    return (
        "<!doctype html><meta charset=utf-8><title>Sandbox</title>"
        f"<p>{html.escape(name)}: a page of the sandbox. Its photos are drawn and its people made up.\n"
    ).encode(errors="replace")


def _jpeg(photo_id: str, width: str) -> bytes:
    """Return the photo `width` pixels wide, at most its own width; no number, or 0, asks for that."""
    own_width, _ = shape(photo_id)
    asked = int(width) if re.fullmatch("[0-9]{1,9}", width) else 0
    return drawing(photo_id, min(asked, own_width) or own_width)


def random_id(wanted: str | None = None, source: Random | None = None) -> str:
    """Return the id of a photo of the wanted orientation, of any when None."""
    source = source or SystemRandom()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
    while True:
        photo_id = "".join(source.choices(alphabet, k=11))
        if wanted in (None, orientation(photo_id)):
            return photo_id


def orientation(photo_id: str) -> str:
    """Return one of ORIENTATIONS."""
    width, height = shape(photo_id)
    return "squarish" if width == height else "landscape" if width > height else "portrait"


def shape(photo_id: str) -> tuple[int, int]:
    """Return the photo's own width and height in pixels."""
    return _chance("shape", photo_id).choice(SHAPES)


def is_premium(photo_id: str) -> bool:
    """Tell whether the photo is an Unsplash+ one, as about 2 in 30 are."""
    return _chance("premium", photo_id).random() < 2 / 30


def palette(photo_id: str) -> Palette:
    """Return the colours the photo is drawn in."""
    return _chance("palette", photo_id).choice(PALETTES)


def ridge(photo_id: str) -> str:
    """Return the word for what the photo shows, one of RIDGES."""
    return _chance("ridge", photo_id).choice(RIDGES)


def picture_path(photo_id: str) -> str:
    """Return the path of the photo's picture; its first word is all that tells an Unsplash+ photo."""
    return f"/{'premium_' if is_premium(photo_id) else ''}photo-{_milliseconds(photo_id)}-{photo_id}"


def _chance(purpose: str, name: str) -> Random:
    """Return what decides the `purpose` of a photo or user: the same for a name in every process."""
    return Random(f"{purpose} {name}")


def _milliseconds(photo_id: str) -> int:
    """Return when the photo was taken, from 2015 to 2023, in milliseconds since 1970: 13 digits."""
    return _chance("taken", photo_id).randrange(1_420_070_400_000, 1_704_067_200_000)


def drawing(photo_id: str, width: int) -> bytes:
    """Return the photo as a JPEG `width` pixels wide: ridges under a sky, marked SAMPLE and with its id.

    The same id and width give the same bytes wherever Pillow is the same.
    """
    from PIL import Image, ImageDraw, ImageFont  # here: a run that draws nothing need not load it

    own_width, own_height = shape(photo_id)
    height = round(own_height * width / own_width)
    # Drawn at twice the size and halved at the end: Pillow leaves the edges of polygons jagged.
    across, down = 2 * width, 2 * height
    unit = min(across, down)
    drawn = _chance("drawing", photo_id)
    colours = palette(photo_id)

    sky = Image.new("RGB", (1, 2), colours.horizon)
    sky.paste(colours.sky, (0, 0, 1, 1))
    image = sky.resize((1, down), Image.Resampling.BILINEAR, box=(0, 0.5, 1, 2)).resize((across, down))
    draw = ImageDraw.Draw(image)
    sun = (across * drawn.uniform(0.15, 0.85), down * drawn.uniform(0.14, 0.34))
    draw.circle(sun, unit * drawn.uniform(0.06, 0.14), fill=colours.sun)
    layers = drawn.randrange(4, 7)
    for layer in range(layers):
        nearness = layer / (layers - 1)
        base = down * (0.46 + 0.44 * nearness)
        crest = [(x * unit, base - y * unit) for x, y in _crest(ridge(photo_id), across / unit, drawn)]
        draw.polygon([(0, down), *crest, (across, down)], fill=_mixed(colours.far, colours.near, nearness))

    # In the middle, where a gallery that crops its pictures to squares keeps it.
    for text, size, below in (("SAMPLE", 0.15, 0), (photo_id, 0.07, 0.11)):
        draw.text(
            (across / 2, down * 0.53 + across * below),
            text,
            fill="white",
            anchor="mm",
            font=ImageFont.load_default(size=max(1, size * across)),
            stroke_width=max(1, round(0.005 * across)),
            stroke_fill=colours.near,
        )
    jpeg = io.BytesIO()
    image.reduce(2).save(jpeg, "JPEG", quality=80)
    return jpeg.getvalue()


def _crest(kind: str, span: float, drawn: Random) -> list[tuple[float, float]]:
    """Return the points of a ridge from x = 0 to at least `span`, in units of the picture's shorter side."""
    phase, length = drawn.uniform(0, 6), drawn.uniform(2, 5)
    points = []
    x = 0.0
    while x < span + 0.3:
        swell = 0.05 * math.sin(phase + length * x)
        if kind == "hills":
            points.append((x, 0.06 + swell + 0.025 * math.sin(2 * phase + 2.7 * length * x)))
            x += 0.01
        elif kind == "waves":
            points.append((x, 0.06 * abs(math.sin(phase + 14 * x))))
            x += 0.005
        elif kind == "peaks":
            points += [(x, drawn.uniform(0, 0.05)), (x + 0.07, drawn.uniform(0.1, 0.26))]
            x += drawn.uniform(0.14, 0.24)
        elif kind == "pines":
            points += [(x, swell), (x + 0.02, swell + drawn.uniform(0.07, 0.12))]
            x += 0.04
        else:
            top, breadth = drawn.uniform(0.02, 0.2), drawn.uniform(0.05, 0.12)
            points += [(x, top), (x + breadth, top)]
            x += breadth
    return points


def _mixed(far: str, near: str, nearness: float) -> tuple[int, int, int]:
    """Return the red, green and blue between two colours of the form #rrggbb."""
    pairs = zip(bytes.fromhex(far[1:]), bytes.fromhex(near[1:]), strict=True)
    red, green, blue = (round(a + (b - a) * nearness) for a, b in pairs)
    return red, green, blue
