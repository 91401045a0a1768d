"""The sandbox behind a real port, and in the place of requests' connections."""

import io
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from pipeline.sandbox.api import Sandbox


class Server(ThreadingHTTPServer):
    """Serve a sandbox over HTTP, one thread a connection; port 0 is any free one, and one that is taken an OSError."""

    request_queue_size = 128

    def __init__(self, port: int, *, host: str = "127.0.0.1", hourly_limit: int = 50) -> None:
        super().__init__((host, port), _Handler)
        self.sandbox = Sandbox(f"http://{host}:{self.server_port}", hourly_limit=hourly_limit)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that went away is no error of ours
            super().handle_error(request, client_address)


class Adapter(HTTPAdapter):
    """Answer every request of a session by a sandbox of its own, without a socket."""

    def __init__(self) -> None:
        super().__init__()
        self._sandbox = Sandbox()

    def send(self, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
        """Return the sandbox's answer, to which timeouts, proxies and certificates mean nothing."""
        status, headers, body = self._sandbox.answer(request.path_url, dict(request.headers))
        return self.build_response(request, HTTPResponse(io.BytesIO(body), headers, status, preload_content=False))


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
        if self.command == "GET":
            self.wfile.write(answer.body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the sandbox's requests are no news."""
