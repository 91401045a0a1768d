"""A client and the address it asks; the server itself is the project's."""

from collections.abc import Iterator

import pytest
import requests

from pipeline import sandbox
from tests.sandbox.samples import KEY


@pytest.fixture
def origin(server: sandbox.Server) -> str:
    return server.sandbox.origin


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update(KEY)
        yield session
