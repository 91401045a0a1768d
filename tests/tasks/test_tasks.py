"""A minute's run as a whole: `luigi` in a process, the sandbox on a real port, files on a real disk."""

import io
import json
import re
import signal
from pathlib import Path

import pytest
from PIL import Image

from pipeline import sandbox
from tests.conftest import KEY, Project, WatchedSandbox, status, untimed
from tests.processes import FAILED, MINUTE, STORED

THREE = {"2026-11-23/1205.json", "2026-11-23/1205.txt", "2026-11-23/1205.jpg"}


def of_minute(project: Project, name: str = "1205") -> set[str]:
    """Return the minute's files, its thumbnail aside."""
    return {file for file in project.files() if f"/{name}." in file and "/thumb/" not in file}


def test_a_minute_is_stored(project: Project, api: WatchedSandbox) -> None:
    """A run stores the minute's photo, its address and its picture as served, by one request, and exits 0."""
    run = project.store(MINUTE)
    assert run.returncode == 0, run.stderr
    assert of_minute(project) == THREE
    photo = json.loads((project.root / "2026-11-23/1205.json").read_text())
    address = (project.root / "2026-11-23/1205.txt").read_text()
    picture = (project.root / "2026-11-23/1205.jpg").read_bytes()
    assert address == photo["urls"]["regular"] + "\n"
    assert picture == sandbox.drawing(photo["id"], 1080)
    assert (project.root / "latest.jpg").read_bytes() == picture
    assert len(api.requests("/photos/random")) == 1


def test_the_metadata_says_what_the_project_knows(project: Project) -> None:
    """Beside what the API gave stand the topic, the minute, the time of the answer and the credit, under one key."""
    project.store(MINUTE)
    photo = json.loads((project.root / "2026-11-23/1205.json").read_text())
    known = photo["pipeline"]
    assert known["topic"] == "nature"
    assert known["minute"] == MINUTE
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", known["fetched_at"])
    assert known["credit"]["text"] == f"Photo by {photo['user']['name']} on Unsplash"


def test_a_second_run_asks_for_nothing(project: Project, api: WatchedSandbox) -> None:
    """A stored minute is complete: no request, exit 0, the files untouched, also without a key."""
    project.store(MINUTE)
    before = {name: (project.root / name).stat().st_mtime_ns for name in project.files()}
    api.asked.clear()
    assert project.store(MINUTE).returncode == 0
    assert project.store(MINUTE, UNSPLASH_API_KEY="").returncode == 0
    assert api.asked == []
    assert {name: (project.root / name).stat().st_mtime_ns for name in project.files()} == before


def test_the_next_minutes_of_the_topic_have_their_photos(project: Project, api: WatchedSandbox) -> None:
    """One request gives the topic's next minutes their photos too; those minutes ask for a picture only."""
    project.store(MINUTE)
    [ahead, *_] = sorted(name for name in project.files() if name.endswith(".json") and name > "2026-11-23/1206")
    api.asked.clear()
    following = f"2026-11-23T{Path(ahead).stem}"
    assert project.store(following).returncode == 0
    assert of_minute(project, Path(ahead).stem) == {ahead, ahead[:-4] + "txt", ahead[:-4] + "jpg"}
    assert api.requests("/photos/random") == []


def test_one_photo_a_request(project: Project, api: WatchedSandbox) -> None:
    """photos_per_request = 1 is the plain behaviour: a request a minute, and nothing ahead."""
    run = project.store(MINUTE, "--unsplash-photos-per-request", "1")
    assert run.returncode == 0, run.stderr
    assert project.files() == STORED


def test_the_present_minute_is_the_default(project: Project) -> None:
    """Without --timestamp the minute is the present one of UTC, whatever the local time zone."""
    run = project.run("luigi", "--module", "pipeline", "StoreImage", "--local-scheduler", TZ="Asia/Kathmandu")
    assert run.returncode == 0, run.stderr
    [stored] = project.root.glob("*/*.jpg")
    [started] = re.findall(r"(\d{4}-\d\d-\d\dT\d\d:\d\d):\d\dZ FetchMetadata (\S+) started", run.stderr)
    assert started[1] == f"{stored.parent.name}T{stored.stem}"
    assert abs(int(started[0][-2:]) - int(started[1][-2:])) % 59 <= 1


def test_the_log(project: Project) -> None:
    """stderr has one line when a task starts and one when it ends, each with the time; the first run says where to look."""
    first = project.store("2026-11-23T1204").stderr.splitlines()
    page = (project.root / "index.html").as_uri()
    picture = project.root / "2026-11-23/1204.jpg"
    assert first.pop().endswith(f"Z the first picture is {picture}; to look at it open {page} in a browser")
    assert len(first) == 6
    lines = project.store(MINUTE).stderr.splitlines()
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    expected = [
        rf"{time} {task} {MINUTE} {state}"
        for task in ("FetchMetadata", "ExtractUrl", "StoreImage")
        for state in ("started", r"done in \d+\.\d s")
    ]
    assert len(lines) == len(expected)
    for line, form in zip(lines, expected, strict=True):
        assert re.fullmatch(form, line)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ["try 1 of 3, the next in 0.1 s", "try 2 of 3, the next in 0.1 s", "try 3 of 3"]),
        ({"keep_alive": "false"}, []),
        ({"retry_delay": "-1"}, []),
        ({"retry_delay": "2"}, []),
        ({"no_lock": "true\nworkers = 2"}, []),
        ({"retry_delay": "0.4", "disable_window": "1"}, ["try 1, the next in 0.4 s", "try 2, the next in 0.4 s"]),
    ],
    ids=["as shipped", "no tries", "no delay", "idle for too long", "two workers", "failures that are forgotten"],
)
def test_a_failure_says_which_try_it_was(
    changed: dict[str, str], said: list[str], project: Project, api: WatchedSandbox
) -> None:
    """It says so, and when the next one comes, if one does and this process knows."""
    project.configure(retry_count="3", max_keep_alive_idle_duration="1seconds")
    project.configure(**changed)
    api.instead = lambda target: status(503) if len(api.asked) <= 2 or "disable_window" not in changed else None
    run = project.store(MINUTE)
    assert re.findall(r"answered 503 \((.*)\)", run.stderr) == said
    assert "answered 503" in run.stderr


def test_what_may_pass_is_tried_again(project: Project, api: WatchedSandbox) -> None:
    """Ten answers of 503 and then a good one: the eleventh try stores the minute."""
    refused = iter(range(10))
    api.instead = lambda target: status(503) if "/photos/random" in target and next(refused, None) is not None else None
    run = project.store(MINUTE)
    assert run.returncode == 0, run.stderr
    assert len(api.requests("/photos/random")) == 11
    assert run.stderr.count("failed: Unsplash answered 503") == 10
    assert of_minute(project) == THREE


def test_after_eleven_tries_it_is_a_failure(project: Project, api: WatchedSandbox) -> None:
    """What does not pass is tried eleven times, and the reason is kept beside the minute."""
    api.instead = lambda target: status(503)
    run = project.store(MINUTE)
    assert run.returncode == 30
    assert len(api.requests("/photos/random")) == 11
    assert "Traceback" not in run.stderr
    assert project.files() == FAILED
    line = (project.root / "2026-11-23/1205.error").read_text()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ FetchMetadata: Unsplash answered 503\n", line)


def test_the_failure_goes_when_the_minute_is_stored(project: Project, api: WatchedSandbox) -> None:
    """A later run that stores the minute removes its .error."""
    project.configure(retry_count="1")
    api.instead = lambda target: status(503)
    assert project.store(MINUTE).returncode == 30
    api.instead = lambda target: None
    assert project.store(MINUTE).returncode == 0
    assert of_minute(project) == THREE


def test_a_wrong_key_ends_the_run(project: Project, api: WatchedSandbox) -> None:
    """A key that the API does not take ends the run at the first try, with one line that says what to do."""
    run = project.store(MINUTE, UNSPLASH_API_KEY=sandbox.WRONG_KEY)
    assert run.returncode == 30
    assert len(api.asked) == 1
    assert run.stderr.count("check UNSPLASH_API_KEY") == 1
    assert sandbox.WRONG_KEY not in run.stderr
    assert project.files() == FAILED | {"quota"}


def test_no_key(project: Project) -> None:
    """Without a key one line names both ways out."""
    run = project.store(MINUTE, UNSPLASH_API_KEY="")
    assert run.returncode == 30
    assert len(run.stderr.splitlines()) == 2
    assert ".env" in run.stderr
    assert "DEMO_KEY" in run.stderr
    assert project.files() == FAILED


def test_a_bad_timestamp(project: Project) -> None:
    """What is no minute ends at once with the form, an example, and the exit code of unusable arguments."""
    run = project.store("2026-11-23T04")
    assert run.returncode == 40
    assert len(run.stderr.splitlines()) == 1
    assert "2026-11-23T1205" in run.stderr
    assert not project.root.exists()


@pytest.mark.parametrize("timestamp", ["2099-11-23T1205", "9999-12-31T2359"])
def test_a_minute_later_than_now(project: Project, api: WatchedSandbox, timestamp: str) -> None:
    """A minute that has not come is refused in one line that asks for the clock, and nothing is asked for or stored."""
    run = project.store(timestamp)
    assert run.returncode == 40
    assert len(run.stderr.splitlines()) == 1
    assert "is the clock right?" in run.stderr
    assert api.asked == []
    assert not project.root.exists()


@pytest.mark.ci
def test_the_first_minute_of_all(project: Project) -> None:
    """The oldest minute that can be written is stored like any other."""
    run = project.store("0001-01-01T0000")
    assert run.returncode == 0, run.stderr
    assert "0001-01-01/0000.jpg" in project.files()


def test_a_photo_that_cannot_be_had_is_replaced(project: Project, api: WatchedSandbox) -> None:
    """Two dead pictures: Luigi has two more photos fetched, and the third is stored."""
    gone = iter(range(2))
    api.instead = lambda target: status(404) if "/photo-" in target and next(gone, None) is not None else None
    run = project.store(MINUTE)
    assert run.returncode == 0, run.stderr
    assert len(api.requests("/photos/random")) == 3
    assert len(set(api.requests("/photo-"))) == 3
    photo = json.loads((project.root / "2026-11-23/1205.json").read_text())
    assert photo["id"] in api.requests("/photo-")[2]
    assert of_minute(project) == THREE


def test_a_photo_without_the_wanted_size_is_replaced(project: Project, api: WatchedSandbox) -> None:
    """A filed photo that has no picture of the size that is wanted by now gives way to another one."""
    project.store(MINUTE)
    [path, *_] = sorted(path for path in project.root.glob("*/*.json") if path.stem > "1205")
    photo = json.loads(path.read_text())
    del photo["urls"]["small"]
    path.write_text(json.dumps(photo))
    run = project.store(f"2026-11-23T{path.stem}", "--unsplash-size", "small")
    assert run.returncode == 0, run.stderr
    assert json.loads(path.read_text())["id"] != photo["id"]
    assert len(api.requests("/photos/random")) == 2


@pytest.mark.ci
def test_three_photos_a_run(project: Project, api: WatchedSandbox) -> None:
    """A run tries three photos at most; then the minute is open again, and its failure says why."""
    api.instead = lambda target: status(410) if "/photo-" in target else None
    run = project.store(MINUTE)
    assert run.returncode == 30
    assert len(api.requests("/photo-")) == len(api.requests("/photos/random")) == 3
    assert of_minute(project) == {"2026-11-23/1205.error"}
    assert "the picture is gone: 410" in (project.root / "2026-11-23/1205.error").read_text()


def test_a_bug_keeps_its_traceback(project: Project, tmp_path: Path) -> None:
    """An error that is none of the named ones is shown whole, and is kept as the minute's failure."""
    (tmp_path / "broken.py").write_text(
        "import pipeline\n"
        "def run(task):\n    raise ZeroDivisionError('a bug')\n"
        "pipeline.ExtractUrl.run = run\n"
        "StoreImage = pipeline.StoreImage\n"
    )
    project.configure(retry_count="1")
    run = project.run("luigi", "--module", "broken", "StoreImage", "--local-scheduler", "--timestamp", MINUTE)
    assert run.returncode == 30
    assert "Traceback" in untimed(run.stderr)
    assert "ZeroDivisionError: a bug" in (project.root / "2026-11-23/1205.error").read_text()


@pytest.mark.ci
def test_the_same_minute_twice_at_once(project: Project) -> None:
    """Eight runs of one minute at once end with one whole set of files that speak of one photo."""
    command = ("luigi", "--module", "pipeline", "StoreImage", "--local-scheduler", "--timestamp", MINUTE)
    runs = [project.start(*command) for _ in range(8)]
    errors = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [0] * 8, errors
    assert of_minute(project) == THREE
    photo = json.loads((project.root / "2026-11-23/1205.json").read_text())
    assert (project.root / "2026-11-23/1205.txt").read_text() == photo["urls"]["regular"] + "\n"
    assert (project.root / "2026-11-23/1205.jpg").read_bytes() == sandbox.drawing(photo["id"], 1080)


@pytest.mark.ci
def test_minutes_of_a_topic_at_once(project: Project) -> None:
    """One topic's minutes at once: metadata that stands never changes, and each minute's files are of one photo."""
    project.configure(topics="art", photos_per_request="8")
    names = [f"12{number:02}" for number in range(6)]
    runs = [
        project.start("luigi", "--module", "pipeline", "StoreImage", "--local-scheduler", "--timestamp", f"2026-11-23T{name}")
        for name in names
    ]
    seen: dict[Path, set[str]] = {}
    while any(run.poll() is None for run in runs):
        for path in project.root.glob("2026-11-23/*.json"):
            seen.setdefault(path, set()).add(json.loads(path.read_bytes())["id"])
    errors = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [0] * len(runs), errors
    assert len(seen) >= len(names)
    assert {len(ids) for ids in seen.values()} == {1}
    assert len({photo_id for ids in seen.values() for photo_id in ids}) == len(seen)
    for name in names:
        photo = json.loads((project.root / f"2026-11-23/{name}.json").read_text())
        assert (project.root / f"2026-11-23/{name}.txt").read_text() == photo["urls"]["regular"] + "\n"
        assert (project.root / f"2026-11-23/{name}.jpg").read_bytes() == sandbox.drawing(photo["id"], 1080)


def test_samples_have_a_root_of_their_own(project: Project, api: WatchedSandbox) -> None:
    """With DEMO_KEY everything is under ROOT/demo, marked, from addresses that do not exist, without any network."""
    run = project.store(MINUTE, UNSPLASH_API_KEY="DEMO_KEY")
    assert run.returncode == 0, run.stderr
    assert {f"demo/{name}" for name in THREE} <= project.files()
    assert all(name.startswith("demo/") for name in project.files())
    assert (project.root / "demo/2026-11-23/1205.txt").read_text().startswith("https://sandbox.invalid/")
    assert api.asked == []


@pytest.mark.ci
def test_sizes(project: Project) -> None:
    """The size of the settings is stored, and acts when the address is written."""
    project.store(MINUTE, "--unsplash-size", "thumb")
    assert Image.open(io.BytesIO((project.root / "2026-11-23/1205.jpg").read_bytes())).width == 200
    [ahead, *_] = sorted(name for name in project.files() if name.endswith(".json") and name > "2026-11-23/1206")
    project.store(f"2026-11-23T{Path(ahead).stem}", "--unsplash-size", "small")
    assert Image.open(io.BytesIO((project.root / ahead.replace(".json", ".jpg")).read_bytes())).width == 400


def test_a_killed_run_is_finished_by_the_next(project: Project, api: WatchedSandbox) -> None:
    """A run killed while the picture comes leaves no picture, and the next run of the minute stores it."""
    killed: list[bool] = []

    def kill(target: str) -> None:
        if "/photo-" in target and not killed:
            killed.append(True)
            process.send_signal(signal.SIGKILL)
            process.wait(60)

    api.instead = kill
    process = project.start("luigi", "--module", "pipeline", "StoreImage", "--local-scheduler", "--timestamp", MINUTE)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert of_minute(project) == THREE - {"2026-11-23/1205.jpg"}
    assert project.store(MINUTE).returncode == 0
    assert of_minute(project) == THREE


@pytest.mark.slow
def test_tries_are_15_seconds_apart(project: Project, api: WatchedSandbox, tmp_path: Path) -> None:
    """With the shipped luigi.cfg the second try comes 15 seconds after the first."""
    (tmp_path / "luigi.cfg").unlink()
    project.configure()
    refused = iter(range(1))
    api.instead = lambda target: status(503) if "/photos/random" in target and next(refused, None) is not None else None
    run = project.store(MINUTE)
    assert run.returncode == 0, run.stderr
    failed, started = re.findall(r"T\d\d:(\d\d):(\d\d)Z FetchMetadata \S+ (?:failed|started)", run.stderr)[1:3]
    seconds = [60 * int(minute) + int(second) for minute, second in (failed, started)]
    assert (seconds[1] - seconds[0]) % 3600 >= 14


def test_the_key_is_nowhere(project: Project, api: WatchedSandbox) -> None:
    """Neither the log nor any file has the key, whether the run goes well or not."""
    shown = project.store(MINUTE).stderr
    api.instead = lambda target: status(503)
    project.configure(retry_count="1")
    shown += project.store("2026-11-24T1206").stderr
    assert KEY not in shown
    assert not any(KEY.encode() in path.read_bytes() for path in project.root.rglob("*") if path.is_file())
