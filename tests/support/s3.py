"""A real S3 server, moto's, behind a proxy that counts the requests and gives other answers to some; a project on it."""

import contextlib
import http.client
import itertools
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.archive import Archive
from tests.conftest import Project
from tests.support.swift import S3, credentials, running_swift

MISSING = "moto and boto3 are not installed: pip install '.[dev]'"

_numbers = itertools.count(1)

# What is done in the place of the server's answer; True if it was done.
Fault = Callable[["Handler"], bool]


class Proxy(ThreadingHTTPServer):
    """Pass requests on to an S3 server; `asked` holds them as `GET bucket/name`, a listing as `GET bucket?prefix=…`.

    It drops the headers named in `drops`: a store that ignores conditions.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, server: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.server_behind = server
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[str] = []
        self.fault: Fault = lambda handler: False
        self.drops: tuple[str, ...] = ()

    def count(self, *beginnings: str) -> int:
        """Return how many requests began so."""
        return sum(each.startswith(beginnings) for each in self.asked)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(f"{self.command} {self.path.lstrip('/')}")
        if self.server.fault(self):
            return
        with contextlib.closing(http.client.HTTPConnection(self.server.server_behind)) as connection:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in self.server.drops}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on

    def answer(self, status: int, code: str) -> bool:
        """Send an error as S3 does."""
        body = b"" if self.command == "HEAD" else f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return True

    def cut(self) -> bool:
        """Close the connection without an answer."""
        self.close_connection = True
        return True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Bucket:
    """A new bucket, looked into as by another program; ROOT is some way down in it."""

    def __init__(self, server: S3) -> None:
        self.name = f"bucket-{next(_numbers)}"
        self.root = f"s3://{self.name}/some/where"
        self.environment = {**server.environment, "AWS_ENDPOINT_URL": server.endpoint}
        boto3 = pytest.importorskip("boto3", reason=MISSING)
        self.client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            aws_access_key_id=server.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=server.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=server.environment["AWS_DEFAULT_REGION"],
            # Swift may want some more moments after it says that it is there.
            config=boto3.session.Config(retries={"mode": "standard", "total_max_attempts": 11}),
        )
        self.client.create_bucket(Bucket=self.name)

    def files(self) -> set[str]:
        """Return the names of all objects under ROOT; there are no others."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        names = {each["Key"] for page in pages for each in page.get("Contents", ())}
        assert all(name.startswith("some/where/") for name in names)
        return {name.removeprefix("some/where/") for name in names}

    def get(self, name: str) -> Any:
        """Return S3's answer about an object."""
        return self.client.get_object(Bucket=self.name, Key=f"some/where/{name}")

    def read(self, name: str) -> bytes:
        """Return what is in an object."""
        content: bytes = self.get(name)["Body"].read()
        return content

    def put(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=f"some/where/{name}", Body=content)

    def remove(self, *names: str) -> None:
        for name in names:
            self.client.delete_object(Bucket=self.name, Key=f"some/where/{name}")


def on_bucket(project: Project, bucket: Bucket) -> Project:
    """Have the project keep its pictures in the bucket."""
    project.environment |= bucket.environment
    project.configure(root=bucket.root)
    return project


# Tests of what must be so on every store, in full on Swift too.
ON_EVERY_STORE = pytest.mark.parametrize("s3_server", ["moto", pytest.param("swift", marks=pytest.mark.slow)], indirect=True)


@contextlib.contextmanager
def passing_on(server: str) -> Iterator[Proxy]:
    """Run the proxy of a server, given as host:port."""
    with Proxy(server) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def moto() -> Iterator[S3]:
    """Run moto's server on a free port."""
    server = pytest.importorskip("moto.server", reason=MISSING).ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    server.start()
    host, port = server.get_host_and_port()
    yield S3(f"http://{host}:{port}", credentials("an-access-key", "a-secret-0123456789"))
    server.stop()


@pytest.fixture(scope="session")
def swift() -> Iterator[S3]:
    """Run Swift, which knows no conditional puts."""
    with tempfile.TemporaryDirectory() as folder, running_swift(Path(folder)) as server:
        yield server


@pytest.fixture
def s3_server(request: pytest.FixtureRequest) -> S3:
    """Return the S3 server: moto's, or the one that a test names by `s3_server`."""
    server: S3 = request.getfixturevalue(getattr(request, "param", "moto"))
    return server


@pytest.fixture
def proxy(s3_server: S3) -> Iterator[Proxy]:
    with passing_on(s3_server.endpoint.removeprefix("http://")) as proxy:
        yield proxy


@pytest.fixture
def s3(s3_server: S3) -> Bucket:
    """Return a bucket of the server, to which requests go past the proxy."""
    return Bucket(s3_server)


@pytest.fixture
def bucket(s3: Bucket, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """Return an archive in the bucket, behind the proxy."""
    for name, value in {**s3.environment, "AWS_ENDPOINT_URL": proxy.endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it keeps the credentials of the test before
    return Archive(s3.root)


@pytest.fixture
def cloud(project: Project, s3: Bucket, proxy: Proxy) -> Project:
    """Return a project whose pictures are in the bucket, behind the proxy."""
    on_bucket(project, s3)
    project.environment["AWS_ENDPOINT_URL"] = proxy.endpoint
    return project
