"""What each broken answer of the API leads to: another try, or the end of the run, and nothing but a reason left behind."""

import gzip
import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import processes, servers
from tests.conftest import KEY, Project
from tests.processes import FAILED, MINUTE, STORED
from tests.servers import Fault, Server


class Case(NamedTuple):
    name: str
    fault: Fault
    reason: str
    """What the log and `.error` say."""
    requests: int = 3
    """How many come when every answer is broken in this way: three tries, or one where trying again cannot help."""
    options: tuple[str, ...] = ()
    files: set[str] = FAILED


ERRORS = json.dumps({"errors": ["No photos found."]}).encode()
HTML = b"<!doctype html><title>503 backend read error</title>"
LIMITS = {"X_Ratelimit_Limit": "50", "X_Ratelimit_Remaining": "0"}
WITH_QUOTA = FAILED | {"quota"}
SHORT = ("--unsplash-answer-seconds", "0.5")


def endless(handler: servers.Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n[")
    for _ in range(100):
        handler.wfile.write(b" " * 10**6)


def without(*names: str) -> Fault:
    """Leave out the field of the photo that the names lead to."""

    def edit(photo: dict[str, Any]) -> None:
        for name in names[:-1]:
            photo = photo[name]
        del photo[names[-1]]

    return servers.changes_photo(edit)


def with_value(value: Any, *names: str) -> Fault:
    """Put the value into the field of the photo that the names lead to."""

    def edit(photo: dict[str, Any]) -> None:
        for name in names[:-1]:
            photo = photo[name]
        photo[names[-1]] = value

    return servers.changes_photo(edit)


def changed(edit: Callable[[bytes], bytes]) -> Fault:
    return servers.changes_body(edit)


MAY_PASS = [
    Case("reset", servers.resets, "127.0.0.1: "),
    Case("closed without a word", servers.sends(b""), "127.0.0.1: "),
    Case("not HTTP", servers.sends(b"SSH-2.0-OpenSSH_9.2\r\n"), "127.0.0.1: "),
    Case("a header without end", servers.sends(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 10**6), "127.0.0.1: "),
    Case("10,000 headers", servers.sends(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n" * 10**4), "127.0.0.1: "),
    Case("hang before the head", servers.hangs_before_head, "no whole answer within 0.5 s", options=SHORT),
    Case("hang inside the head", servers.hangs_inside_head, "no whole answer within 0.5 s", options=SHORT),
    Case("hang inside the body", servers.hangs_inside_body, "no whole answer within 0.5 s", options=SHORT, files=WITH_QUOTA),
    Case("slow drip", servers.drips, "no whole answer within 0.5 s", options=SHORT),
    Case("100 Continue for ever", servers.continues_for_ever, "no whole answer within 0.5 s", options=SHORT),
    Case("301", servers.redirects("/photos/random", 301), "answered 301"),
    Case("302", servers.redirects("http://127.0.0.1:1/", 302), "answered 302"),
    Case("303", servers.redirects("https://unsplash.com/", 303), "answered 303"),
    Case("307", servers.redirects("//evil.example/", 307), "answered 307"),
    Case("308", servers.redirects("http://[", 308), "answered 308"),
    Case("304", servers.answers(304), "answered 304"),
    Case("408", servers.answers(408), "answered 408"),
    Case("500", servers.answers(500, b"oops"), "answered 500"),
    Case("502", servers.answers(502), "answered 502"),
    Case("503 as HTML", servers.answers(503, HTML, Content_Type="text/html"), "answered 503"),
    Case("503 without its body", servers.answers(503, Content_Length="1000"), "answered 503"),
    Case("504", servers.answers(504), "answered 504"),
    Case("599", servers.answers(599), "answered 599"),
    Case("201", servers.answers_json([], 201), "answered 201"),
    Case("204", servers.answers(204), "answered 204"),
    Case("empty body", servers.answers(200), "something else than JSON"),
    Case("HTML with status 200", servers.answers(200, HTML), "something else than JSON"),
    Case("cut by its length", changed(lambda body: body[: len(body) // 2]), "something else than JSON", files=WITH_QUOTA),
    Case(
        "cut on the way",
        servers.changes_body(lambda body: body[: len(body) // 2], lambda body: {"Content-Length": str(len(body))}),
        "127.0.0.1: ",
        files=WITH_QUOTA,
    ),
    Case(
        "chunks cut",
        servers.changes_body(lambda body: b"%x\r\n%s" % (len(body), body), lambda body: {"Transfer-Encoding": "chunked"}),
        "127.0.0.1: ",
        files=WITH_QUOTA,
    ),
    Case("chunks of no size", servers.sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "127.0.0.1: "),
    Case("no number as length", servers.answers(200, b"[", Content_Length="many"), "something else than JSON"),
    Case("100 MB", endless, "longer than 8,388,608 bytes"),
    Case("deeply nested", servers.answers(200, b"[" * 10**6), "something else than JSON"),
    Case("deeply nested and whole", servers.answers(200, b"[" * 10**5 + b"]" * 10**5), "something else than JSON"),
    Case("a number of a million digits", servers.answers(200, b"[" + b"1" * 10**6 + b"]"), "something else than JSON"),
    Case("NaN", servers.answers(200, b"[NaN]"), "something else than JSON"),
    Case("a number too large", servers.answers(200, b"[1e999]"), "something else than JSON"),
    Case("no UTF-8", servers.answers(200, '["é"]'.encode("latin-1")), "something else than JSON"),
    Case("UTF-16", servers.answers(200, "[]".encode("utf-16")), "something else than JSON"),
    Case(
        "gzip bomb", servers.answers(200, gzip.compress(b" " * 10**7), Content_Encoding="gzip"), "longer than 8,388,608 bytes"
    ),
    Case("an object for the list", servers.answers_json({"id": "AAAAAAAAAAA"}), "than a list"),
    Case("errors with status 200", servers.answers(200, ERRORS), "than a list"),
    Case("a word for the list", servers.answers_json("photo"), "than a list"),
    Case("null for the list", servers.answers_json(None), "than a list"),
    Case("no photos", servers.answers_json([]), "offered 0 photos"),
    Case("lists for photos", servers.answers_json([[], [[]]]), "none that can be used"),
    Case("null, number and word for photos", servers.answers_json([None, 1, "photo"]), "none that can be used"),
    Case("null for the urls", with_value(None, "urls"), "none that can be used", files=WITH_QUOTA),
    Case("a list for the urls", with_value([], "urls"), "none that can be used", files=WITH_QUOTA),
    Case("a word for the urls", with_value("regular", "urls"), "none that can be used", files=WITH_QUOTA),
    Case("null for the address", with_value(None, "urls", "regular"), "none that can be used", files=WITH_QUOTA),
    Case("no address", without("urls", "regular"), "none that can be used", files=WITH_QUOTA),
    Case("no id", without("id"), "none that can be used", files=WITH_QUOTA),
    Case("a number for the id", with_value(7, "id"), "none that can be used", files=WITH_QUOTA),
    Case("a path for the id", with_value("../../x", "id"), "none that can be used", files=WITH_QUOTA),
    Case("an id of two lines", with_value("abc\n", "id"), "none that can be used", files=WITH_QUOTA),
    Case("no user", without("user"), "none that can be used", files=WITH_QUOTA),
    Case("null for the user", with_value(None, "user"), "none that can be used", files=WITH_QUOTA),
    Case("a number for the name", with_value(7, "user", "name"), "none that can be used", files=WITH_QUOTA),
    Case("a list for the links", with_value([], "links"), "none that can be used", files=WITH_QUOTA),
    Case("no link of the user", without("user", "links"), "none that can be used", files=WITH_QUOTA),
]
ENDS_RUN = [
    Case("400", servers.answers_json({"errors": ["count is invalid"]}, 400), "answered 400", 1),
    Case(
        "401", servers.answers_json({"errors": ["OAuth error: The access token is invalid"]}, 401), "check UNSPLASH_API_KEY", 1
    ),
    Case("403 permission", servers.answers_json({"errors": ["Missing scope"]}, 403), "Missing scope", 1),
    Case("403 quota", servers.answers(403, b"Rate Limit Exceeded", **LIMITS), "50 of 50 requests", 1, files=WITH_QUOTA),
    Case("403 quota, no figures", servers.answers(403, b"Rate Limit Exceeded"), "all requests of this hour", 1),
    Case("404 for every topic", servers.answers(404, ERRORS), "matches any topic", 6),
    Case("404 as HTML", servers.answers(404, HTML), "answered 404", 1),
    Case("410", servers.answers(410), "answered 410", 1),
    Case("422", servers.answers_json({"errors": ["no"]}, 422), "answered 422", 1),
    Case("429", servers.answers(429), "requests of this hour", 1),
    Case("429 with Retry-After", servers.answers(429, Retry_After="3600"), "requests of this hour", 1),
    Case("a reason of 10 MB", servers.answers(400, b"x" * 10**7), "answered 400: xxx", 1),
]


def named(cases: list[Case], bounded: int = 1) -> pytest.MarkDecorator:
    """Run each case; all but one in `bounded` of them with the slow tests."""
    marks = [() if number % bounded == 0 else (pytest.mark.slow,) for number in range(len(cases))]
    return pytest.mark.parametrize(
        "case", [pytest.param(case, id=case.name, marks=mark) for case, mark in zip(cases, marks, strict=True)]
    )


def tries(run: "subprocess.CompletedProcess[str]") -> int:
    return run.stderr.count(f"FetchMetadata {MINUTE} started")


@pytest.mark.one_in(16)
@named(MAY_PASS + ENDS_RUN)
def test_an_answer_that_stays_broken(case: Case, minute: Project, faulty: Server) -> None:
    """A run whose every answer is broken makes its tries, leaves its reason and nothing else, and exits 30."""
    faulty.breaks("photos", case.fault)
    run = minute.store(MINUTE, *case.options)
    assert run.returncode == 30, run.stderr
    assert case.reason in processes.failure(minute)
    last = "" if case in ENDS_RUN else " (try 3 of 3)"
    assert f"FetchMetadata {MINUTE} failed: {processes.failure(minute)}{last}\n" in run.stderr
    assert "Traceback" not in run.stderr
    assert len(processes.failure(minute)) < 1000
    assert minute.files() == case.files
    assert faulty.count("photos") == case.requests
    assert tries(run) == (1 if case in ENDS_RUN else 3)
    processes.assert_key_is_nowhere(minute, run)


@pytest.mark.one_in(16)
@named(MAY_PASS, bounded=4)
def test_an_answer_that_is_broken_once(case: Case, minute: Project, faulty: Server) -> None:
    """A run whose first answer alone is broken stores its minute at the second try."""
    faulty.breaks("photos", case.fault, times=1)
    run = minute.store(MINUTE, *case.options)
    assert run.returncode == 0, run.stderr
    assert faulty.count("photos") == tries(run) == 2
    assert minute.files() == STORED
    processes.assert_key_is_nowhere(minute, run)
    processes.assert_key_went_to_the_api_alone(faulty)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(changed(lambda body: b"\xef\xbb\xbf" + body), id="a BOM"),
        pytest.param(changed(lambda body: body + b"\n\n"), id="blanks after the end"),
        pytest.param(servers.changes_body(bytes, lambda body: {"Connection": "close"}), id="no length"),
        pytest.param(
            servers.changes_body(
                lambda body: b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), lambda body: {"Transfer-Encoding": "chunked"}
            ),
            id="chunks",
        ),
        pytest.param(
            changed(lambda body: json.dumps([None, [], {}, *json.loads(body)]).encode()), id="one good photo among bad ones"
        ),
        pytest.param(
            servers.changes_photo(lambda photo: photo["user"].update(name="\ud800 \0\n<script>\u202e" * 1000)),
            id="a hostile name",
        ),
        pytest.param(servers.changes_photo(lambda photo: photo.update(pipeline=None)), id="the project's own field"),
        pytest.param(with_value("javascript:alert(1)", "links", "html"), id="a link that is none"),
    ],
)
def test_an_answer_that_is_odd_but_whole(fault: Fault, minute: Project, faulty: Server) -> None:
    """What can be read is taken at the first try."""
    faulty.breaks("photos", fault)
    run = minute.store(MINUTE)
    assert run.returncode == 0, run.stderr
    assert faulty.count("photos") == 1
    assert minute.files() == STORED
    assert "Traceback" not in run.stderr
    processes.assert_key_is_nowhere(minute, run)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X_Ratelimit_Limit": "50"},
        {"X_Ratelimit_Limit": "many", "X_Ratelimit_Remaining": "-1"},
        {"X_Ratelimit_Limit": "", "X_Ratelimit_Remaining": ""},
        {"X_Ratelimit_Limit": "50", "X_Ratelimit_Remaining": "49", "Age": "60"},
    ],
    ids=["none", "half of it", "no numbers", "empty", "from a cache"],
)
def test_an_answer_without_figures_of_the_quota(headers: dict[str, str], minute: Project, faulty: Server) -> None:
    """A minute is stored, in a ROOT that was not there, though no answer says anything useful about the quota."""

    def fault(handler: servers.Handler) -> None:
        well = handler.well_answer()
        servers.answers(well.status, well.body, **headers)(handler)

    faulty.breaks("photos", fault)
    faulty.breaks("event", fault)
    run = minute.store(MINUTE)
    assert run.returncode == 0, run.stderr
    assert minute.files() == STORED - {"quota"}


@pytest.mark.one_in(8)
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("reset", servers.resets),
        ("401", servers.answers(401)),
        ("403 quota", servers.answers(403, b"Rate Limit Exceeded")),
        ("404", servers.answers(404)),
        ("503", servers.answers(503, HTML)),
        ("redirect", servers.redirects("http://127.0.0.1:1/")),
        ("hang", servers.hangs_before_head),
        ("100 MB", endless),
    ],
)
def test_a_download_event_that_fails(name: str, fault: Fault, minute: Project, faulty: Server) -> None:
    """A picture is stored at the first try, whatever becomes of its download event; the log says what became of it."""
    faulty.breaks("event", fault)
    run = minute.store(MINUTE)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("Z download event: ") == 1
    assert faulty.count("event") == faulty.count("photos") == faulty.count("picture") == 1
    assert minute.files() == STORED
    assert "Traceback" not in run.stderr
    processes.assert_key_is_nowhere(minute, run)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "location",
    ["https://api.unsplash.com/photos/x/download", "http://127.0.0.1:1/", "http://[", "file:///etc/passwd", "\ud800\n", 7],
)
def test_a_download_event_elsewhere(location: Any, minute: Project, faulty: Server) -> None:
    """The key goes to no other address than the API's, though a photo says that its download event is there."""
    faulty.breaks("photos", with_value(location, "links", "download_location"))
    run = minute.store(MINUTE)
    assert run.returncode == 0, run.stderr
    assert "the address of the download event is not the API's" in run.stderr
    assert faulty.count("event") == 0
    assert minute.files() == STORED


def test_a_refused_connection(minute: Project) -> None:
    """Where nothing listens, the run makes its tries and says that the connection was refused."""
    port = closed_port()
    run = minute.store(MINUTE, UNSPLASH_API_URL=f"http://127.0.0.1:{port}")
    assert run.returncode == 30
    assert tries(run) == 3
    assert "Connection refused" in processes.failure(minute)
    assert minute.files() == FAILED
    processes.assert_key_is_nowhere(minute, run)


def test_tls_with_a_server_that_speaks_none(minute: Project, faulty: Server) -> None:
    """The key is not sent where TLS was asked for and cannot be had."""
    run = minute.store(MINUTE, UNSPLASH_API_URL=faulty.origin.replace("http:", "https:"))
    assert run.returncode == 30
    assert tries(run) == 3
    assert "SSL" in processes.failure(minute)
    assert faulty.requests == []
    assert minute.files() == FAILED
    processes.assert_key_is_nowhere(minute, run)


def test_tls_with_a_certificate_that_nobody_signed(minute: Project, faulty: Server, tmp_path_factory: Any) -> None:
    """The key is not sent to a server whose certificate cannot be trusted."""
    folder: Path = tmp_path_factory.mktemp("certificate")
    context = servers.certificate(folder, "IP:127.0.0.1")
    faulty.socket = context.wrap_socket(faulty.socket, server_side=True)
    address = faulty.origin.replace("http:", "https:")

    run = minute.store(MINUTE, UNSPLASH_API_URL=address)
    assert run.returncode == 30
    assert tries(run) == 3
    assert "CERTIFICATE_VERIFY_FAILED" in processes.failure(minute)
    assert faulty.requests == []
    assert minute.files() == FAILED
    processes.assert_key_is_nowhere(minute, run)

    # The same server with a certificate that is trusted: it was the certificate alone that kept the key back.
    faulty.origin = faulty._sandbox.origin = address
    run = minute.store(MINUTE, UNSPLASH_API_URL=address, REQUESTS_CA_BUNDLE=str(folder / "certificate.pem"))
    assert run.returncode == 0, run.stderr
    assert minute.files() == STORED


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    "status", ["400 {}", "401 {}", "403 {}", "404 {}", "503 {}", "200 {}", "{}", "200 OK\r\nX-Key: {}", "200 OK\r\n{}"]
)
@pytest.mark.parametrize("before", [0, 480])
def test_an_api_that_says_the_key(status: str, before: int, minute: Project, faulty: Server) -> None:
    """An answer that holds the key is not shown with it, or with a part of it, wherever in the answer it stands."""
    minute.configure(retry_count="1")
    text = "x" * before + KEY + "x" * 1000
    faulty.breaks("photos", servers.sends(f"HTTP/1.1 {status.format(KEY)}\r\nConnection: close\r\n\r\n{text}".encode()))
    run = minute.store(MINUTE)
    assert run.returncode == 30
    assert minute.files() == FAILED
    for length in range(12, len(KEY)):
        assert KEY[:length] not in run.stderr + run.stdout + processes.failure(minute), length
        assert KEY[-length:] not in run.stderr + run.stdout + processes.failure(minute), length
    processes.assert_key_is_nowhere(minute, run)


def test_the_key_is_not_in_the_process_list(minute: Project, faulty: Server) -> None:
    """While a run waits for the API, no process has the key in its command line."""
    faulty.breaks("photos", servers.hangs_before_head)
    process = minute.start("luigi", "--module", "pipeline", "StoreImage", "--local-scheduler", "--timestamp", MINUTE)
    try:
        assert faulty.asked.wait(60)
        listed = subprocess.run([servers.program("ps"), "-ewwo", "args"], capture_output=True, text=True, check=True)
        commands = listed.stdout.splitlines()
        assert any(MINUTE in command for command in commands)
        assert not any(KEY in command for command in commands)
    finally:
        process.kill()
        processes.ended(process)


def closed_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port
