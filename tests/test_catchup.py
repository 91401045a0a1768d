"""Catching up: what is missing is found, cut into slices, and stored."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipeline import catchup, minutes, sandbox
from pipeline.catchup import Slice
from pipeline.minutes import MINUTE
from pipeline.storage import Store
from tests.conftest import Project, WatchedSandbox, status
from tests.test_storage import photo

TOPICS = ("history", "life", "wisdom", "art", "office", "nature")
START = datetime(2026, 11, 20)


def pictures(project: Project) -> list[str]:
    """Return the minutes that have a picture, oldest first."""
    return sorted(f"{path.parent.name}T{path.stem}" for path in project.root.glob("2*/*.jpg"))


def expected(start: datetime, count: int) -> list[str]:
    return [minutes.name(start + number * MINUTE) for number in range(count)]


def day_s_minutes() -> list[datetime]:
    return [START + number * MINUTE for number in range(1440)]


def test_slices_hold_every_minute_once(tmp_path: Path) -> None:
    """Slices have each missing minute once, of one topic, as many as an answer has photos, the newest first."""
    made = catchup.slices(day_s_minutes(), Store(tmp_path), TOPICS, 30)
    assert sorted(minute for work in made for minute in work.minutes) == day_s_minutes()
    assert all(len({minutes.topic_of(minute, TOPICS) for minute in work.minutes}) == 1 for work in made)
    assert {len(work.minutes) for work in made} == {30}
    newest = [work.minutes[-1] for work in made]
    assert newest == sorted(newest, reverse=True)


def test_minutes_with_a_photo_need_no_answer(tmp_path: Path) -> None:
    """What has its photo already is in slices of its own, which come first and do not ask."""
    store = Store(tmp_path)
    ready = START + 7 * MINUTE
    store.file_photos({ready: photo("a")})
    first, *others = catchup.slices(day_s_minutes(), store, TOPICS, 30)
    assert first == Slice((ready,), asks=None)
    assert all(work.asks == work.minutes[0] for work in others)


def test_a_slice_is_within_reach_of_one_answer(tmp_path: Path) -> None:
    """Minutes that lie further apart than an answer's photos are filed ahead do not share a slice."""
    sparse = [START + number * timedelta(days=3) for number in range(20)]
    for work in catchup.slices(sparse, Store(tmp_path), ("art",), 30):
        assert work.minutes[-1] - work.minutes[0] <= minutes.REACH


def test_what_is_missing_is_stored(project: Project, api: WatchedSandbox) -> None:
    """Two hours are stored, by one request for about 28 pictures, and a second call has nothing to do."""
    command = ("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0200", "--workers", "4")
    run = project.run(*command)
    assert run.returncode == 0, run.stderr
    assert pictures(project) == expected(START, 120)
    assert len(api.requests("/photos/random")) <= 12
    ids = [json.loads(path.read_bytes())["id"] for path in project.root.glob("*/*.json")]
    assert len(set(ids)) == len(ids)
    api.asked.clear()
    assert project.run(*command).returncode == 0
    assert api.asked == []


def test_the_newest_come_first(project: Project) -> None:
    """A limit takes the newest of what is missing, and says by its exit code that more is."""
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0200", "--limit", "10")
    assert run.returncode == 30
    assert pictures(project) == expected(START + 110 * MINUTE, 10)


def test_since_leaves_the_present_and_the_time_before_alone(project: Project) -> None:
    """--since goes back to the oldest stored minute at most, and leaves the last five minutes to their own runs."""
    now = minutes.present_minute()
    oldest = now - 20 * MINUTE
    assert project.store(minutes.name(oldest)).returncode == 0
    assert project.run("pipeline", "catch-up", "--since", "24h").returncode == 0
    stored = pictures(project)
    assert stored[0] == minutes.name(oldest)
    assert minutes.name(now - 6 * MINUTE) in stored
    assert minutes.name(now) not in stored
    assert len(stored) in (15, 16)


def test_one_bad_picture_does_not_fail_its_neighbours(project: Project, api: WatchedSandbox) -> None:
    """A picture that never comes is the only one missing; nothing is fetched twice for its sake."""
    project.store("2026-11-20T0000", "--unsplash-topics", "art", "--unsplash-photos-per-request", "30")
    project.configure(topics="art")
    bad = json.loads((project.root / "2026-11-20/0005.json").read_text())["id"]
    api.instead = lambda target: status(503) if bad in target else None
    api.asked.clear()
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0020")
    assert run.returncode == 30
    assert pictures(project) == [minute for minute in expected(START, 20) if minute != "2026-11-20T0005"]
    assert "2026-11-20T0005 failed: StoreImage: the picture's host answered 503" in run.stderr
    assert len([target for target in api.requests("/photo-") if bad in target]) == 2  # the second round stores nothing
    fetched = [target for target in api.requests("/photo-") if bad not in target]
    assert len(fetched) == len(set(fetched)) == 18
    assert (project.root / "2026-11-20/0005.error").exists()


def file_an_hour(project: Project, api: WatchedSandbox) -> None:
    """Store the first minute of an hour of one topic, and with it the photos of the next ones."""
    project.configure(topics="art")
    assert project.store("2026-11-20T0000").returncode == 0
    api.asked.clear()


def test_pictures_are_asked_for_ahead(project: Project, api: WatchedSandbox) -> None:
    """The next pictures of a slice are on their way while one is stored: this host answers no request that is alone."""
    file_an_hour(project, api)
    alone = threading.Barrier(2, timeout=20)

    def in_pairs(target: str) -> None:
        if "/photo-" in target:
            alone.wait()

    api.instead = in_pairs
    command = ("pipeline", "catch-up", "--start", "2026-11-20T0001", "--stop", "2026-11-20T0021", "--workers", "1")
    run = project.run(*command)
    assert run.returncode == 0, run.stderr
    assert len(api.requests("/photo-")) == 20


def test_a_picture_that_takes_all_its_time_takes_none_of_its_neighbours(project: Project, api: WatchedSandbox) -> None:
    """What was asked for ahead, and waited while another picture did not come, is asked for anew."""
    file_an_hour(project, api)
    project.configure(answer_seconds="1", size="full")
    slow, over = json.loads((project.root / "2026-11-20/0005.json").read_text())["id"], threading.Event()

    def held(target: str) -> None:
        if slow in target:
            over.wait(60)

    api.instead = held
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0001", "--stop", "2026-11-20T0021", "--workers", "1")
    over.set()
    assert run.returncode == 30
    assert pictures(project) == [minute for minute in expected(START, 21) if minute != "2026-11-20T0005"]
    assert "19 of 20 missing stored" in run.stderr
    assert ", 1 failed," in run.stderr


def test_what_failed_has_another_try(project: Project, api: WatchedSandbox) -> None:
    """Within a call a failed minute is tried again with the next round."""
    failing = iter(range(3))
    api.instead = lambda target: status(503) if "/photo-" in target and next(failing, None) is not None else None
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0030")
    assert run.returncode == 0, run.stderr
    assert len(pictures(project)) == 30
    assert not list(project.root.glob("*/*.error"))


def test_an_answer_that_does_not_come_is_asked_for_once_a_slice(project: Project, api: WatchedSandbox) -> None:
    """While the API is in trouble no minute of a slice asks but the first: the quota is not spent on the others."""
    api.instead = lambda target: status(503) if target.startswith("/photos/random") else None
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0100", "--workers", "2")
    assert run.returncode == 30
    assert len(api.requests("/photos/random")) == len(TOPICS)
    assert "0 of 60 missing stored" in run.stderr
    assert run.stderr.count("Unsplash answered 503") == len(TOPICS)


def test_thumbnails_that_cannot_be_written_fail_nothing(project: Project, api: WatchedSandbox) -> None:
    """What stands in the thumbnails' way is said; the pictures are stored, and shown themselves."""
    (project.root / "2026-11-20").mkdir(parents=True)
    (project.root / "2026-11-20/thumb").write_text("no folder")
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0010")
    assert run.returncode == 0, run.stderr
    assert pictures(project) == expected(START, 10)
    assert "2026-11-20/thumb/0000.jpg: Not a directory" in run.stderr
    assert 'src="0005.jpg"' in (project.root / "2026-11-20/index.html").read_text()


def test_addresses_that_cannot_be_written_are_the_reason_of_their_minutes(project: Project, api: WatchedSandbox) -> None:
    """What stands in the addresses' way is said of each minute that has no picture for it, and no picture is fetched."""
    project.configure(topics="art")
    (project.root / "2026-11-20/0001.txt").mkdir(parents=True)
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0003")
    assert run.returncode == 30, run.stderr
    reason = re.escape(f"{project.root.name}/2026-11-20/0001.txt: Is a directory")
    assert re.findall(rf"(?m)^(\S+) failed: .*{reason}$", run.stderr) == [f"2026-11-20T000{number}" for number in range(3)]
    assert "3 failed" in run.stderr
    assert not api.requests("/photo-")


def test_a_folder_that_cannot_be_flushed_ends_its_slice_alone(project: Project, api: WatchedSandbox) -> None:
    """Trouble of the disk at the end of a slice is said; its pictures count, and the other slices go on."""
    code = f"""
import errno, os, sys
from pipeline import __main__, disk

flush = disk._flush_folder

def failing(folder):
    if folder.endswith("thumb"):
        raise OSError(errno.EIO, os.strerror(errno.EIO), folder)
    flush(folder)

disk._flush_folder = failing
sys.exit(__main__.main(["catch-up", "--start", "{minutes.name(START)}", "--stop", "{minutes.name(START + 60 * MINUTE)}"]))
"""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=project.folder, env=project.environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert pictures(project) == expected(START, 60)
    assert "thumb: Input/output error" in run.stderr
    assert "60 of 60 missing stored" in run.stderr


def test_no_key_is_said_once(project: Project, api: WatchedSandbox) -> None:
    """Without a key no slice is begun."""
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0100", UNSPLASH_API_KEY="")
    assert run.returncode == 30
    assert run.stderr.count("there is no key") == len(run.stderr.splitlines()) == 1
    assert api.asked == []


def test_a_wrong_key_stops_all_at_once(project: Project, api: WatchedSandbox) -> None:
    """No slice is begun after the API has refused the key."""
    command = ("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-21T0000", "--workers", "2")
    run = project.run(*command, UNSPLASH_API_KEY=sandbox.WRONG_KEY)
    assert run.returncode == 30
    assert len(api.asked) <= 2
    assert "check UNSPLASH_API_KEY" in run.stderr


def test_a_used_up_quota_stops_the_asking(project: Project, api: WatchedSandbox) -> None:
    """With the quota used up, what has its photo is stored still, and the rest is said to be left."""
    project.store("2026-11-20T0000")
    ahead = len(list(project.root.glob("2026-11-20/*.json")))
    api.hourly_limit = 1
    run = project.run("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-21T0000", "--workers", "2")
    assert run.returncode == 30
    assert len(pictures(project)) == ahead
    assert re.search(rf"more from about \d\d:00 UTC: {ahead - 1} of 1439 missing stored", run.stderr), run.stderr
    assert len(api.requests("/photos/random")) <= 3


def test_ctrl_c_stops_cleanly(project: Project, api: WatchedSandbox) -> None:
    """Ctrl-C ends the call after the pictures that it is at, counted and shown, and the next call goes on from there."""
    begun = threading.Event()
    api.instead = lambda target: begun.set() if target.startswith("/photo-") else None
    command = ("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0300", "--workers", "2")
    process = project.start(*command)
    assert begun.wait(60)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in shown
    stored = pictures(project)
    assert 0 < len(stored) < 30  # less than the slices it was at
    assert f"stopped: {len(stored)} of 180 missing stored" in shown
    assert "0 failed" in shown
    newest = project.root / stored[-1].replace("T", "/")
    assert (project.root / "latest.jpg").read_bytes() == newest.with_suffix(".jpg").read_bytes()
    assert f'href="{stored[-1][-4:]}.jpg"' in (project.root / "2026-11-20" / "index.html").read_text()
    assert project.run(*command).returncode == 0
    assert pictures(project) == expected(START, 180)


def test_a_killed_process_is_said_in_one_line(project: Project, api: WatchedSandbox) -> None:
    """If the system kills one of its processes the call says so and ends; what is stored by then is shown."""
    begun, gate = threading.Event(), threading.Event()

    def hold(target: str) -> None:
        if len(api.requests("/photo-")) > 5:
            begun.set()
            gate.wait(60)

    api.instead = hold
    process = project.start("pipeline", "catch-up", "--start", "2026-11-20T0000", "--stop", "2026-11-20T0300", "--workers", "1")
    assert begun.wait(60)
    child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
    os.kill(int(child), signal.SIGKILL)
    gate.set()
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 30
    assert "Traceback" not in shown
    assert "a process was killed" in shown
    newest = project.root / pictures(project)[-1].replace("T", "/")
    assert (project.root / "latest.jpg").read_bytes() == newest.with_suffix(".jpg").read_bytes()


@pytest.mark.parametrize("arguments", [["--since", "1 day"], ["--start", "2026-11-20"], ["--limit", "many"]])
def test_unusable_arguments(project: Project, arguments: list[str]) -> None:
    """What cannot be used is said in one line, with the exit code of the contract."""
    run = project.run("pipeline", "catch-up", *arguments)
    assert run.returncode == 40
    assert len(run.stderr.splitlines()) == 1


def test_luigi_s_own_range_works(project: Project, api: WatchedSandbox) -> None:
    """RangeByMinutes finds exactly the minutes that are missing and stores them."""
    for minute in ("2026-11-20T2359", "2026-11-21T0001"):
        project.store(minute)
    command = ("luigi", "--module", "pipeline", "RangeByMinutes", "--of", "StoreImage", "--local-scheduler")
    span = ("--start", "2026-11-20T2358", "--stop", "2026-11-21T0004", "--minutes-back", "1000000")
    run = project.run(*command, *span, PYTHONWARNINGS="ignore")
    assert run.returncode == 0, run.stderr
    assert pictures(project) == expected(datetime(2026, 11, 20, 23, 58), 6)
    assert set(re.findall(r"StoreImage (\S+) done", run.stderr)) == {
        "2026-11-20T2358", "2026-11-21T0000", "2026-11-21T0002", "2026-11-21T0003",
    }  # fmt: skip
