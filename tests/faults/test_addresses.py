"""What a run does with a picture that is where it may not be fetched from."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import processes, servers
from tests.conftest import Project
from tests.processes import FAILED, MINUTE, STORED
from tests.servers import Listener, Server


@pytest.fixture
def elsewhere() -> Iterator[Listener]:
    """Listen on a port to which nothing may come."""
    listener = Listener()
    yield listener
    listener.connections()


def filled_in(address: str, elsewhere: Listener) -> str:
    return address.replace("PORT", str(elsewhere.port))


def proxied(elsewhere: Listener) -> dict[str, str]:
    """Return an environment in which all that is not for this machine goes to the port."""
    return {f"{scheme}_proxy": f"http://127.0.0.1:{elsewhere.port}" for scheme in ("http", "https")}


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:PORT/", "https://user:password@unsplash.com/", "file:///etc/passwd", None]
)
def test_a_run_whose_answers_lead_elsewhere(address: Any, minute: Project, faulty: Server, elsewhere: Listener) -> None:
    """A run that gets no photo with an address that may be fetched fails with this reason, and connects to nothing."""
    if address:
        address = filled_in(address, elsewhere)
    faulty.breaks("photos", servers.changes_photo(lambda photo: photo["urls"].update(regular=address)))
    run = minute.store(MINUTE, **proxied(elsewhere))
    assert run.returncode == 30
    assert "none that can be used" in processes.failure(minute)
    assert minute.files() == FAILED | {"quota"}
    assert elsewhere.connections() == 0
    processes.assert_key_is_nowhere(minute, run)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("target", ["http://127.0.0.1:PORT/", "https://evilunsplash.com/", "http://[::1/", "\x80", "/photo"])
def test_a_run_whose_picture_leads_elsewhere(target: str, minute: Project, faulty: Server, elsewhere: Listener) -> None:
    """A photo whose picture redirects to where it may not is replaced, and the next one is stored."""
    faulty.breaks("picture", servers.redirects(filled_in(target, elsewhere)), times=4 if target == "/photo" else 1)
    run = minute.store(MINUTE, **proxied(elsewhere))
    assert run.returncode == 0, run.stderr
    assert faulty.count("photos") == 2
    assert minute.files() == STORED
    assert elsewhere.connections() == 0
    processes.assert_key_is_nowhere(minute, run)
    processes.assert_key_went_to_the_api_alone(faulty)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("address", ["http://127.0.0.1:PORT/", "file:///etc/passwd", "https://unsplash.com.evil.example/"])
def test_a_refused_address_on_the_disk(address: str, minute: Project, faulty: Server, elsewhere: Listener) -> None:
    """An address that somebody wrote into the minute's files is refused as well, and its photo is replaced."""
    assert minute.store(MINUTE).returncode == 0
    folder = minute.root / "2026-11-23"
    (folder / "1205.jpg").unlink()
    address = filled_in(address, elsewhere)
    photo = json.loads((folder / "1205.json").read_text())
    photo["urls"]["regular"] = address
    (folder / "1205.json").write_text(json.dumps(photo))
    (folder / "1205.txt").write_text(f"{address}\n")
    run = minute.store(MINUTE, **proxied(elsewhere))
    assert run.returncode == 0, run.stderr
    assert f"a picture may not come from {address!r}" in run.stderr
    assert elsewhere.connections() == 0
    assert minute.files() == STORED
