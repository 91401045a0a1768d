"""Clients of the servers that the tests of HTTP stand on."""

from collections.abc import Iterator

import pytest

from pipeline.unsplash import Unsplash
from tests.conftest import KEY
from tests.servers import Listener, Server


@pytest.fixture
def client(faulty: Server) -> Unsplash:
    """Return a client of the faulty server."""
    return Unsplash(KEY, faulty.origin)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """Listen on a port to which all comes that is not for this machine: it is the proxy for the rest of the world."""
    listener = Listener()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        for variable in (name, name.lower()):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{listener.port}")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    yield listener
    listener.connections()
