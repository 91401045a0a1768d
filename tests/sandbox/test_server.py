"""The sandbox behind a real port."""

import socket
import struct
import threading

import pytest
import requests

from pipeline import sandbox
from tests.sandbox import samples


def test_the_server_takes_its_limit(client: requests.Session) -> None:
    """A server that allows no request an hour answers the first as over the limit."""
    with sandbox.Server(0, hourly_limit=0) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        response = client.get(f"{server.sandbox.origin}/photos/random", headers={"Connection": "close"})
        thread.join()
    assert (response.status_code, response.text) == (403, "Rate Limit Exceeded")
    assert response.headers["X-Ratelimit-Limit"] == "0"


def exchanged(server: sandbox.Server, request: str) -> bytes:
    """Return all the server sends for raw requests, the last of which closes the connection."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=60) as connection:
        connection.sendall(request.encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_head_is_a_get_without_its_body(client: requests.Session, server: sandbox.Server) -> None:
    """HEAD gives the headers of GET and no byte more."""
    path = sandbox.Sample(samples.ids(1)[0]).path
    received = exchanged(server, f"HEAD {path} HTTP/1.1\r\nConnection: close\r\n\r\n")
    length = len(client.get(server.sandbox.origin + path).content)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"\r\nContent-Length: {length}\r\n".encode() in received
    assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(client: requests.Session, origin: str, method: str) -> None:
    """Nothing but GET and HEAD is answered."""
    assert client.request(method, f"{origin}/photos/random").status_code == 501


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
    for photo_id in samples.ids(5):
        connection = socket.create_connection(("127.0.0.1", server.server_port))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
        connection.sendall(f"GET {sandbox.Sample(photo_id).path} HTTP/1.1\r\n\r\n".encode())
        connection.close()
    assert client.get(url, headers={"Connection": "close"}).status_code == 200
    for thread in set(threading.enumerate()) - running:
        thread.join()
    assert client.get(url).status_code == 200
    assert capfd.readouterr() == ("", "")


def test_a_taken_port_is_an_error(server: sandbox.Server) -> None:
    """A port in use is refused when the server is made, not when it serves."""
    with pytest.raises(OSError):
        sandbox.Server(server.server_port)
