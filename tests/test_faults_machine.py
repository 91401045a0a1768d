"""Full disks, missing rights, little memory, signals, moved clocks, and files that somebody spoilt."""

import contextlib
import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from PIL import Image

from tests import faults
from tests.conftest import Project
from tests.faults import FAILED, FILED, MINUTE, SHOWN, STORED, Server

faulty, minute = faults.faulty, faults.minute

PROCESSES = 8
DAY = "2026-11-23"


def temporary_files(project: Project) -> list[Path]:
    return list((project.root / ".tmp").glob("*"))


def assert_stored(project: Project, *runs: "subprocess.CompletedProcess[str]") -> None:
    """Check that the last run stored the minute whole, and that no run showed a traceback or the key."""
    assert runs[-1].returncode == 0, runs[-1].stderr
    assert project.files() == STORED
    photo = json.loads((project.root / DAY / "1205.json").read_text())
    assert (project.root / DAY / "1205.txt").read_text() == photo["urls"]["regular"] + "\n"
    assert (project.root / DAY / "1205.jpg").read_bytes() == (project.root / "latest.jpg").read_bytes()
    for run in runs:
        assert "Traceback" not in run.stderr
    faults.assert_key_is_nowhere(project, *runs)


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """Fill the file system of the folder to its last block."""
    filling = folder / "filling"
    with filling.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    yield
    filling.unlink()


def test_a_full_disk(minute: Project) -> None:
    """A run on a full disk makes its tries and says so; the next one, with room again, stores the minute."""
    with faults.mounted(minute.root, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        with full(minute.root):
            run = minute.store(MINUTE)
            assert run.returncode == 30
            assert run.stderr.count(f"FetchMetadata {MINUTE} started") == 3
            assert "No space left on device" in run.stderr
            assert minute.files() == {"filling"}
        assert_stored(minute, run, minute.store(MINUTE))


def test_a_disk_with_room_for_all_but_the_picture(minute: Project, faulty: Server) -> None:
    """A picture that does not fit leaves no part of it, and the reason is kept."""
    picture = b"\xff\xd8" + b"x" * 2**20
    faulty.breaks("picture", faults.answers(200, picture), times=3)
    with faults.mounted(minute.root, "-t", "tmpfs", "-o", "size=512k", "tmpfs"):
        run = minute.store(MINUTE)
        assert run.returncode == 30
        assert "No space left on device" in faults.failure(minute)
        assert minute.files() == FILED | FAILED | {f"{DAY}/1205.txt"}
        assert_stored(minute, run, minute.store(MINUTE))


def test_no_inodes(minute: Project) -> None:
    """A file system that takes no further file fails the run with its reason, and the next one stores the minute."""
    with faults.mounted(minute.root, "-t", "tmpfs", "-o", "nr_inodes=40", "tmpfs"):
        spare = [minute.root / f"spare-{number}" for number in range(39)]
        with contextlib.suppress(OSError):
            for path in spare:
                path.touch()
        run = minute.store(MINUTE)
        assert run.returncode == 30
        assert "No space left on device" in run.stderr
        for path in spare:
            path.unlink(missing_ok=True)
        assert_stored(minute, run, minute.store(MINUTE))


# What a disk in trouble says, by strace, at one call of a run. Whether another try helps: those that say that ROOT is not to be
# written end the run.
TROUBLE = {
    "fsync": ("EIO", "ENOSPC", "EDQUOT", "EROFS"),
    "write": ("EIO", "ENOSPC", "EFBIG"),
    "close": ("EIO", "ENOSPC"),
    "rename": ("EIO", "ENOSPC", "EBUSY", "EACCES"),
    "openat": ("EIO", "EMFILE", "ENOSPC", "EACCES"),
    "mkdir": ("ENOSPC", "EROFS"),
    "flock": ("ENOLCK", "EOPNOTSUPP", "EINTR"),
    "link": ("EPERM", "EMLINK", "EXDEV"),
    "utimensat": ("EPERM",),
    "unlink": ("EBUSY", "EACCES"),
}
BOUNDED = 12


def troubled(minute: Project, step: int) -> None:
    """Run the minute again and again, each time with another call in trouble; of all cases take one in `step`."""
    calls = faults.calls(minute)
    # strace leaves out a call that fails. A lock is given back by a close, whatever that says: theirs are left alone.
    calls = [call for call in calls if call.name != "close" or "/.tmp/" in call.arguments]
    cases = [(call, error) for call in calls for error in TROUBLE[call.name]]
    for call, error in cases[::step]:
        shutil.rmtree(minute.root)
        run = faults.ended(faults.start(minute, *call.injection(f"error={error}")))
        print(call, error, run.stderr)
        assert run.returncode in (0, 30)
        faults.assert_whole(minute)
        if run.returncode:
            assert os.strerror(getattr(errno, error)) in run.stderr
        again = minute.store(MINUTE)
        assert again.returncode == 0, again.stderr
        if "--- Logging error ---" not in run.stderr:  # the call in trouble was by chance the one that wrote the log
            assert "Traceback" not in run.stderr + again.stderr
        # What shows a stored picture is said when it fails, and made good with the next minute's.
        assert STORED - SHOWN - {"quota"} <= minute.files() <= STORED
    assert len(cases) > 100


def test_a_call_that_fails(minute: Project) -> None:
    """Whichever call of a run the disk refuses: the files are whole, the reason is said, the minute stored in the end."""
    troubled(minute, step=BOUNDED)


@pytest.mark.slow
def test_any_call_that_fails(minute: Project) -> None:
    """The same, for every call."""
    troubled(minute, step=1)


def test_a_file_size_limit(minute: Project) -> None:
    """Where no file may grow to the size of a picture, the run says so; without the limit the next one stores it."""
    run = faults.ended(faults.start(minute, faults.program("prlimit"), "--fsize=20000"))
    assert run.returncode == 30
    assert "File too large" in faults.failure(minute)
    assert minute.files() == FILED | FAILED | {f"{DAY}/1205.txt"}
    assert_stored(minute, run, minute.store(MINUTE))


def without_privileges() -> tuple[str, ...]:
    """Return the command that takes root's power over permissions away; others have none."""
    if os.geteuid():
        return ()
    return (faults.program("setpriv"), "--bounding-set", "-dac_override,-dac_read_search,-fowner")


@pytest.mark.parametrize("folder", [".", ".tmp", DAY])
def test_a_folder_that_may_not_be_written(folder: str, minute: Project) -> None:
    """Without permission the run ends at the first try and names the folder; with it the next run stores the minute."""
    forbidden = minute.root / folder
    forbidden.mkdir(parents=True)
    forbidden.chmod(0o555)
    run = faults.ended(faults.start(minute, *without_privileges()))
    forbidden.chmod(0o755)
    assert run.returncode == 30
    assert run.stderr.count("started") == 1
    assert re.search(r"data\S*: Permission denied", run.stderr)
    assert minute.files() <= FAILED | {"quota"}
    assert_stored(minute, run, minute.store(MINUTE))


def test_a_root_that_is_mounted_read_only(minute: Project) -> None:
    """On a read-only file system the run ends at the first try and says so."""
    with faults.mounted(minute.root, "-t", "tmpfs", "-o", "ro", "tmpfs"):
        run = minute.store(MINUTE)
        assert run.returncode == 30
        assert run.stderr.count("started") == 1
        assert "Read-only file system" in run.stderr
        assert "Traceback" not in run.stderr
        assert minute.files() == set()


@pytest.mark.parametrize("name", ["data", "data/.tmp", f"data/{DAY}"])
def test_a_file_where_a_folder_should_be(name: str, minute: Project) -> None:
    """A file in the place of ROOT or of a folder in it ends the run with its name, and is not touched."""
    path = minute.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("precious")
    run = minute.store(MINUTE)
    assert run.returncode == 30
    assert run.stderr.count("started") == 1
    assert name in run.stderr
    assert "Traceback" not in run.stderr
    assert path.read_text() == "precious"
    path.unlink()
    assert_stored(minute, run, minute.store(MINUTE))


def test_little_memory(minute: Project, faulty: Server) -> None:
    """Where the memory does not suffice for a picture another photo takes its place."""
    minute.configure(retry_count="11")
    faulty.breaks("picture", faults.answers(200, large_picture()), times=1)
    run = faults.ended(faults.start(minute, faults.program("prlimit"), f"--as={400 * 2**20}"))
    assert "broken data stream" in run.stderr
    assert faulty.count("photos") == 2
    assert_stored(minute, run)


def large_picture() -> bytes:
    """Return a progressive JPEG of 100 megapixels: all its coefficients must be held at once."""
    buffer = io.BytesIO()
    Image.new("RGB", (10_000, 10_000)).save(buffer, "JPEG", progressive=True)
    return buffer.getvalue()


def test_the_same_minute_at_once(minute: Project, faulty: Server) -> None:
    """Eight runs of the same minute at once all end well, with one whole set of files and no litter."""
    runs = [faults.start(minute) for _ in range(PROCESSES)]
    ended = [faults.ended(run) for run in runs]
    assert [run.returncode for run in ended] == [0] * PROCESSES
    assert_stored(minute, *ended)
    assert temporary_files(minute) == []


@pytest.mark.parametrize("kind", ["photos", "picture"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGHUP])
def test_a_signal(number: signal.Signals, kind: str, minute: Project, faulty: Server) -> None:
    """A run that is stopped while it waits for an answer ends, and not with 0, its files whole; the next one goes on."""
    faulty.breaks(kind, faults.hangs_inside_body, times=1)
    process = faults.start(minute)
    faulty.wait_for(kind)
    process.send_signal(number)
    run = faults.ended(process)
    assert run.returncode != 0
    faults.assert_whole(minute)
    for path in temporary_files(minute):
        os.utime(path, (0, 0))
    again = minute.store(MINUTE)
    assert again.returncode == 0, again.stderr
    assert minute.files() == STORED
    faults.assert_key_is_nowhere(minute, run, again)


def test_litter_of_a_living_run(minute: Project) -> None:
    """A temporary file that may still belong to a run is left alone, and goes when it is older than any run."""
    litter = minute.root / ".tmp" / "abcdefgh"
    litter.parent.mkdir(parents=True)
    litter.touch()
    assert minute.store(MINUTE).returncode == 0
    assert temporary_files(minute) == [litter]
    os.utime(litter, (time.time() - 7200,) * 2)
    assert minute.store("2026-11-23T1206").returncode == 0
    assert temporary_files(minute) == []


def at(moment: str) -> tuple[str, ...]:
    """Return the command that runs another one at this moment of UTC; its clock goes on from there."""
    wanted = datetime.fromisoformat(moment).replace(tzinfo=timezone.utc).timestamp()
    return (faults.program("faketime"), "-m", "-f", f"{wanted - time.time():+.3f}")


def now(project: Project, moment: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Store the present minute, whatever it is then."""
    command = (sys.executable, "-m", "luigi", "--module", "pipeline", "StoreImage", "--local-scheduler")
    return subprocess.run(
        [*at(moment), *command],
        cwd=project.folder,
        env={**project.environment, "FAKETIME_DONT_FAKE_MONOTONIC": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def pictures(project: Project) -> list[str]:
    return sorted(name for name in project.files() if name.endswith(".jpg") and "thumb" not in name)


def test_the_end_of_summer_time(minute: Project) -> None:
    """In the hour that a local clock shows twice, each minute is stored for itself: 02:30 in Berlin, and 02:30 again."""
    for moment in ("2026-10-25T00:30:10", "2026-10-25T01:30:10"):
        run = now(minute, moment, TZ="Europe/Berlin")
        assert run.returncode == 0, run.stderr
        assert moment[:16] in run.stderr
    assert pictures(minute) == ["2026-10-25/0030.jpg", "2026-10-25/0130.jpg", "latest.jpg"]


def test_a_clock_that_jumps_back(minute: Project) -> None:
    """After a jump of an hour back the runs go on: minutes that are stored stay, and latest.jpg does not move back in time."""
    assert now(minute, "2026-11-23T12:05:10").returncode == 0
    latest = (minute.root / "latest.jpg").read_bytes()
    before = now(minute, "2026-11-23T11:05:20")
    assert before.returncode == 0, before.stderr
    again = now(minute, "2026-11-23T12:05:30")
    assert again.returncode == 0, again.stderr
    assert f"StoreImage {MINUTE} stored already" in again.stderr
    assert pictures(minute) == [f"{DAY}/1105.jpg", f"{DAY}/1205.jpg", "latest.jpg"]
    assert (minute.root / "latest.jpg").read_bytes() == latest
    assert temporary_files(minute) == []


@pytest.mark.parametrize("second", ["59.50", "59.65", "59.80", "59.90", "59.99"])
def test_the_change_of_the_minute_during_the_start(second: str, minute: Project) -> None:
    """A run that starts at the end of a minute stores one minute, all of whose files are of that minute."""
    run = now(minute, f"2026-11-23T12:04:{second}0")
    assert run.returncode == 0, run.stderr
    stored = pictures(minute)[0][:-4]
    assert stored in (f"{DAY}/1204", f"{DAY}/1205")
    assert minute.files() == {name.replace("1205", stored[-4:]) for name in STORED}
    faults.assert_whole(minute)


SPOILT = {
    "empty": b"",
    "blank": b"\n",
    "garbage": b"\x00\xff\xfe garbage",
    "cut": b'{"id": "AAAAAAAAAAA", "urls": {',
    "a list": b"[]",
    "null": b"null",
    "an empty object": b"{}",
    "no urls": b'{"id": "AAAAAAAAAAA", "pipeline": {"credit": {"text": "x"}}}',
    "a list for the urls": b'{"id": "AAAAAAAAAAA", "urls": [], "pipeline": {"credit": {"text": "x"}}}',
    "deeply nested": b"[" * 10**5,
    "another address": b"https://example.com/photo\n",
    "two lines": b"https://images.unsplash.com/a\nhttps://images.unsplash.com/b\n",
    "no ASCII": "https://images.unsplash.com/é\n".encode(),
    "10 MB": b"x" * 10**7,
}


@pytest.mark.parametrize("content", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("suffixes", [(".json",), (".txt",), (".json", ".txt")], ids="".join)
def test_spoilt_files(suffixes: tuple[str, ...], content: bytes, minute: Project) -> None:
    """An empty or garbled `.json` or `.txt` counts as absent: it is made anew, and the minute stored."""
    (minute.root / DAY).mkdir(parents=True)
    for suffix in suffixes:
        (minute.root / DAY / f"1205{suffix}").write_bytes(content)
    assert_stored(minute, minute.store(MINUTE))


@pytest.mark.parametrize("suffix", [".json", ".txt"])
@pytest.mark.parametrize("content", SPOILT.values(), ids=SPOILT)
def test_a_file_that_is_spoilt_later(suffix: str, content: bytes, minute: Project) -> None:
    """A `.json` or `.txt` that is garbled when its picture is still to come is made anew, and so is what follows from it."""
    run = minute.store(MINUTE)
    (minute.root / DAY / "1205.jpg").unlink()
    (minute.root / DAY / f"1205{suffix}").write_bytes(content)
    assert_stored(minute, run, minute.store(MINUTE))


@pytest.mark.parametrize("content", [b"", b"\xff\x00garbage\n1205", b"x" * 10**6], ids=["empty", "garbage", "a megabyte"])
@pytest.mark.parametrize("name", [f"{DAY}/given", "quota", f"{DAY}/1205.error", f"{DAY}/1205.jpg"])
def test_other_spoilt_files(name: str, content: bytes, minute: Project) -> None:
    """A garbled note of the project's own does not keep a minute from being stored; a picture that is there is complete."""
    path = minute.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    run = minute.store(MINUTE)
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    if name.endswith(".jpg") and content:
        assert minute.files() == {name}
    else:
        assert minute.files() == STORED


@pytest.mark.parametrize("suffix", [".json", ".txt", ".jpg", ".error"])
def test_a_folder_where_a_file_should_be(suffix: str, minute: Project) -> None:
    """A folder in the place of one of the minute's files fails the minute with its name; nothing else is hurt."""
    folder = minute.root / DAY / f"1205{suffix}"
    folder.mkdir(parents=True)
    (folder / "inside").touch()
    run = minute.store(MINUTE)
    assert "Traceback" not in run.stderr
    faults.assert_key_is_nowhere(minute, run)
    if suffix == ".error":
        assert run.returncode == 0
    else:
        assert run.returncode == 30
        assert f"1205{suffix}" in run.stderr
    (folder / "inside").unlink()
    folder.rmdir()
    again = minute.store(MINUTE)
    assert again.returncode == 0
    assert minute.files() == STORED
