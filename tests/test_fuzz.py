"""Whatever comes in, only the named errors come out.

The examples follow from the tests alone: a failure comes again at the next run. `pytest -m slow` tries many more.
"""

import contextlib
import copy
import functools
import io
import json
import resource
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline import gallery, jpeg, minutes, quota, sandbox, unsplash
from pipeline.errors import BadAnswer, BadJpeg, BadTimestamp, InvalidKey, PipelineError, RootUnusable
from pipeline.settings import TopicsParameter
from pipeline.storage import Store
from pipeline.unsplash import Unsplash
from tests import faults
from tests.conftest import KEY
from tests.faults import Server

faulty = faults.faulty

BOUNDED = 150
FULL = 10_000
MOST_MEGABYTES = 300
MINUTE = datetime(2026, 11, 23, 12, 5)

examples = pytest.mark.parametrize("examples", [BOUNDED, pytest.param(FULL, marks=pytest.mark.slow)])


def fuzz(examples: int, test: Callable[..., None], *inputs: st.SearchStrategy[Any]) -> None:
    """Call the test with so many different inputs, the same at every run; none of them may take long or much memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    long = timedelta(seconds=5)
    unhurried = settings(
        max_examples=examples, derandomize=True, deadline=long, database=None, suppress_health_check=list(HealthCheck)
    )
    unhurried(given(*inputs)(test))()
    unit = 2**20 if sys.platform == "darwin" else 2**10
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit < MOST_MEGABYTES


@functools.cache
def client() -> Unsplash:
    return Unsplash(KEY, "http://127.0.0.1:1")


def photo() -> Any:
    """Return a photo as the API gives it."""
    answer = sandbox.Sandbox("https://unsplash.com").answer("/photos/AAAAAAAAAAA", {"Authorization": "Client-ID x"})
    return json.loads(answer.body)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
FIELDS = [("id",), ("urls",), ("urls", "regular"), ("user",), ("user", "name"), ("user", "username"), ("user", "links")]
FIELDS += [("user", "links", "html"), ("links",), ("links", "html"), ("links", "download_location"), ("pipeline",)]


def changed(fields: list[tuple[tuple[str, ...], Any]]) -> Any:
    """Return a photo with other values in these fields."""
    made = copy.deepcopy(photo())
    for names, value in fields:
        place = made
        for name in names[:-1]:
            place = place.get(name) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[names[-1]] = value
    return made


PHOTOS = st.lists(st.tuples(st.sampled_from(FIELDS), ANY | st.text()), max_size=3).map(changed) | ANY


@examples
def test_answers_of_any_bytes(examples: int, faulty: Server) -> None:
    """Any bytes with status 200 are no photos."""
    asked = Unsplash(KEY, faulty.origin)

    def test(body: bytes) -> None:
        faulty.breaks("photos", faults.answers(200, body))
        with pytest.raises(BadAnswer):
            asked.random_photos("art", 30, size="regular")

    fuzz(
        min(examples, 2000),
        test,
        st.binary(max_size=200) | st.text().map(str.encode) | ANY.map(lambda each: json.dumps(each).encode()),
    )


@examples
def test_answers_that_begin_well(examples: int, faulty: Server) -> None:
    """An answer that is cut, or has bytes in it changed, is no photos, or photos with all that is needed of them."""
    asked = Unsplash(KEY, faulty.origin)
    whole = json.dumps([photo()]).encode()

    def test(changes: list[tuple[int, int]], length: int) -> None:
        body = bytearray(whole)
        for place, byte in changes:
            body[place % len(body)] = byte
        faulty.breaks("photos", faults.answers(200, bytes(body[:length])))
        try:
            photos = asked.random_photos("art", 30, size="regular")
        except BadAnswer:
            return
        assert_usable(asked, photos)

    change = st.tuples(st.integers(0, len(whole)), st.integers(0, 255))
    fuzz(min(examples, 2000), test, st.lists(change, max_size=5), st.integers(0, len(whole)) | st.just(len(whole)))


def assert_usable(asked: Unsplash, photos: list[Any]) -> None:
    """Check that what the pipeline does with photos can be done with these."""
    for each in photos:
        assert asked.may_fetch(unsplash.address_of(each, "regular"))
        credit = unsplash.credit(each, "name")
        kept = json.loads(json.dumps(each | {"pipeline": {"credit": credit}}))
        assert "<script" not in gallery.credit_html(kept)


@examples
def test_photos_of_any_shape(examples: int, faulty: Server) -> None:
    """A photo is left out, or has all that the pipeline needs of it, whatever stands in its fields."""
    asked = Unsplash(KEY, faulty.origin)

    def test(photos: list[Any]) -> None:
        faulty.breaks("photos", faults.answers_json(photos))
        with contextlib.suppress(BadAnswer):
            assert_usable(asked, asked.random_photos("art", 30, size="regular"))

    fuzz(min(examples, 2000), test, st.lists(PHOTOS, max_size=3))


WORDS = [
    "https://",
    "http://",
    "//",
    "unsplash.com",
    "images.",
    "127.0.0.1",
    ":1",
    ":443",
    "@",
    "/",
    "\\",
    "?",
    "#",
    "%2f",
    ".",
    "[::1]",
]
ADDRESSES = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=8).map("".join) | st.text()


@examples
def test_addresses(examples: int) -> None:
    """An address that may be fetched is of https on unsplash.com, or of the API's own origin, to other parsers too."""

    def test(base: str, address: str) -> None:
        for each in (address, joined(base, address)):
            if client().may_fetch(each):
                assert each.isascii() and each.isprintable()
                parts = urlsplit(each)
                host = (parts.hostname or "").lower()
                own = (parts.scheme.lower(), host, parts.port) == ("http", "127.0.0.1", 1)
                of_unsplash = parts.scheme.lower() == "https" and (host == "unsplash.com" or host.endswith(".unsplash.com"))
                assert own or (of_unsplash and parts.port in (None, 443))
                assert parts.username is None and "\\" not in parts.netloc

    fuzz(examples, test, ADDRESSES, ADDRESSES)


def joined(base: str, address: str) -> str:
    try:
        return urljoin(base, address)
    except ValueError:
        return ""


@examples
def test_dotenv(examples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `.env` holds gives a key that can be sent in a header, or a named error that does not show what was read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNSPLASH_API_KEY", raising=False)

    def test(content: bytes) -> None:
        Path(".env").write_bytes(content)
        unsplash._dotenv.cache_clear()
        try:
            key = unsplash.api_key()
        except PipelineError as error:
            assert len(str(error)) < 300 and "secret" not in str(error)
        else:
            assert key.isascii() and key.isprintable() and " " not in key

    name, value = (
        st.just(b"UNSPLASH_API_KEY="),
        st.sampled_from([b"secret", b"\"secret'", b" secret # x", b"'sec\nret'", b"secret\xff"]),
    )
    lines = st.lists(st.binary(max_size=20) | st.text(max_size=20).map(str.encode) | name | value | st.just(b"\n"), max_size=6)
    fuzz(examples, test, lines.map(b"".join))
    unsplash._dotenv.cache_clear()


@examples
def test_keys(examples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the variable holds is a key that can be sent in a header, or is refused and not shown."""

    def test(value: str) -> None:
        monkeypatch.setenv("UNSPLASH_API_KEY", value)
        try:
            key = unsplash.api_key()
        except InvalidKey as error:
            assert "secret" not in str(error)
        else:
            assert key in value and key.isascii() and key.isprintable()

    text = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1)
    fuzz(examples, test, text | text.map(lambda each: f"secret{each}"))


@examples
def test_timestamps(examples: int) -> None:
    """A text is refused by name, or is exactly how the minute it gives is written."""

    def test(text: str) -> None:
        try:
            minute = minutes.MinuteParameter().parse(text)
        except BadTimestamp:
            return
        assert minutes.name(minute) == text

    digits = st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{4}\n?", fullmatch=True)
    unicode_digits = st.from_regex(r"\d{4}-\d\d-\d\dT\d{4}", fullmatch=True)
    fuzz(examples, test, digits | unicode_digits | st.text() | st.datetimes().map(lambda each: f"{each:%Y-%m-%dT%H%M}"))


@examples
def test_topics(examples: int) -> None:
    """Topics of any text are read back as they were, and every minute has one of them."""

    def test(text: str, minute: datetime) -> None:
        parameter = TopicsParameter()
        topics = parameter.parse(text)
        assert parameter.parse(parameter.serialize(topics)) == topics
        if topics:
            assert minutes.topic_of(minute, topics) in topics

    fuzz(examples, test, st.text(), st.datetimes())


@functools.cache
def pictures() -> list[bytes]:
    """Return small JPEGs of several kinds."""
    made = []
    for mode, options in (
        ("RGB", {}),
        ("L", {"progressive": True}),
        ("CMYK", {}),
        ("RGB", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}),
    ):
        buffer = io.BytesIO()
        Image.effect_noise((40, 30), 50).convert(mode).save(buffer, "JPEG", **options)
        made.append(buffer.getvalue())
    return made


@examples
def test_mutated_jpegs(examples: int) -> None:
    """A JPEG with bytes changed, taken out or put in is refused by name, or decodes as its head says."""

    def test(number: int, changes: list[tuple[int, bytes, int]]) -> None:
        body = pictures()[number]
        for place, inserted, removed in changes:
            place %= len(body) + 1
            body = body[:place] + inserted + body[place + removed :]
        try:
            picture = jpeg.picture(io.BytesIO(body))
        except BadJpeg as error:
            assert len(str(error)) < 300
            return
        assert picture.length == len(body)
        assert 0 < picture.width * picture.height <= jpeg.MAX_PIXELS
        assert max(Image.open(io.BytesIO(picture.thumbnail)).size) <= jpeg.MAX_THUMBNAIL_PIXELS

    markers = st.sampled_from(
        [b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc0", b"\xff\xc2", b"\xff\xdd", b"\xff\xe1\xff\xff", b"\0" * 9]
    )
    change = st.tuples(st.integers(0, 10_000), st.binary(max_size=4) | markers, st.integers(0, 6))
    fuzz(examples, test, st.integers(0, 3), st.lists(change, min_size=1, max_size=6))


@examples
def test_files_on_the_disk(examples: int, tmp_path: Path) -> None:
    """Whatever the project's own files hold, they are read as something or as nothing, and never with an error."""
    store = Store(tmp_path)
    folder = tmp_path / "2026-11-23"
    folder.mkdir()

    def test(metadata: bytes, address: bytes, other: bytes) -> None:
        (folder / "1205.json").write_bytes(metadata)
        (folder / "1205.txt").write_bytes(address)
        for name in ("2026-11-23/given", "2026-11-23/1205.error", "quota", "pruned-before"):
            (tmp_path / name).write_bytes(other)
        assert store.metadata(MINUTE).exists() == bool(store.metadata(MINUTE).read())
        assert store.address(MINUTE).exists() == bool(store.address(MINUTE).read())
        store.reason(MINUTE)
        store.given_photos(["a"], MINUTE, 1)
        with contextlib.suppress(RootUnusable):
            store.missing_minutes(MINUTE, MINUTE + timedelta(hours=1))
        quota.reading_of_this_hour(store)

    known = photo() | {"pipeline": {"credit": {"text": "x"}}}
    kept = PHOTOS.map(lambda each: json.dumps(known | each if isinstance(each, dict) else each).encode())
    fuzz(
        min(examples, 3000),
        test,
        st.binary() | kept,
        st.binary() | st.just(f"{known['urls']['regular']}\n".encode()),
        st.binary() | ANY.map(json.dumps).map(str.encode),
    )
