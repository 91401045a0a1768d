"""Pictures in an S3 bucket: real `luigi` processes, a real S3 server, and a proxy that counts and breaks."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from luigi.contrib.s3 import S3Target

from pipeline import minutes, sandbox
from pipeline.archive import Archive
from pipeline.errors import PhotoReplaced, RootUnusable, StorageFailed
from pipeline.minutes import MINUTE
from tests.conftest import KEY, REPOSITORY, Project, WatchedSandbox
from tests.support.photos import photo
from tests.support.s3 import ON_EVERY_STORE, Bucket, Handler, Proxy

pytestmark = pytest.mark.ci

MIDDAY = datetime(2026, 11, 23, 12, 5)
NAME = "2026-11-23T1205"
TOPICS = ("art",)
THREE = {"2026-11-23/1205.json", "2026-11-23/1205.txt", "2026-11-23/1205.jpg"}
SHOWN = {"latest.jpg", "index.html", "2026-11-23/12.js", "2026-11-23/thumb/1205.jpg"}
SHOWN |= {"newest.js", "calendar.js", "favourites.js", "page.css", "page.js"}
KEPT = {"2026-11-23/given", "quota", "conditions"}
SECRETS = (KEY, "an-access-key", "a-secret-0123456789")


def stored(bucket: Bucket) -> list[str]:
    """Return the minutes that have a picture, oldest first."""
    return sorted(f"{name[:10]}T{name[11:15]}" for name in bucket.files() if re.fullmatch(r"[\d-]+/\d{4}\.jpg", name))


@pytest.fixture
def elsewhere(s3: Bucket, proxy: Proxy, tmp_path: Path) -> Callable[[str], None]:
    """Return what runs a line of Python on `archive` as another machine would: with locks of its own."""
    (tmp_path / "elsewhere").mkdir()

    def run(line: str) -> None:
        code = (
            "import datetime\nfrom pipeline import settings, steps\nfrom pipeline.archive import Archive\n"
            "from tests.support.photos import photo\n"
            f"archive, midday = Archive({s3.root!r}), {MIDDAY!r}\n{line}"
        )
        variables = {"AWS_ENDPOINT_URL": proxy.endpoint, "TMPDIR": str(tmp_path / "elsewhere"), "PYTHONPATH": str(REPOSITORY)}
        subprocess.run([sys.executable, "-c", code], env={**os.environ, **variables}, check=True, timeout=60)

    return run


def before_the_first_put(proxy: Proxy, happens: Callable[[], object], of: str = "") -> None:
    """Have this happen when a run has looked, and is about to put an object whose name ends so."""

    def overtake(handler: Handler) -> bool:
        if handler.command == "PUT" and handler.path.partition("?")[0].endswith(of):
            proxy.fault = lambda handler: False
            happens()
        return False

    proxy.fault = overtake


def answers(status: int, code: str, *beginnings: str) -> Callable[[Handler], bool]:
    """Have the requests that begin so answered with this error."""
    return lambda handler: f"{handler.command} {handler.path}".startswith(beginnings or "") and handler.answer(status, code)


@ON_EVERY_STORE
def test_a_minute_is_stored(cloud: Project, s3: Bucket, api: WatchedSandbox) -> None:
    """The same three tasks store the same names in the bucket, with what a web site needs: their types."""
    run = cloud.store(NAME, "--unsplash-photos-per-request", "1")
    assert run.returncode == 0, run.stderr
    assert s3.files() == THREE | SHOWN | KEPT
    found = json.loads(s3.read("2026-11-23/1205.json"))
    assert s3.read("2026-11-23/1205.txt").decode() == found["urls"]["regular"] + "\n"
    assert s3.read("2026-11-23/1205.jpg") == s3.read("latest.jpg") == sandbox.drawing(found["id"], 1080)
    assert {name: s3.get(name)["ContentType"] for name in THREE | SHOWN} == {
        "2026-11-23/1205.json": "application/json",
        "2026-11-23/1205.txt": "text/plain; charset=utf-8",
        "2026-11-23/1205.jpg": "image/jpeg",
        "2026-11-23/thumb/1205.jpg": "image/jpeg",
        "latest.jpg": "image/jpeg",
        "index.html": "text/html; charset=utf-8",
        "page.css": "text/css; charset=utf-8",
        **{name: "text/javascript; charset=utf-8" for name in SHOWN if name.endswith(".js")},
    }
    # An answer of one photo may be one of Unsplash+, and the first try fail: one line each, and no traceback, all the same.
    *lines, last = run.stderr.splitlines()
    warned = "the store takes no conditions: of two hosts that write a file at once, the last one wins"  # of Swift
    assert all(re.fullmatch(rf"\S+Z (\w+ {NAME} (started|failed: .+|done in .+ s)|{warned})", line) for line in lines)
    assert f"Z the first picture: {s3.root}/2026-11-23/1205.jpg is no file of a disk" in last
    assert not any(secret in run.stderr for secret in SECRETS)


def test_samples_have_a_root_of_their_own(cloud: Project, s3: Bucket) -> None:
    """With DEMO_KEY everything is under ROOT/demo."""
    run = cloud.store(NAME, UNSPLASH_API_KEY="DEMO_KEY")
    assert run.returncode == 0, run.stderr
    assert {f"demo/{name}" for name in THREE | SHOWN} <= s3.files()
    assert all(name.startswith("demo/") for name in s3.files())


@ON_EVERY_STORE
def test_a_second_run_asks_for_nothing(cloud: Project, s3: Bucket, api: WatchedSandbox, proxy: Proxy) -> None:
    """A stored minute is complete: one request to the store, none to the API."""
    cloud.store(NAME)
    api.asked.clear()
    proxy.asked.clear()
    run = cloud.store(NAME)
    assert run.returncode == 0, run.stderr
    assert api.asked == []
    assert [each.partition("?")[0] for each in proxy.asked] == [f"GET {s3.name}"]


def test_a_bucket_that_may_not_be_written(cloud: Project, s3: Bucket, api: WatchedSandbox, proxy: Proxy) -> None:
    """Without permission to put, the run ends at the first try, says so, and asks the API for nothing."""
    cloud.store("2026-11-22T1205")
    proxy.fault = answers(403, "AccessDenied", "PUT")
    api.asked.clear()
    run = cloud.store(NAME)
    assert run.returncode == 30
    assert "access is denied" in run.stderr
    assert run.stderr.count("started") == 1
    assert api.asked == []


def test_the_requests_of_a_minute(cloud: Project, s3: Bucket, proxy: Proxy) -> None:
    """A minute whose photo is there makes 14 requests of the store at most, however many minutes its hour has."""
    cloud.configure(topics="art")
    now = minutes.present_minute()
    first, last = now - 40 * MINUTE, now - 30 * MINUTE
    cloud.store(minutes.name(first))
    for late in range(1, 10):
        cloud.store(minutes.name(first + late * MINUTE))
    proxy.asked.clear()
    run = cloud.store(minutes.name(last))
    assert run.returncode == 0, run.stderr
    assert len(proxy.asked) <= 14, proxy.asked


def test_the_requests_of_a_catch_up(cloud: Project, api: WatchedSandbox, proxy: Proxy) -> None:
    """A picture of a catch-up makes 5 requests of the store at most, its share of the page and the quota included.

    None of the photos on offer is of Unsplash+, so that no slice asks twice.
    """

    def without_unsplash_plus(target: str) -> sandbox.Answer | None:
        offered = sandbox.Sandbox(api.origin, hourly_limit=10_000)
        while "/photos/random" in target:
            answer = offered.answer(target, {"Authorization": "Client-ID some-key"})
            if b"premium_photo" not in answer.body:
                return answer
        return None

    api.instead = without_unsplash_plus
    window = datetime(2026, 11, 20) - (datetime(2026, 11, 20) - minutes.EPOCH) % (156 * MINUTE)
    span = ("--start", minutes.name(window), "--stop", minutes.name(window + 156 * MINUTE))
    (cloud.folder / "steady.py").write_text(
        "import sys\nfrom pipeline import __main__\nfrom pipeline.archive import s3\n"
        "s3.REMEMBERED_SECONDS = 600  # a slow machine must not count for more\n"
        "sys.exit(__main__.main())\n"
    )
    run = cloud.run("steady", "catch-up", *span)
    assert run.returncode == 0, run.stderr
    assert len(api.requests("/photo-")) == 156
    print(f"{len(proxy.asked) / 156:.2f} requests a picture")
    assert len(proxy.asked) <= 5 * 156


def test_no_client_of_s3_on_a_disk(project: Project) -> None:
    """Where ROOT is a folder nothing of S3 is imported."""
    (project.folder / "watched.py").write_text(
        "import atexit, sys\nfrom pipeline import StoreImage\n"
        "theirs = {'boto3', 'botocore', 'pipeline.archive.bucket'}\n"
        "atexit.register(lambda: print(*sorted(theirs & set(sys.modules)), file=sys.stderr))\n"
    )
    run = project.run("luigi", "--module", "watched", "StoreImage", "--local-scheduler", "--timestamp", NAME)
    assert run.returncode == 0
    assert run.stderr.splitlines()[-1] == ""


@ON_EVERY_STORE
def test_targets_are_luigi_s(bucket: Archive) -> None:
    """Other tasks may read a picture's target as any S3 target of Luigi's."""
    bucket.file_photos({MIDDAY: photo("a")}, TOPICS)
    bucket.put_address(MIDDAY, "https://images.unsplash.com/photo-a")
    target = bucket.address_target(MIDDAY)
    assert isinstance(target, S3Target)
    with target.open() as file:
        assert file.read() == "https://images.unsplash.com/photo-a\n"


def test_the_first_of_two_writers_wins(bucket: Archive, s3: Bucket, proxy: Proxy, elsewhere: Callable[[str], None]) -> None:
    """A run that looked before another one filed its photo, and puts after it, does not replace it."""
    before_the_first_put(proxy, lambda: elsewhere("archive.file_photos({midday: photo('other')}, ('art',))"), of=".json")
    bucket.file_photos({MIDDAY: photo("own")}, TOPICS)
    assert json.loads(s3.read("2026-11-23/1205.json"))["id"] == "other"
    assert bucket.photo(MIDDAY)["id"] == "other"


def test_damaged_metadata_is_replaced_once(bucket: Archive, s3: Bucket, proxy: Proxy, elsewhere: Callable[[str], None]) -> None:
    """Two runs find a photo that cannot be read: the first to replace it wins here, too."""
    s3.put("2026-11-23/1205.json", b"{")
    before_the_first_put(proxy, lambda: elsewhere("archive.file_photos({midday: photo('other')}, ('art',))"), of=".json")
    bucket.file_photos({MIDDAY: photo("own")}, TOPICS)
    assert json.loads(s3.read("2026-11-23/1205.json"))["id"] == "other"


def test_an_answer_that_was_lost(bucket: Archive, s3: Bucket, proxy: Proxy) -> None:
    """A put that was made, though its answer was lost, is found to be the run's own when it is tried again."""
    bucket.files.conditions()
    content = json.dumps(photo("own")).encode() + b"\n"

    def lose(handler: Handler) -> bool:
        if handler.command == "PUT":
            proxy.fault = lambda handler: False
            s3.put("2026-11-23/1205.json", content)
            return handler.cut()
        return False

    proxy.asked.clear()
    proxy.fault = lose
    assert bucket.files.put("2026-11-23/1205.json", content, only_if=lambda: True)
    assert proxy.count("PUT") == 2


@ON_EVERY_STORE
def test_a_picture_counts_while_its_photo_stands(bucket: Archive, s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a picture takes its place its photo must be the minute's still; what was read seconds ago is believed."""
    monkeypatch.setattr("pipeline.archive.s3.REMEMBERED_SECONDS", 0)
    bucket.file_photos({MIDDAY: photo("a")}, TOPICS)
    s3.put("2026-11-23/1205.json", json.dumps(photo("b")).encode())
    with pytest.raises(PhotoReplaced):
        bucket.put_picture(MIDDAY, photo("a"), b"a picture")
    assert not bucket.has_picture(MIDDAY)


def test_latest_never_moves_back(bucket: Archive, s3: Bucket, proxy: Proxy, elsewhere: Callable[[str], None]) -> None:
    """Two hosts publish at once: the later minute stays, though the other host looked before it was there."""
    bucket.file_photos({MIDDAY: photo("a")}, TOPICS)
    bucket.put_picture(MIDDAY, photo("a"), b"1205")
    publish = "later = midday.replace(minute=6)\narchive.files.put('2026-11-23/1206.jpg', b'1206')\n"
    publish += "archive.publish_latest(later, b'1206')"
    before_the_first_put(proxy, lambda: elsewhere(publish), of="latest.jpg")
    assert not bucket.publish_latest(MIDDAY, b"1205")
    assert s3.read("latest.jpg") == b"1206"


def test_two_hosts_do_not_give_a_photo_twice(
    bucket: Archive, s3: Bucket, proxy: Proxy, elsewhere: Callable[[str], None]
) -> None:
    """Two hosts that are offered the same photos at once give them to one minute each: who comes second chooses anew."""
    give = "archive.give(['A', 'B', 'C'], [midday + datetime.timedelta(minutes=1)], 30)"
    before_the_first_put(proxy, lambda: elsewhere(give), of="/given")
    assert bucket.give(["A", "B", "C"], [MIDDAY], 30) == {MIDDAY: "B"}
    assert s3.read("2026-11-23/given").decode().split() == ["1206", "A", "1205", "B"]


@ON_EVERY_STORE
def test_missing_minutes_are_found_by_listing(bucket: Archive, s3: Bucket, proxy: Proxy) -> None:
    """A day with 1,200 pictures and its thumbnails takes two listings and no request for a minute."""
    start = datetime(2026, 11, 22)
    there = [start + number * MINUTE for number in range(1200)]
    for folder, minutes_in_it in (("", there), ("thumb/", there[:9])):
        for each in minutes_in_it:
            s3.put(f"{each:%Y-%m-%d}/{folder}{each:%H%M}.jpg", b"x")
    proxy.asked.clear()
    missing = bucket.missing(start, start + timedelta(days=1))
    assert missing == [start + number * MINUTE for number in range(1200, 1440)]
    assert proxy.asked[0] == f"GET {s3.name}/some/where/pruned-before"
    assert [each.partition("?")[0] for each in proxy.asked[1:]] == [f"GET {s3.name}"] * 2
    assert all("delimiter=%2F" in each for each in proxy.asked[1:])


@ON_EVERY_STORE
def test_catch_up_status_verify_and_prune(cloud: Project, s3: Bucket) -> None:
    """The operator's verbs work there: what is missing is stored in processes, counted, checked, repaired, and let go."""
    now = minutes.present_minute()
    span = ("--start", minutes.name(now - 40 * MINUTE), "--stop", minutes.name(now))
    run = cloud.run("pipeline", "catch-up", *span, "--workers", "3")
    assert run.returncode == 0, run.stderr
    assert stored(s3) == [minutes.name(now - number * MINUTE) for number in range(40, 0, -1)]
    assert len({json.loads(s3.read(name))["id"] for name in s3.files() if name.endswith(".json")}) == len(
        [name for name in s3.files() if name.endswith(".json")]
    )

    status = cloud.run("pipeline", "status", "--json")
    assert status.returncode == 0, status.stderr
    found = json.loads(status.stdout)
    assert found["disk"] is None
    assert found["last_24_hours"]["stored"] in (39, 40)
    assert found["last_24_hours"]["bytes"] > 39 * 1000
    assert "disk" not in cloud.run("pipeline", "status").stdout

    assert cloud.run("pipeline", "verify").returncode == 0
    damaged = f"{now - 9 * MINUTE:%Y-%m-%d/%H%M}"
    s3.put(f"{damaged}.jpg", s3.read(f"{damaged}.jpg")[:-100])
    checked = cloud.run("pipeline", "verify")
    assert checked.returncode == 1, checked.stderr
    assert f"{minutes.name(now - 9 * MINUTE)} removed: not a whole JPEG" in checked.stdout
    assert {f"{damaged}.jpg", f"{damaged}.error"} & s3.files() == {f"{damaged}.error"}
    assert cloud.run("pipeline", "catch-up", *span).returncode == 0
    assert f"{damaged}.jpg" in s3.files()

    old = now - timedelta(days=9)
    for name in ("1200.jpg", "1200.json", "thumb/1200.jpg", "12.js", "grandma.jpg"):
        s3.put(f"{old.date()}/{name}", b"x")
    cloud.configure(keep_days="2")
    would = cloud.run("pipeline", "prune", "--dry-run").stdout.partition("Z ")[2]
    before = minutes.present_minute()
    pruned = cloud.run("pipeline", "prune")
    assert pruned.returncode == 0, pruned.stderr
    said = pruned.stdout.partition("Z ")[2]
    assert said == "freed 0.0 MB: other files 1, pictures 1, thumbnails 1\n"
    assert would == said.replace("freed", "would free")
    assert sorted(name for name in s3.files() if name.startswith(str(old.date()))) == [
        f"{old.date()}/1200.json",
        f"{old.date()}/grandma.jpg",
    ]
    kept_from = {str((moment - timedelta(days=2)).date()) for moment in (before, minutes.present_minute())}
    assert s3.read("pruned-before").decode().strip() in kept_from


def test_check_tries_the_bucket(cloud: Project, s3: Bucket) -> None:
    """`check` puts an object there, removes it, and says whether the store keeps conditions; or why it cannot."""
    said = cloud.run("pipeline", "check", "--offline").stdout
    assert re.search(r"(?m)^ok   ROOT       s3://bucket-\d+/some/where can be written; its store keeps conditions$", said)
    assert s3.files() == {"conditions"}
    said = cloud.run("pipeline", "check", "--offline", "--storage-root", "s3://no-such-bucket/x").stdout
    assert re.search(r"(?m)^BAD  ROOT       s3://no-such-bucket/x/\S+ there is no such bucket$", said)


def test_show_says_that_it_cannot(cloud: Project) -> None:
    """A viewer opens files of a disk: one line says where the picture is."""
    run = cloud.run("pipeline", "show")
    assert run.returncode == 30
    assert re.fullmatch(r".*s3://bucket-\d+/some/where/latest.jpg is no file of a disk.*\n", run.stderr)


@ON_EVERY_STORE
def test_a_store_in_trouble_is_waited_for(cloud: Project, s3: Bucket, proxy: Proxy) -> None:
    """While the store answers 503 for two seconds, and cuts some connections, a run waits; then it stores the minute."""
    until = time.monotonic() + 2
    faults = iter(range(100))

    def trouble(handler: Handler) -> bool:
        if time.monotonic() > until or handler.command == "POST":
            return False
        return handler.cut() if next(faults) % 3 == 2 else handler.answer(503, "SlowDown")

    proxy.fault = trouble
    run = cloud.store(NAME, "--unsplash-photos-per-request", "1")
    assert run.returncode == 0, run.stderr
    assert s3.files() == THREE | SHOWN | KEPT
    assert next(faults) > 0


def test_an_answer_cut_in_its_body_is_asked_for_again(bucket: Archive, s3: Bucket, proxy: Proxy) -> None:
    """What comes short of its announced length is no content."""
    s3.put("2026-11-23/1205.jpg", bytes(1000))

    def cut(handler: Handler) -> bool:
        proxy.fault = lambda handler: False
        handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: "x"\r\n\r\n' + bytes(10))
        return handler.cut()

    proxy.fault = cut
    assert bucket.files.get("2026-11-23/1205.jpg") == bytes(1000)


@pytest.mark.parametrize(
    ("environment", "root", "says"),
    [
        ({}, "s3://no-such-bucket/x", "there is no such bucket"),
        ({"AWS_ENDPOINT_URL": "http://joe:hunter2@"}, "", "Invalid endpoint"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}, "", "credentials"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    cloud: Project, api: WatchedSandbox, environment: dict[str, str], root: str, says: str
) -> None:
    """No bucket, no address, no credentials: the run ends at once, one line says why, shows none, and no request is spent."""
    if root:
        cloud.configure(root=root)
    run = cloud.store(NAME, **environment, HOME=str(cloud.folder))
    assert run.returncode == 35
    assert len(run.stderr.splitlines()) == 1, run.stderr
    assert says in run.stderr
    assert "hunter2" not in run.stderr
    assert api.asked == []


@pytest.mark.parametrize(("code", "says"), [("AccessDenied", "access is denied"), ("SignatureDoesNotMatch", "secret key")])
def test_refused_credentials_end_the_run(cloud: Project, proxy: Proxy, code: str, says: str) -> None:
    """Credentials that the store does not take end the run at once, and are not shown."""
    proxy.fault = lambda handler: handler.answer(403, code)
    run = cloud.store(NAME)
    assert run.returncode == 35
    assert says in run.stderr
    assert not any(secret in run.stderr for secret in SECRETS)
    proxy.fault = lambda handler: handler.command == "PUT" and handler.answer(403, code)
    run = cloud.store(NAME)
    assert run.returncode == 30
    assert says in run.stderr
    assert run.stderr.count("started") == 1


@pytest.mark.slow
@pytest.mark.parametrize("s3_server", ["swift"], indirect=True)
@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials(cloud: Project, name: str) -> None:
    """A store that looks at the credentials refuses wrong ones: the run ends at once with one line that does not show them."""
    run = cloud.store(NAME, **{name: "wrong:wrong"})
    assert run.returncode == 35
    assert len(run.stderr.splitlines()) == 1
    assert re.search("access is denied|the store does not take the secret key", run.stderr)
    assert "wrong" not in run.stderr


def test_the_endpoint_of_luigi_cfg(cloud: Project, proxy: Proxy) -> None:
    """The store's address may stand in Luigi's own section [s3]."""
    path = cloud.folder / "luigi.cfg"
    path.write_text(f"{path.read_text()}\n[s3]\nendpoint_url = {proxy.endpoint}\n")
    del cloud.environment["AWS_ENDPOINT_URL"]
    assert cloud.run("pipeline", "status").stdout.startswith("newest picture  none\n")
    assert proxy.asked


def test_without_boto3(cloud: Project) -> None:
    """Without boto3 one line says how to install it."""
    (cloud.folder / "botocore.py").write_text("raise ModuleNotFoundError(\"No module named 'botocore'\")")
    run = cloud.store(NAME, PYTHONPATH=str(cloud.folder))
    assert run.returncode == 35
    [line] = run.stderr.splitlines()
    assert line.endswith("[storage] root is on S3, which needs boto3: pip install '.[s3]'")


def test_errors_are_named(bucket: Archive, proxy: Proxy) -> None:
    """What may pass is told from what cannot, with the object's address and nothing of the credentials."""
    proxy.fault = lambda handler: handler.answer(403, "AccessDenied")
    with pytest.raises(RootUnusable, match=r"s3://bucket-\d+/some/where/quota: access is denied"):
        bucket.files.get("quota")
    proxy.fault = lambda handler: handler.answer(400, "BadDigest")
    with pytest.raises(StorageFailed, match="BadDigest"):
        bucket.files.put("quota", b"x")


def test_an_answer_without_an_etag_is_no_answer_to_a_put(bucket: Archive, proxy: Proxy) -> None:
    """A success that does not name what was put may be of another request: the put fails as one that may be tried again."""

    def bare_success(handler: Handler) -> bool:
        if handler.command == "PUT":
            handler.send_response_only(200)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        return handler.command == "PUT"

    proxy.fault = bare_success
    with pytest.raises(StorageFailed, match="no ETag"):
        bucket.files.put("index.html", b"a page")


def refuses(handler: Handler) -> bool:
    """Answer a put on a condition as a store does that knows none."""
    conditional = "If-None-Match" in handler.headers or "If-Match" in handler.headers
    return conditional and handler.answer(501, "NotImplemented")


def test_a_store_that_refuses_conditions(bucket: Archive, s3: Bucket, proxy: Proxy) -> None:
    """A store that refuses conditions is written without them; the first answer still wins, one after the other."""
    proxy.fault = refuses
    assert bucket.files.conditions() == "the store takes no conditions"
    bucket.file_photos({MIDDAY: photo("a")}, TOPICS)
    bucket.file_photos({MIDDAY: photo("b")}, TOPICS)
    bucket.file_photos({MIDDAY + MINUTE: photo("c")}, TOPICS)
    assert json.loads(s3.read("2026-11-23/1205.json"))["id"] == "a"
    assert json.loads(s3.read("2026-11-23/1206.json"))["id"] == "c"
    bucket.drop_photo(MIDDAY, "a")
    assert s3.files() == {"2026-11-23/1206.json", "conditions"}


def test_a_store_that_ignores_conditions_loses_no_line(cloud: Project, s3: Bucket, proxy: Proxy) -> None:
    """A store that answers 200 to every put is found out, said in the log and in `status`, and loses nothing of one host's."""
    proxy.drops = ("if-none-match", "if-match")
    run = cloud.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0300")
    assert run.returncode == 0, run.stderr
    given = [line.split()[1] for name in s3.files() if name.endswith("/given") for line in s3.read(name).decode().splitlines()]
    filed = [json.loads(s3.read(name))["id"] for name in s3.files() if name.endswith(".json")]
    assert len(filed) >= 180
    assert set(filed) <= set(given)
    assert len(given) == len(set(given))
    assert run.stderr.count("the store ignores conditions") == 1
    assert "the store ignores conditions" in cloud.run("pipeline", "status").stdout
