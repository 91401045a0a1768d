"""Full disks, missing rights, little memory, signals, moved clocks, and files that somebody spoilt."""

import contextlib
import errno
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from PIL import Image

from tests import processes, servers
from tests.conftest import Project
from tests.processes import FAILED, FILED, MINUTE, SHOWN, STORED, TEMPORARY
from tests.servers import Server

PROCESSES = 8
DAY = "2026-11-23"


def assert_stored(project: Project, *runs: "subprocess.CompletedProcess[str]") -> None:
    """Check that the last run stored the minute whole, and that no run showed a traceback or the key."""
    assert runs[-1].returncode == 0, runs[-1].stderr
    assert project.files() == STORED
    photo = json.loads((project.root / DAY / "1205.json").read_text())
    assert (project.root / DAY / "1205.txt").read_text() == photo["urls"]["regular"] + "\n"
    assert (project.root / DAY / "1205.jpg").read_bytes() == (project.root / "latest.jpg").read_bytes()
    for run in runs:
        assert "Traceback" not in run.stderr
    processes.assert_key_is_nowhere(project, *runs)


@contextlib.contextmanager
def full(folder: Path, free: int = 0) -> Iterator[None]:
    """Fill the file system of the folder to its last bytes."""
    filling = folder / "filling"
    with filling.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        file.truncate(file.tell() - free)
    yield
    filling.unlink()


def test_a_full_disk(minute: Project, faulty: Server) -> None:
    """A run on a full disk makes its tries, says so and asks for nothing; the next one, with room, stores the minute."""
    with processes.mounted(minute.root, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        with full(minute.root):
            run = minute.store(MINUTE)
            assert run.returncode == 30
            assert run.stderr.count(f"FetchMetadata {MINUTE} started") == 3
            assert "No space left on device" in run.stderr
            assert minute.files() == {"filling"}
            assert faulty.requests == []
        assert_stored(minute, run, minute.store(MINUTE))


def test_a_catch_up_on_a_full_disk(minute: Project, faulty: Server) -> None:
    """It ends with one line, and asks for nothing."""
    with processes.mounted(minute.root, "-t", "tmpfs", "-o", "size=1m", "tmpfs"), full(minute.root):
        run = minute.run("pipeline", "catch-up", "--start", "2026-11-23T1200", "--stop", "2026-11-23T1300")
    assert run.returncode == 30
    assert re.fullmatch(r"\S.*No space left on device\n", run.stderr)
    assert faulty.requests == []


@pytest.mark.parametrize("free", [8192, 12288], ids=["the note of what was given", "the metadata"])
def test_an_answer_that_cannot_be_filed(free: int, minute: Project, faulty: Server) -> None:
    """Where there was room when the API was asked, and is none for all of its answer, no further try asks again."""
    faulty.breaks("photos", servers.changes_photo(lambda photo: photo.update(slug="x" * 20_000)))
    with processes.mounted(minute.root, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        (minute.root / DAY).mkdir()
        if free == 8192:
            (minute.root / DAY / "given").write_text("1159 AAAAAAAAAAA\n" * 500)  # grows by a page more than there is
        with full(minute.root, free):
            run = minute.store(MINUTE)
            assert run.returncode == 30
            assert run.stderr.count(f"FetchMetadata {MINUTE} started") == 3
            assert "No space left on device" in run.stderr
            assert faulty.count("photos") == 1
            assert not (minute.root / DAY / "1205.json").exists()
        again = minute.store(MINUTE)
        assert again.returncode == 0, again.stderr
        processes.assert_whole(minute)


def test_an_answer_is_filed_by_a_later_try(minute: Project, faulty: Server) -> None:
    """When there is room again a later try files what the first one was answered, each photo noted once."""
    minute.configure(retry_delay="1", retry_count="11")
    faulty.breaks("photos", servers.changes_photo(lambda photo: photo.update(slug="x" * 20_000)))
    with processes.mounted(minute.root, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        (minute.root / DAY).mkdir()
        with full(minute.root, 12288):
            process = processes.start(minute)
            assert process.stderr and any(f"FetchMetadata {MINUTE} failed" in line for line in process.stderr)
        run = processes.ended(process)
        assert run.returncode == 0, run.stderr
        assert faulty.count("photos") == 1
        assert len((minute.root / DAY / "given").read_text().splitlines()) == 1
        assert "repeats" not in run.stderr


def noise(width: int) -> bytes:
    """Return a square JPEG of noise, which takes more than a byte a pixel."""
    buffer = io.BytesIO()
    Image.effect_noise((width, width), 100).save(buffer, "JPEG", quality=98)
    return buffer.getvalue()


def test_a_disk_with_room_for_all_but_the_picture(minute: Project, faulty: Server) -> None:
    """A picture that does not fit leaves no part of it, and the reason is kept."""
    picture = noise(1000)
    faulty.breaks("picture", servers.answers(200, picture), times=3)
    with processes.mounted(minute.root, "-t", "tmpfs", "-o", "size=512k", "tmpfs"):
        run = minute.store(MINUTE)
        assert run.returncode == 30
        assert "No space left on device" in processes.failure(minute)
        assert minute.files() == FILED | FAILED | {f"{DAY}/1205.txt"}
        assert_stored(minute, run, minute.store(MINUTE))


def test_no_inodes(minute: Project) -> None:
    """A file system that takes no further file fails the run with its reason, and the next one stores the minute."""
    with processes.mounted(minute.root, "-t", "tmpfs", "-o", "nr_inodes=40", "tmpfs"):
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
    "unlink": ("EBUSY", "EACCES"),
}
BOUNDED = 12


def troubled(minute: Project, step: int) -> None:
    """Run the minute again and again, each time with another call in trouble; of all cases take one in `step`."""
    calls = processes.calls(minute)
    # strace leaves out a call that fails. A lock is given back by a close, whatever that says: theirs are left alone.
    calls = [call for call in calls if call.name != "close" or re.search(rf"/{TEMPORARY}>", call.arguments)]
    cases = [(call, error) for call in calls for error in TROUBLE[call.name]]
    for call, error in cases[::step]:
        shutil.rmtree(minute.root)
        run = processes.ended(processes.start(minute, *call.injection(f"error={error}")))
        print(call, error, run.stderr)
        assert run.returncode in (0, 30)
        processes.assert_whole(minute)
        if run.returncode:
            assert os.strerror(getattr(errno, error)) in run.stderr
        again = minute.store(MINUTE)
        assert again.returncode == 0, again.stderr
        if "--- Logging error ---" not in run.stderr:  # the call in trouble was by chance the one that wrote the log
            assert "Traceback" not in run.stderr + again.stderr
        # What shows a stored picture is said when it fails, and made good with the next minute's. A trial that cannot be
        # removed goes an hour later.
        left = {name for name in minute.files() if not (call.name == "unlink" and re.search(TEMPORARY, name))}
        assert STORED - SHOWN - {"quota"} <= left <= STORED
    assert len(cases) > 100


@pytest.mark.parametrize("step", [8 * BOUNDED, pytest.param(BOUNDED, marks=pytest.mark.ci)])
def test_a_call_that_fails(step: int, minute: Project) -> None:
    """Whichever call of a run the disk refuses: the files are whole, the reason is said, the minute stored in the end."""
    troubled(minute, step)


@pytest.mark.slow
def test_any_call_that_fails(minute: Project) -> None:
    """The same, for every call."""
    troubled(minute, step=1)


def test_a_file_size_limit(minute: Project, faulty: Server) -> None:
    """Where no file may grow to the size of a picture, or of metadata, the run says so; without the limit all goes well."""
    run = processes.ended(processes.start(minute, servers.program("prlimit"), "--fsize=5000"))
    assert run.returncode == 30
    assert "File too large" in run.stderr
    assert faulty.requests == []
    run = processes.ended(processes.start(minute, servers.program("prlimit"), "--fsize=10000"))
    assert run.returncode == 30
    assert faulty.count("photos") == 1
    assert "File too large" in processes.failure(minute)
    assert minute.files() == FILED | FAILED | {f"{DAY}/1205.txt"}
    assert_stored(minute, run, minute.store(MINUTE))


def without_privileges() -> tuple[str, ...]:
    """Return the command that takes root's power over permissions away; others have none."""
    if os.geteuid():
        return ()
    return (servers.program("setpriv"), "--bounding-set", "-dac_override,-dac_read_search,-fowner")


@pytest.mark.parametrize("folder", [".", DAY])
def test_a_folder_that_may_not_be_written(folder: str, minute: Project, faulty: Server) -> None:
    """Without permission the run ends at the first try, names the folder and asks for nothing; with it all goes well."""
    forbidden = minute.root / folder
    forbidden.mkdir(parents=True)
    forbidden.chmod(0o555)
    run = processes.ended(processes.start(minute, *without_privileges()))
    forbidden.chmod(0o755)
    assert run.returncode == 30
    assert run.stderr.count("started") == 1
    assert re.search(r"data\S*: Permission denied", run.stderr)
    assert faulty.requests == []
    assert minute.files() <= FAILED | {"quota"}
    assert_stored(minute, run, minute.store(MINUTE))


def test_a_root_that_is_mounted_read_only(minute: Project, faulty: Server) -> None:
    """On a read-only file system the run ends at the first try, says so and asks for nothing."""
    with processes.mounted(minute.root, "-t", "tmpfs", "-o", "ro", "tmpfs"):
        run = minute.store(MINUTE)
        assert run.returncode == 30
        assert run.stderr.count("started") == 1
        assert "Read-only file system" in run.stderr
        assert faulty.requests == []
        assert "Traceback" not in run.stderr
        assert minute.files() == set()


@pytest.mark.parametrize("name", ["data", f"data/{DAY}"])
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
    faulty.breaks("picture", servers.answers(200, large_picture()), times=1)
    run = processes.ended(processes.start(minute, servers.program("prlimit"), f"--as={400 * 2**20}"))
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
    runs = [processes.start(minute) for _ in range(PROCESSES)]
    ended = [processes.ended(run) for run in runs]
    assert [run.returncode for run in ended] == [0] * PROCESSES
    assert_stored(minute, *ended)
    assert processes.temporary_files(minute) == []


@pytest.mark.one_in(3)
@pytest.mark.parametrize("kind", ["photos", "picture"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGHUP])
def test_a_signal(number: signal.Signals, kind: str, minute: Project, faulty: Server) -> None:
    """A run that is stopped while it waits for an answer ends, and not with 0, its files whole; the next one goes on."""
    faulty.breaks(kind, servers.hangs_inside_body, times=1)
    process = processes.start(minute)
    faulty.wait_for(kind)
    process.send_signal(number)
    run = processes.ended(process)
    assert run.returncode != 0
    processes.assert_whole(minute)
    for path in processes.temporary_files(minute):
        processes.grown_old(path)
    again = minute.store(MINUTE)
    assert again.returncode == 0, again.stderr
    assert minute.files() == STORED
    processes.assert_key_is_nowhere(minute, run, again)


def test_litter_of_a_living_run(minute: Project) -> None:
    """A temporary file that may still belong to a run is left alone, and goes when it is older than any run."""
    litter = minute.root / DAY / f".1205.jpg.{time.time_ns() - 600 * 10**9:016x}-4d2"
    litter.parent.mkdir(parents=True)
    litter.touch()
    assert minute.store(MINUTE).returncode == 0
    assert processes.temporary_files(minute) == [litter]
    processes.grown_old(litter)
    assert minute.store("2026-11-23T1206").returncode == 0
    assert processes.temporary_files(minute) == []


def at(moment: str) -> tuple[str, ...]:
    """Return the command that runs another one at this moment of UTC; its clock goes on from there."""
    wanted = datetime.fromisoformat(moment).replace(tzinfo=timezone.utc).timestamp()
    return (servers.program("faketime"), "-m", "-f", f"{wanted - time.time():+.3f}")


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
    """After a jump of an hour back the runs go on: what is stored stays, and what is shown is the newest that is not ahead."""

    def shown() -> str:
        latest = (minute.root / "latest.jpg").read_bytes()
        [stored] = [name for name in pictures(minute) if name != "latest.jpg" and (minute.root / name).read_bytes() == latest]
        return stored

    assert now(minute, "2026-11-23T12:05:10").returncode == 0
    assert shown() == f"{DAY}/1205.jpg"
    before = now(minute, "2026-11-23T11:05:20")
    assert before.returncode == 0, before.stderr
    assert shown() == f"{DAY}/1105.jpg"
    again = now(minute, "2026-11-23T12:05:30")
    assert again.returncode == 0, again.stderr
    assert f"StoreImage {MINUTE} stored already" in again.stderr
    assert now(minute, "2026-11-23T12:06:30").returncode == 0
    assert shown() == f"{DAY}/1206.jpg"
    assert pictures(minute) == [f"{DAY}/1105.jpg", f"{DAY}/1205.jpg", f"{DAY}/1206.jpg", "latest.jpg"]
    assert processes.temporary_files(minute) == []


@pytest.mark.one_in(2)
@pytest.mark.parametrize("second", ["59.50", "59.65", "59.80", "59.90", "59.99"])
def test_the_change_of_the_minute_during_the_start(second: str, minute: Project) -> None:
    """A run that starts at the end of a minute stores one minute, all of whose files are of that minute."""
    run = now(minute, f"2026-11-23T12:04:{second}0")
    assert run.returncode == 0, run.stderr
    stored = pictures(minute)[0][:-4]
    assert stored in (f"{DAY}/1204", f"{DAY}/1205")
    assert minute.files() == {name.replace("1205", stored[-4:]) for name in STORED}
    processes.assert_whole(minute)


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


@pytest.mark.one_in(6)
@pytest.mark.parametrize("content", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("suffixes", [(".json",), (".txt",), (".json", ".txt")], ids="".join)
def test_spoilt_files(suffixes: tuple[str, ...], content: bytes, minute: Project) -> None:
    """An empty or garbled `.json` or `.txt` counts as absent: it is made anew, and the minute stored."""
    (minute.root / DAY).mkdir(parents=True)
    for suffix in suffixes:
        (minute.root / DAY / f"1205{suffix}").write_bytes(content)
    assert_stored(minute, minute.store(MINUTE))


@pytest.mark.one_in(2)
@pytest.mark.parametrize("suffix", [".json", ".txt"])
@pytest.mark.parametrize("content", SPOILT.values(), ids=SPOILT)
def test_a_file_that_is_spoilt_later(suffix: str, content: bytes, minute: Project) -> None:
    """A `.json` or `.txt` that is garbled when its picture is still to come is made anew, and so is what follows from it."""
    run = minute.store(MINUTE)
    (minute.root / DAY / "1205.jpg").unlink()
    (minute.root / DAY / f"1205{suffix}").write_bytes(content)
    assert_stored(minute, run, minute.store(MINUTE))


@pytest.mark.one_in(6)
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


def in_the_way(kind: str, path: Path) -> None:
    """Put something that is no file there, with something precious in it if it is a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{(folder := os.open(path.parent, os.O_RDONLY))}/{path.name}")
            os.close(folder)
    elif kind == "a link to nothing":
        path.symlink_to("nothing")
    else:
        path.mkdir()
        (path / "precious").touch()


NEEDED = [f"{DAY}/1205.json", f"{DAY}/1205.txt", f"{DAY}/1205.jpg", f"{DAY}/given", "quota", "pruned-before"]
OTHERS = [f"{DAY}/1205.error", f"{DAY}/thumb/1205.jpg", f"{DAY}/12.js", "latest.jpg", "index.html", "newest.js", "calendar.js"]


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", [*NEEDED, *OTHERS, DAY])
@pytest.mark.parametrize("kind", ["pipe", "socket", "a link to nothing", "folder"])
def test_no_file_where_a_file_should_be(kind: str, name: str, minute: Project) -> None:
    """It never hangs a run: either the minute is stored all the same, or the run ends at once and names what is in the way."""
    if (kind, name) == ("folder", DAY):
        pytest.skip("a day is a folder")
    path = minute.root / name
    in_the_way(kind, path)
    run = processes.ended(processes.start(minute), seconds=60)
    assert run.returncode in (0, 30)
    assert "Traceback" not in run.stderr
    if run.returncode:
        assert name in NEEDED or name == DAY
        assert run.stderr.count("started") <= 3
        assert f"data/{name}" in run.stderr
    else:
        assert f"StoreImage {MINUTE} done" in run.stderr
    if kind == "folder":
        assert (path / "precious").exists()
        shutil.rmtree(path)
    elif not path.is_file():
        path.unlink(missing_ok=True)
    again = minute.store(MINUTE)
    assert again.returncode == 0, again.stderr
    assert {f"{DAY}/1205.json", f"{DAY}/1205.txt", f"{DAY}/1205.jpg"} <= minute.files()
    processes.assert_key_is_nowhere(minute, run, again)
