"""Where a picture may come from: refused means that no connection was made."""

import sys
from typing import Any

import pytest

from pipeline.errors import BadAnswer, PhotoGone, Unavailable
from pipeline.unsplash import Unsplash
from tests import processes, servers
from tests.servers import Listener, Server

# PORT is a port of this machine on which something listens that is not the API, OWN that of the API.
REFUSED = [
    "http://images.unsplash.com/photo",
    "file:///etc/passwd",
    "ftp://images.unsplash.com/photo",
    "ftp://127.0.0.1:PORT/photo",
    "data:image/jpeg;base64,/9j/",
    "gopher://127.0.0.1:PORT/",
    "unsplash.com/photo",
    "//images.unsplash.com/photo",
    "/photo",
    "https:///photo",
    "https://",
    "",
    "https://example.com/photo",
    "https://unsplash.com.evil.example/photo",
    "https://evilunsplash.com/photo",
    "https://evil-unsplash.com/photo",
    "https://unsplash.com.:443/photo",
    "https://unsplash.comm/photo",
    "https://unsplash.co/photo",
    "https://images,unsplash.com/photo",
    "https://unsplash。com/photo",
    "https://images.un\u017fplash.com/photo",
    "https://unsplash\uff0ecom/photo",
    "https://unspl\u0430sh.com/photo",
    "https://example.com/unsplash.com/photo",
    "https://example.com?unsplash.com",
    "https://example.com#.unsplash.com",
    "https://example.com\\.unsplash.com/photo",
    "https://example.com%2f.unsplash.com/photo",
    "https://example.com%00.unsplash.com/photo",
    "https://user:password@images.unsplash.com/photo",
    "https://unsplash.com@127.0.0.1:PORT/photo",
    "https://unsplash.com:password@127.0.0.1:PORT/photo",
    "http://unsplash.com@127.0.0.1:OWN/photo",
    "https://images.unsplash.com:8443/photo",
    "https://images.unsplash.com:443443/photo",
    "https://images.unsplash.com:/photo",
    "http://127.0.0.1:PORT/photo",
    "https://127.0.0.1:PORT/photo",
    "https://127.0.0.1:OWN/photo",
    "http://127.0.0.1:OWN@127.0.0.1:PORT/photo",
    "http://127.0.0.1:OWN.evil.example/photo",
    "http://127.0.0.1:OWN0/photo",
    "http://127.0.0.1/photo",
    "http://localhost:PORT/photo",
    "http://localhost:OWN/photo",
    "http://2130706433:PORT/photo",
    "http://0x7f000001:PORT/photo",
    "http://0x7f.0.0.1:PORT/photo",
    "http://0177.0.0.1:PORT/photo",
    "http://127.1:PORT/photo",
    "http://[::ffff:127.0.0.1]:PORT/photo",
    "http://[::1]:PORT/photo",
    "http://[::1/photo",
    "http://0:PORT/photo",
    "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/photo",
    "https://images.unsplash.com/pho\nto",
    "https://images.unsplash.com/photo\r\nHost: evil.example",
    "https://images.unsplash.com/photo\n",
    "https://images.unsplash.com/pho to",
    " https://images.unsplash.com/photo",
    "https://images.unsplash.com/photo\t",
    "https://images.unsplash.com/photo\x00",
    "https://images.unsplash.com/photo\x7f",
    "https://images.unsplash.com/é",
    "https://images.unsplash.com/" + "x" * 8000,
]
NO_TEXT: list[Any] = [
    None,
    7,
    1.5,
    True,
    [],
    ["https://images.unsplash.com/photo"],
    {"url": "https://images.unsplash.com/photo"},
]


def filled_in(address: str, faulty: Server, elsewhere: Listener) -> str:
    return address.replace("PORT", str(elsewhere.port)).replace("OWN", str(faulty.server_port))


def can_be_a_header(address: str) -> bool:
    """Tell whether the address reaches the client as it is, and is not one of the API's own origin then."""
    return address.isprintable() and address.strip() == address and address not in ("", "/photo", "unsplash.com/photo")


def photo_with(address: Any) -> servers.Fault:
    return servers.changes_photo(lambda photo: photo["urls"].update(regular=address))


@pytest.mark.parametrize("address", REFUSED)
def test_a_refused_address(address: str, client: Unsplash, faulty: Server, elsewhere: Listener) -> None:
    """A picture is not fetched from there, and nothing is connected to."""
    with pytest.raises(PhotoGone, match="may not come from"):
        client.prefetch(filled_in(address, faulty, elsewhere))()
    assert elsewhere.connections() == 0
    assert faulty.requests == []


@pytest.mark.parametrize("address", [*REFUSED, *NO_TEXT])
def test_a_refused_address_in_an_answer(address: Any, client: Unsplash, faulty: Server, elsewhere: Listener) -> None:
    """A photo whose picture could never be fetched is not taken, and nothing is connected to."""
    if isinstance(address, str):
        address = filled_in(address, faulty, elsewhere)
    faulty.breaks("photos", photo_with(address))
    with pytest.raises(BadAnswer, match="none that can be used"):
        client.random_photos("art", 1, size="regular")
    assert elsewhere.connections() == 0
    assert faulty.count("photos") == len(faulty.requests) == 1


@pytest.mark.parametrize("address", [each for each in REFUSED if can_be_a_header(each)])
def test_a_refused_redirect(address: str, client: Unsplash, faulty: Server, elsewhere: Listener) -> None:
    """A picture's redirect is not followed to there, and nothing is connected to."""
    target = filled_in(address, faulty, elsewhere).encode().decode("latin-1")
    faulty.breaks("picture", servers.redirects(target))
    with pytest.raises(PhotoGone, match="may not come from"):
        client.prefetch(f"{faulty.origin}/photo")()
    assert elsewhere.connections() == 0
    assert faulty.count("picture") == len(faulty.requests) == 1


@pytest.mark.parametrize(
    "address",
    [
        "https://images.unsplash.com/photo-1?ixid=a&fm=jpg",
        "https://unsplash.com/photo",
        "https://unsplash.com",
        "HTTPS://IMAGES.UNSPLASH.COM/photo",
        "https://images.unsplash.com:443/photo",
        "https://a.b.c.unsplash.com?photo",
        "https://unsplash.com/@user",
    ],
)
def test_an_address_of_unsplash(address: str, client: Unsplash, elsewhere: Listener) -> None:
    """https on unsplash.com and below is connected to; a host that does not answer is no reason to drop the photo."""
    assert client.may_fetch(address)
    with pytest.raises(Unavailable):
        client.prefetch(address)()
    assert elsewhere.connections() > 0


def test_a_host_with_a_name_too_long(client: Unsplash, elsewhere: Listener) -> None:
    """A host whose name cannot be looked up does not answer; Python 3.12 finds out before it connects to a proxy."""
    address = f"https://{'x' * 64}.unsplash.com/photo"
    assert client.may_fetch(address)
    with pytest.raises(Unavailable):
        client.prefetch(address)()
    assert (elsewhere.connections() > 0) is (sys.version_info < (3, 12))


def test_the_longest_address(client: Unsplash) -> None:
    """An address may have 2,048 characters and no more."""
    address = "https://images.unsplash.com/".ljust(2048, "x")
    assert client.may_fetch(address)
    assert not client.may_fetch(address + "x")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("hops", [1, 3])
def test_a_redirect_at_home(status: int, hops: int, client: Unsplash, faulty: Server) -> None:
    """Up to three redirects are followed, of every kind, to the API's own origin, relative ones too; the key goes with none."""
    faulty.breaks("picture", servers.redirects("/other", status), times=hops - 1)
    photo = client.random_photos("art", 1, size="regular")[0]
    faulty.breaks("picture", servers.redirects(photo["urls"]["regular"].removeprefix(faulty.origin), status), times=hops)
    assert client.prefetch(f"{faulty.origin}/first")().startswith(b"\xff\xd8")
    assert faulty.count("picture") == hops + 1
    processes.assert_key_went_to_the_api_alone(faulty)


@pytest.mark.parametrize("target", ["", "?", "#", "/photo", "//127.0.0.1:OWN/photo", "http://127.0.0.1:OWN/photo"])
def test_a_redirect_loop(target: str, client: Unsplash, faulty: Server, elsewhere: Listener) -> None:
    """A picture behind more than three redirects is given up."""
    faulty.breaks("picture", servers.redirects(filled_in(target, faulty, elsewhere)))
    with pytest.raises(PhotoGone, match="more than 3 redirects"):
        client.prefetch(f"{faulty.origin}/photo")()
    assert faulty.count("picture") == 4


def test_a_redirect_without_a_target(client: Unsplash, faulty: Server) -> None:
    """A redirect that leads nowhere is an answer that may pass."""
    faulty.breaks("picture", servers.answers(302))
    with pytest.raises(Unavailable, match="answered 302"):
        client.prefetch(f"{faulty.origin}/photo")()
