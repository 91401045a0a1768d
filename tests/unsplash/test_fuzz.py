"""Whatever a host, `.env` or the environment says, only the named errors come out."""

import contextlib
import functools
import itertools
import json
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import strategies as st

from pipeline import unsplash
from pipeline.errors import BadAnswer, InvalidKey, PhotoGone, PipelineError, Unavailable
from pipeline.unsplash import Unsplash
from pipeline.unsplash.key import masked
from tests import servers
from tests.conftest import KEY
from tests.fuzzing import ANY, PHOTOS, examples, fuzz, photo
from tests.servers import Server


@functools.cache
def client() -> Unsplash:
    return Unsplash(KEY, "http://127.0.0.1:1")


@examples
def test_answers_of_any_bytes(examples: int, faulty: Server) -> None:
    """Any bytes with status 200 are no photos."""
    asked = Unsplash(KEY, faulty.origin)

    def test(body: bytes) -> None:
        faulty.breaks("photos", servers.answers(200, body))
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
        faulty.breaks("photos", servers.answers(200, bytes(body[:length])))
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
        assert json.loads(json.dumps(each | {"pipeline": {"credit": credit}}))["pipeline"]["credit"] == credit


@examples
def test_photos_of_any_shape(examples: int, faulty: Server) -> None:
    """A photo is left out, or has all that the pipeline needs of it, whatever stands in its fields."""
    asked = Unsplash(KEY, faulty.origin)

    def test(photos: list[Any]) -> None:
        faulty.breaks("photos", servers.answers_json(photos))
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


@examples
def test_fetching_from_addresses(examples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever an address is, its picture is refused, or cannot be had for now; here every host is away."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    hosts = st.sampled_from(["https://unsplash.com", "https://images.unsplash.com:443", "http://127.0.0.1:1"])
    written = st.text(st.characters(min_codepoint=33, max_codepoint=126))

    def test(address: str) -> None:
        kind = Unavailable if client().may_fetch(address) else PhotoGone
        with pytest.raises(kind) as raised:
            client().prefetch(address)()
        assert str(raised.value).isprintable()

    fuzz(min(examples, 3000), test, ADDRESSES | st.tuples(hosts, st.sampled_from("/?#"), written).map("".join))


def joined(base: str, address: str) -> str:
    try:
        return urljoin(base, address)
    except ValueError:
        return ""


@examples
def test_dotenv(examples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `.env` holds gives a key that can be sent in a header, or a named error that does not show what was read."""
    monkeypatch.delenv("UNSPLASH_API_KEY", raising=False)
    folders = (tmp_path / str(number) for number in itertools.count())  # a process reads a `.env` once

    def test(content: bytes) -> None:
        (folder := next(folders)).mkdir()
        (folder / ".env").write_bytes(content)
        monkeypatch.chdir(folder)
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
def test_masked_keys(examples: int) -> None:
    """A key is masked in any text, each of its characters as it is or percent-encoded."""

    def test(before: str, encoded: list[bool], after: str) -> None:
        said = "".join(f"%{ord(each):02X}" if is_encoded else each for each, is_encoded in zip(KEY, encoded, strict=True))
        assert masked(f"{before}{said}{after}", KEY) == f"{before}[key]{after}"

    fuzz(examples, test, st.text(), st.lists(st.booleans(), min_size=len(KEY), max_size=len(KEY)), st.text())
