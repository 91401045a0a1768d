"""Requests over HTTP, sent as they are written, at once or ahead; an answer has one deadline for all of it.

Nothing here knows what is asked of whom. Times are seconds.
"""

import functools
import http.client
import io
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, NoReturn, cast
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import BaseHTTPResponse

from pipeline.errors import PipelineError, Unavailable

CONNECT_SECONDS = 10
READ_SECONDS = 20

_HEADERS = {"User-Agent": "picture-a-minute", "Accept-Encoding": "identity"}
_BUFFER_BYTES = 2**16
_CHUNK_BYTES = 2**18
# A UnicodeError is that of a host that no proxy can be asked for, from Python 3.12 on.
_NO_ANSWER = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, UnicodeError)


class Sent(NamedTuple):
    """A request on its way since a moment: what waits for its answer, and what lets go of it."""

    at: float
    answer: Callable[[], BaseHTTPResponse]
    let_go: Callable[[], None] = lambda: None


class Transport(HTTPAdapter):
    """Send requests over connections that are kept. An answer, its head included, may take `answer_seconds`.

    A timeout of requests starts anew with every read, and has no end for an answer that drips.
    """

    def __init__(self, answer_seconds: float) -> None:
        super().__init__()
        self._timeout = (min(CONNECT_SECONDS, answer_seconds), min(READ_SECONDS, answer_seconds))
        self._response_class = staticmethod(functools.partial(_DeadlineResponse, seconds=answer_seconds))
        self._session = requests.Session()
        self._options: dict[str, dict[str, Any]] = {}
        self._pools: dict[tuple[str, str], Any] = {}

    def sent(self, address: str, headers: Mapping[str, str]) -> Sent:
        """Send one request: no redirect is followed, no cookie kept, no netrc read.

        What goes wrong is said with its answer, as Unavailable. Through a proxy it leaves when its answer is waited for.
        """
        # requests' own preparation would spell the address anew, and take as long as sending it.
        request = requests.PreparedRequest()
        request.method, request.url, request.headers = "GET", address, CaseInsensitiveDict({**_HEADERS, **headers})
        try:
            sent = self._sent(request, {"timeout": self._timeout, **self._environment_options(address)})
        except Exception as error:
            sent = Sent(time.monotonic(), functools.partial(_fail, error))
        return sent._replace(answer=_said_clearly(address)(sent.answer))

    def _sent(self, request: requests.PreparedRequest, options: Mapping[str, Any]) -> Sent:
        """Do what `send` does, in two halves and without retries: urllib3 has no public way to borrow a connection."""
        pool = self.get_connection_with_tls_context(request, options["verify"], options["proxies"], options["cert"])
        if pool.proxy:
            return Sent(time.monotonic(), lambda: cast(BaseHTTPResponse, self.send(request, **options).raw))
        self.cert_verify(pool, request.url, options["verify"], options["cert"])
        connection = pool._get_conn()
        connection.timeout, seconds_to_read = options["timeout"]
        try:
            connection.request("GET", request.path_url, headers=request.headers, preload_content=False, decode_content=False)
        except BaseException:
            connection.close()
            raise
        connection.timeout = seconds_to_read

        def answer() -> BaseHTTPResponse:
            try:
                response = connection.getresponse()
            except BaseException:
                connection.close()
                raise
            response._pool, response._connection = pool, connection
            return cast(BaseHTTPResponse, response)

        return Sent(time.monotonic(), answer, connection.close)

    def _environment_options(self, address: str) -> dict[str, Any]:
        """Return the proxy and the certificates that the environment names for the host; looked up once a host."""
        host = urlsplit(address).netloc
        if host not in self._options:
            self._options[host] = {**self._session.merge_environment_settings(address, {}, True, None, None)}
        return self._options[host]

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> Any:
        """Return the connections to the request's host, looked up once a host, as what the environment says of it is."""
        host = urlsplit(str(request.url))[:2]
        if host not in self._pools:
            pool: Any = super().get_connection_with_tls_context(request, *arguments, **options)
            pool.ConnectionCls = type("Connection", (pool.ConnectionCls,), {"response_class": self._response_class})
            self._pools[host] = pool
        return self._pools[host]


def chunks(response: BaseHTTPResponse, address: str, most_bytes: int, too_long: type[PipelineError]) -> Iterator[bytes]:
    """Give the body piece by piece, as served; Unavailable where it is cut or late."""
    received = 0
    with _said_clearly(address):
        for chunk in response.stream(_CHUNK_BYTES, decode_content=False):
            received += len(chunk)
            if received > most_bytes:
                raise too_long(f"the answer is longer than {most_bytes:,} bytes")
            yield chunk


@contextmanager
def _said_clearly(address: str) -> Iterator[None]:
    """Turn what keeps an answer from coming into Unavailable with its innermost reason; what is wrapped around says no more."""
    try:
        yield
    except _NO_ANSWER as error:
        innermost: BaseException = error
        while innermost.__context__:
            innermost = innermost.__context__
        raise Unavailable(f"{urlsplit(address).hostname}: {innermost}") from error


def _fail(error: Exception) -> NoReturn:
    raise error


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, seconds: float, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_DeadlineReader(sock, self.fp, seconds), _BUFFER_BYTES)


class _DeadlineReader(io.RawIOBase):
    """Read a socket until the deadline."""

    def __init__(self, sock: socket.socket, file: io.BufferedReader, seconds: float) -> None:
        self._socket = sock
        self._file = file
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - time.monotonic()
        if left > READ_SECONDS:
            return self._file.raw.readinto(buffer) or 0
        with suppress(TimeoutError):
            if left > 0:
                self._socket.settimeout(left)
                return self._file.raw.readinto(buffer) or 0
        raise TimeoutError(f"no whole answer within {self._seconds:g} s")

    def close(self) -> None:
        self._file.close()
        super().close()
