"""The sandbox answers as the Unsplash API and its picture host do."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from PIL import Image, ImageDraw

from pipeline import sandbox

KEY = {"Authorization": "Client-ID any-key"}


@pytest.fixture
def server() -> Iterator[sandbox.Server]:
    with sandbox.server(0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def origin(server: sandbox.Server) -> str:
    return server.sandbox.origin


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update(KEY)
        yield session


def ids(count: int, premium: bool | None = None) -> list[str]:
    """Return the same photo ids on every run, only Unsplash+ ones or none of them when `premium` says so."""
    source = Random("test_sandbox")
    found: list[str] = []
    while len(found) < count:
        photo_id = sandbox.random_id(source=source)
        if premium in (None, sandbox.is_premium(photo_id)):
            found.append(photo_id)
    return found


def decoded(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg), formats=("JPEG",))
    image.load()
    return image


# The fields the service's published description requires of a photo, each with its type.
TEXT, WHOLE = (str,), (int,)
TEXT_OR_NULL = (str, type(None))
PHOTO = {
    "id": TEXT,
    "created_at": TEXT,
    "updated_at": TEXT,
    "promoted_at": TEXT_OR_NULL,
    "blur_hash": TEXT_OR_NULL,
    "width": WHOLE,
    "height": WHOLE,
    "description": TEXT_OR_NULL,
    "color": TEXT_OR_NULL,
    "urls": dict.fromkeys(("raw", "full", "regular", "small", "thumb"), TEXT),
    "links": dict.fromkeys(("self", "html", "download", "download_location"), TEXT),
    "current_user_collections": (list,),
    "user": {
        "id": TEXT,
        "updated_at": TEXT,
        "username": TEXT,
        "name": TEXT,
        "first_name": TEXT,
        "last_name": TEXT_OR_NULL,
        "bio": TEXT_OR_NULL,
        "location": TEXT_OR_NULL,
        "total_collections": WHOLE,
        "links": dict.fromkeys(("self", "html", "photos"), TEXT),
        "profile_image": dict.fromkeys(("small", "medium", "large"), TEXT),
        "social": dict.fromkeys(("instagram_username", "portfolio_url", "twitter_username"), TEXT_OR_NULL),
    },
}


def mismatches(value: Any, shape: Any, where: str = "photo") -> list[str]:
    """Return what is missing from `value` or of another type than `shape` says."""
    if isinstance(shape, tuple):
        return [] if isinstance(value, shape) else [f"{where}: {value!r}"]
    if not isinstance(value, dict):
        return [f"{where}: {value!r}"]
    return [problem for name, part in shape.items() for problem in mismatches(value.get(name, ...), part, f"{where}.{name}")]


def test_photos_have_every_required_field(client: requests.Session, origin: str) -> None:
    """A random photo holds every field the service's description requires, of the right type."""
    for photo in client.get(f"{origin}/photos/random?count=30&query=art").json():
        assert mismatches(photo, PHOTO) == []
        assert photo["width"] > 0 and photo["height"] > 0


@pytest.mark.parametrize("count", [1, 2, 30])
def test_count_gives_an_array(client: requests.Session, origin: str, count: int) -> None:
    """With a count, 1 included, the answer is an array of that many different photos."""
    photos = client.get(f"{origin}/photos/random", params={"count": count}).json()
    assert isinstance(photos, list)
    assert len({photo["id"] for photo in photos}) == count


def test_no_count_gives_one_object(client: requests.Session, origin: str) -> None:
    """Without a count the answer is one photo, and its own address gives the same photo."""
    photo = client.get(f"{origin}/photos/random").json()
    assert isinstance(photo, dict)
    assert client.get(photo["links"]["self"]).json() == photo


@pytest.mark.parametrize("orientation", sandbox.ORIENTATIONS)
def test_orientation_is_honoured(client: requests.Session, origin: str, orientation: str) -> None:
    """Photos of an orientation have that shape."""
    parameters = {"count": "30", "orientation": orientation, "content_filter": "high"}
    for photo in client.get(f"{origin}/photos/random", params=parameters).json():
        assert (photo["width"] > photo["height"]) == (orientation == "landscape")
        assert (photo["width"] < photo["height"]) == (orientation == "portrait")


def test_the_query_is_in_the_texts_alone(client: requests.Session, origin: str) -> None:
    """A photo found by a query says so in its alternative text, unescaped, and is otherwise the same."""
    found = client.get(f"{origin}/photos/random", params={"query": "<é>"}).json()
    plain = client.get(found["links"]["self"]).json()
    assert "<é>" in found.pop("alt_description")
    assert "sample" in plain.pop("alt_description")
    assert found == plain


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ("count=0", "count does not have a valid value"),
        ("count=31", "count does not have a valid value"),
        ("count=-1", "count does not have a valid value"),
        ("count=", "count is invalid"),
        ("count=many", "count is invalid"),
        ("count=" + "9" * 5000, "count is invalid"),
        ("orientation=square", "orientation does not have a valid value"),
        ("orientation=", "orientation does not have a valid value"),
        ("content_filter=medium", "content_filter does not have a valid value"),
    ],
)
def test_bad_parameters_are_refused(client: requests.Session, origin: str, parameters: str, error: str) -> None:
    """An impossible count, orientation or content filter is answered with 400 and the reason."""
    response = client.get(f"{origin}/photos/random?{parameters}")
    assert (response.status_code, response.json()) == (400, {"errors": [error]})


def test_a_reserved_query_matches_nothing(client: requests.Session, origin: str) -> None:
    """The query `nothing`, in any case, is answered with 404 as the service does when no photo matches."""
    response = client.get(f"{origin}/photos/random?query=Nothing&count=30")
    assert (response.status_code, response.json()) == (404, {"errors": ["No photos found."]})


@pytest.mark.parametrize("path", ["/", "/photos", "/photos/too-short", "/photos/random/more", "/premium_photo-1-2"])
def test_unknown_paths_are_not_found(client: requests.Session, origin: str, path: str) -> None:
    """What the sandbox does not know is answered with 404 and a JSON error."""
    response = client.get(origin + path)
    assert response.status_code == 404
    assert len(response.json()["errors"]) == 1


def test_about_2_in_30_photos_are_premium() -> None:
    """Between 4 and 10 in a hundred photos are Unsplash+."""
    assert 80 <= sum(map(sandbox.is_premium, ids(2000))) <= 200


@pytest.mark.parametrize("premium", [True, False])
def test_premium_photos_are_told_by_their_addresses(client: requests.Session, origin: str, premium: bool) -> None:
    """Each picture address of an Unsplash+ photo says premium_photo-, of another photo-, and gives a JPEG."""
    (photo_id,) = ids(1, premium)
    photo = client.get(f"{origin}/photos/{photo_id}").json()
    prefix = f"{origin}/premium_photo-" if premium else f"{origin}/photo-"
    for url in photo["urls"].values():
        assert url.startswith(prefix)
        assert client.get(url).headers["Content-Type"] == "image/jpeg"


def test_the_download_event_gives_the_picture(client: requests.Session, origin: str) -> None:
    """The download address of a photo, followed as given, answers with where the picture is."""
    photo = client.get(f"{origin}/photos/random").json()
    response = client.get(photo["links"]["download_location"])
    assert (response.status_code, response.json()) == (200, {"url": photo["urls"]["full"]})


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Client-ID", "Client-ID ", "Bearer any-key", "Client-ID two words", "Client-ID WRONG_KEY"],
)
def test_without_a_good_key_requests_are_refused(origin: str, authorization: str | None) -> None:
    """A missing or wrong key, and one in the address, is answered with 401 and the service's words."""
    answer = sandbox.Sandbox(origin).answer(
        "/photos/random?client_id=any-key",
        {} if authorization is None else {"Authorization": authorization},
    )
    assert answer.status == 401
    assert json.loads(answer.body) == {"errors": ["OAuth error: The access token is invalid"]}


def test_a_wrong_key_is_refused_over_http(client: requests.Session, origin: str) -> None:
    """The reserved wrong key gives 401 from the server too, with the rate headers."""
    response = client.get(f"{origin}/photos/random", headers={"Authorization": f"Client-ID {sandbox.WRONG_KEY}"})
    assert response.status_code == 401
    assert response.headers["X-Ratelimit-Remaining"] == "49"


def test_header_names_may_be_of_any_case() -> None:
    """The key is found in a header of any case."""
    for name in ("authorization", "AUTHORIZATION"):
        assert sandbox.Sandbox().answer("/photos/random", {name: "Client-ID any-key"}).status == 200


def test_every_api_answer_counts(client: requests.Session, server: sandbox.Server) -> None:
    """Photos, download events and errors each take one from the quota; pictures and credit pages none."""
    origin = server.sandbox.origin
    server.sandbox = sandbox.Sandbox(origin, clock=lambda: 0.0)
    photo = client.get(f"{origin}/photos/random").json()
    for url in (photo["urls"]["thumb"], photo["user"]["links"]["html"]):
        assert "X-Ratelimit-Remaining" not in client.get(url).headers
    remaining = []
    for url in (
        photo["links"]["download_location"],
        f"{origin}/photos/random?count=0",
        f"{origin}/photos/random?query=nothing",
        f"{origin}/photos/none",
    ):
        headers = client.get(url).headers
        assert headers["X-Ratelimit-Limit"] == "50"
        remaining.append(headers["X-Ratelimit-Remaining"])
    assert remaining == ["48", "47", "46", "45"]


def test_the_quota_is_per_key_and_clock_hour() -> None:
    """Over the limit a key gets 403 with plain text until the clock's hour ends; other keys go on."""
    now = 7199.0
    service = sandbox.Sandbox(hourly_limit=2, clock=lambda: now)
    answers = [service.answer("/photos/random", KEY) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 403, 403]
    assert [answer.headers["X-Ratelimit-Remaining"] for answer in answers] == ["1", "0", "0", "0"]
    assert answers[2].body == b"Rate Limit Exceeded"
    assert service.answer("/photos/random", {"Authorization": "Client-ID other"}).status == 200
    now = 7200.0
    assert service.answer("/photos/random", KEY).headers["X-Ratelimit-Remaining"] == "1"


def test_the_server_takes_its_limit(client: requests.Session) -> None:
    """A server that allows no request an hour answers the first as over the limit."""
    with sandbox.server(0, hourly_limit=0) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        response = client.get(f"{server.sandbox.origin}/photos/random", headers={"Connection": "close"})
        thread.join()
    assert (response.status_code, response.text) == (403, "Rate Limit Exceeded")
    assert response.headers["X-Ratelimit-Limit"] == "0"


def test_threads_share_the_quota() -> None:
    """Requests at once are counted one after the other, the reading of the clock included."""
    meeting = threading.Barrier(2)
    met = []

    def clock() -> float:
        with contextlib.suppress(threading.BrokenBarrierError):  # broken: nobody else came in
            met.append(meeting.wait(timeout=0.5))
        return 0.0

    service = sandbox.Sandbox(hourly_limit=1, clock=clock)
    with ThreadPoolExecutor(2) as threads:
        answers = threads.map(lambda _: service.answer("/photos/random", KEY).status, range(2))
    assert sorted(answers) == [200, 403]
    assert met == []


def test_answers_carry_the_headers_a_client_reads(client: requests.Session, origin: str) -> None:
    """JSON and pictures say what and how long they are; each JSON answer has its own request id."""
    response = client.get(f"{origin}/photos/random")
    assert response.headers["Content-Type"] == "application/json"
    assert int(response.headers["Content-Length"]) == len(response.content)
    assert response.headers["X-Request-Id"] != client.get(f"{origin}/photos/random").headers["X-Request-Id"]
    picture = client.get(response.json()["urls"]["thumb"])
    assert picture.headers["Content-Type"] == "image/jpeg"
    assert picture.headers["Accept-Ranges"] == "bytes"
    assert int(picture.headers["Content-Length"]) == len(picture.content)


@pytest.mark.parametrize(("size", "width"), [("raw", None), ("full", None), ("regular", 1080), ("small", 400), ("thumb", 200)])
def test_pictures_are_as_wide_as_asked(origin: str, size: str, width: int | None) -> None:
    """Each address gives one whole JPEG of its width, or of the size the photo states, without a key."""
    photo = requests.get(f"{origin}/photos/random", headers=KEY, timeout=60).json()
    image = decoded(requests.get(photo["urls"][size], timeout=60).content)
    assert image.width == (width or photo["width"])
    assert image.height == round(photo["height"] * image.width / photo["width"])


@pytest.mark.parametrize("width", ["0", "-1", "wide", "9999", "9" * 5000])
def test_an_unusable_width_gives_the_own_size(width: str) -> None:
    """A picture is never wider than the photo, and a width that is none is ignored."""
    (photo_id,) = ids(1)
    answer = sandbox.Sandbox().answer(f"{sandbox.picture_path(photo_id)}?w={width}", {})
    assert decoded(answer.body).size == sandbox.shape(photo_id)


def test_a_picture_may_be_one_pixel_wide() -> None:
    """The smallest width still gives a whole JPEG, whatever the shape."""
    for photo_id in ids(20):
        assert decoded(sandbox.drawing(photo_id, 1)).width == 1


def test_a_picture_has_one_path_only(client: requests.Session, origin: str) -> None:
    """A photo's picture is not found under another time or as an Unsplash+ photo it is not."""
    (photo_id,) = ids(1, premium=False)
    path = sandbox.picture_path(photo_id)
    assert client.get(origin + path).status_code == 200
    assert client.get(f"{origin}/premium_{path[1:]}").status_code == 404
    assert client.get(f"{origin}/photo-0000000000000-{photo_id}").status_code == 404


def test_different_photos_have_different_pictures() -> None:
    """No two photos look the same, even where their ids differ in the last character alone."""
    similar = [f"AAAAAAAAAA{last}" for last in "ABCDEFGHIJ"]
    assert len({sandbox.drawing(photo_id, 200) for photo_id in [*ids(50), *similar]}) == 60


def test_every_kind_of_ridge_is_drawn() -> None:
    """Each of the things a photo may show occurs, and looks different."""
    first = {sandbox.ridge(photo_id): photo_id for photo_id in ids(100)}
    assert set(first) == set(sandbox.RIDGES)
    crests = {tuple(sandbox._crest(kind, 1, Random(1))) for kind in sandbox.RIDGES}
    assert len(crests) == len(sandbox.RIDGES)


def test_pictures_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The word SAMPLE and the photo's id are on every picture, in white in its middle, at 200 px too."""
    written: list[str] = []
    write = ImageDraw.ImageDraw.text

    def noted(draw: ImageDraw.ImageDraw, position: Any, text: str, **style: Any) -> None:
        written.append(text)
        write(draw, position, text, **style)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    for photo_id in ids(10):
        written.clear()
        image = decoded(sandbox.drawing(photo_id, 200)).convert("L")
        assert written == ["SAMPLE", photo_id]
        middle = image.crop((20, round(image.height * 0.4), 180, round(image.height * 0.75)))
        assert sum(middle.histogram()[245:]) > 100, photo_id


def test_processes_agree_on_a_photo() -> None:
    """Two processes that share nothing give the same photo and the same picture for an id."""
    program = """
import hashlib, sys
from pipeline.sandbox import Sandbox, picture_path
for photo_id in sys.argv[1:]:
    for target in (f"/photos/{photo_id}", f"/photos/{photo_id}/download", picture_path(photo_id) + "?w=400"):
        answer = Sandbox().answer(target, {"Authorization": "Client-ID any-key"})
        print(answer.status, hashlib.sha256(answer.body).hexdigest())
"""
    photo_ids = ["-AAAAAAAAAA", "_AAAAAAAAAA", *ids(2)]
    command = [sys.executable, "-c", program, *photo_ids]
    outputs = [subprocess.run(command, capture_output=True, check=True, text=True).stdout for _ in range(2)]
    assert outputs[0] == outputs[1]
    assert outputs[0].count("200 ") == 3 * len(photo_ids)
    assert len(set(outputs[0].split("\n"))) == 3 * len(photo_ids) + 1


def test_all_addresses_are_the_sandboxes_own() -> None:
    """No address in a photo leads anywhere but to the sandbox, so a sample never credits a real person."""
    for photo_id in ids(20):
        photo = json.loads(sandbox.Sandbox().answer(f"/photos/{photo_id}", KEY).body)
        addresses = [*photo["urls"].values(), *photo["links"].values(), *photo["user"]["links"].values()]
        addresses += photo["user"]["profile_image"].values()
        assert {f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" for url in addresses} == {sandbox.ORIGIN}


def test_credit_pages_say_what_they_are(client: requests.Session, origin: str) -> None:
    """The links of a credit lead to a page that names the sandbox; what came from the address is escaped."""
    photo = client.get(f"{origin}/photos/random").json()
    for url in (photo["links"]["html"], photo["user"]["links"]["html"], f"{origin}/@%3Cscript%3E%C3%A9"):
        page = client.get(url, params={"utm_medium": "referral"})
        assert page.status_code == 200
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "sandbox" in page.text
    assert "&lt;script&gt;é" in page.text and "<script" not in page.text


def test_names_are_not_all_ascii() -> None:
    """Among the photographers' names are letters beyond ASCII, an ampersand, and a missing last name."""
    photos = [json.loads(sandbox.Sandbox().answer(f"/photos/{photo_id}", KEY).body) for photo_id in ids(200)]
    names = {photo["user"]["name"] for photo in photos}
    assert any(not name.isascii() for name in names)
    assert any("&" in name for name in names)
    assert any(photo["user"]["last_name"] is None for photo in photos)


def exchanged(server: sandbox.Server, request: str) -> bytes:
    """Return all the server sends for raw requests, the last of which closes the connection."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=60) as connection:
        connection.sendall(request.encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_head_is_a_get_without_its_body(client: requests.Session, server: sandbox.Server) -> None:
    """HEAD gives the headers of GET and no byte more."""
    path = sandbox.picture_path(ids(1)[0])
    received = exchanged(server, f"HEAD {path} HTTP/1.1\r\nConnection: close\r\n\r\n")
    length = len(client.get(server.sandbox.origin + path).content)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"\r\nContent-Length: {length}\r\n".encode() in received
    assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(client: requests.Session, origin: str, method: str) -> None:
    """Nothing but GET and HEAD is allowed."""
    response = client.request(method, f"{origin}/photos/random")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")


def test_a_connection_serves_many_requests(server: sandbox.Server) -> None:
    """Two requests are answered over one connection."""
    request = "GET /photos/random HTTP/1.1\r\nAuthorization: Client-ID any-key\r\n"
    received = exchanged(server, f"{request}\r\n{request}Connection: close\r\n\r\n")
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2


def test_the_server_survives_clients_that_vanish(
    client: requests.Session, server: sandbox.Server, capfd: pytest.CaptureFixture[str]
) -> None:
    """A client that resets its connection leaves nothing on the terminal, and others are served on."""
    url = f"{server.sandbox.origin}/photos/random"
    running = set(threading.enumerate())
    for photo_id in ids(5):
        connection = socket.create_connection(("127.0.0.1", server.server_port))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
        connection.sendall(f"GET {sandbox.picture_path(photo_id)} HTTP/1.1\r\n\r\n".encode())
        connection.close()
    assert client.get(url, headers={"Connection": "close"}).status_code == 200
    for thread in set(threading.enumerate()) - running:
        thread.join()
    assert client.get(url).status_code == 200
    assert capfd.readouterr() == ("", "")


def test_a_taken_port_is_an_error(server: sandbox.Server) -> None:
    """A port in use is refused when the server is made, not when it serves."""
    with pytest.raises(OSError):
        sandbox.server(server.server_port)
