"""The sandbox answers as the Unsplash API and its picture host do."""

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from pipeline import sandbox
from tests.sandbox import samples
from tests.sandbox.samples import KEY

# Of the fields that the service's published description requires of a photo those that somebody reads, each with its type.
TEXT, WHOLE = (str,), (int,)
TEXT_OR_NULL = (str, type(None))
PHOTO = {
    "id": TEXT,
    "created_at": TEXT,
    "width": WHOLE,
    "height": WHOLE,
    "description": TEXT_OR_NULL,
    "alt_description": TEXT,
    "color": TEXT_OR_NULL,
    "urls": dict.fromkeys(("raw", "full", "regular", "small", "thumb"), TEXT),
    "links": dict.fromkeys(("self", "html", "download", "download_location"), TEXT),
    "current_user_collections": (list,),
    "user": {
        "username": TEXT,
        "name": TEXT,
        "links": dict.fromkeys(("self", "html"), TEXT),
    },
}


def mismatches(value: Any, shape: Any, where: str = "photo") -> list[str]:
    """Return what is missing from `value` or of another type than `shape` says."""
    if isinstance(shape, tuple):
        return [] if isinstance(value, shape) else [f"{where}: {value!r}"]
    if not isinstance(value, dict):
        return [f"{where}: {value!r}"]
    return [problem for name, part in shape.items() for problem in mismatches(value.get(name, ...), part, f"{where}.{name}")]


def test_photos_have_the_fields_that_are_read(client: requests.Session, origin: str) -> None:
    """A random photo holds the service's fields that somebody reads, of the right type."""
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


@pytest.mark.parametrize("orientation", ["landscape", "portrait", "squarish"])
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
        ("count=", "count does not have a valid value"),
        ("count=many", "count does not have a valid value"),
        ("count=" + "9" * 5000, "count does not have a valid value"),
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


def test_a_picture_that_there_is_not(origin: str) -> None:
    """The picture host answers 404 for a name that is none of its pictures', and asks for no key."""
    assert requests.get(f"{origin}/photo-0000000000000-abcdefghijk", timeout=60).status_code == 404


@pytest.mark.parametrize("premium", [True, False])
def test_premium_photos_are_told_by_their_addresses(client: requests.Session, origin: str, premium: bool) -> None:
    """Each picture address of an Unsplash+ photo says premium_photo-, of another photo-, and gives a JPEG."""
    (photo_id,) = samples.ids(1, premium)
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
    """JSON and pictures say what and how long they are."""
    response = client.get(f"{origin}/photos/random")
    assert response.headers["Content-Type"] == "application/json"
    assert int(response.headers["Content-Length"]) == len(response.content)
    picture = client.get(response.json()["urls"]["thumb"])
    assert picture.headers["Content-Type"] == "image/jpeg"
    assert int(picture.headers["Content-Length"]) == len(picture.content)


def test_all_addresses_are_the_sandboxes_own() -> None:
    """No address in a photo leads anywhere but to the sandbox, so a sample never credits a real person."""
    for photo_id in samples.ids(20):
        photo = json.loads(sandbox.Sandbox().answer(f"/photos/{photo_id}", KEY).body)
        addresses = [*photo["urls"].values(), *photo["links"].values(), *photo["user"]["links"].values()]
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
    """Among the photographers' names are letters beyond ASCII, an ampersand, and an apostrophe."""
    photos = [json.loads(sandbox.Sandbox().answer(f"/photos/{photo_id}", KEY).body) for photo_id in samples.ids(200)]
    names = {photo["user"]["name"] for photo in photos}
    assert any(not name.isascii() for name in names)
    assert any("&" in name for name in names)
    assert any("'" in name for name in names)
