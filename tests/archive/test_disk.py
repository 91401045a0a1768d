"""Files on a disk: how they take their place, what a killed run leaves, and what lies in the place of a file."""

import errno
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import luigi
import pytest

from pipeline import minutes
from pipeline.archive import Archive
from pipeline.errors import NameTaken, RootUnusable, StorageFailed
from pipeline.minutes import MINUTE
from tests.archive.samples import MIDDAY, TOPICS, put_picture
from tests.support.photos import photo

SECONDS = 20


def folder(disk: Archive) -> Path:
    """Return the folder of the archive, which is made."""
    root = Path(disk.files.path(""))
    root.mkdir(exist_ok=True)
    return root


def all_files(disk: Archive) -> set[str]:
    """Return the names of all files, those under temporary names too."""
    return {path.relative_to(folder(disk)).as_posix() for path in folder(disk).rglob("*") if not path.is_dir()}


def leftover(name: str, hours: float) -> str:
    """Return the name under which a run of so many hours ago wrote a file."""
    return f".{name}.{time.time_ns() - int(hours * 3600e9):016x}-4d2"


def test_targets_are_luigi_s(disk: Archive) -> None:
    """Other tasks may read a minute's targets as any local ones of Luigi's."""
    disk.file_photos({MIDDAY: photo("a")}, TOPICS)
    disk.put_address(MIDDAY, "https://images.unsplash.com/photo-a")
    target = disk.address_target(MIDDAY)
    assert isinstance(target, luigi.LocalTarget)
    with target.open() as file:
        assert file.read() == "https://images.unsplash.com/photo-a\n"


def test_a_failed_write_leaves_nothing(disk: Archive) -> None:
    """A file takes its place only when its condition holds; what was written under another name goes."""

    def fail() -> bool:
        assert len(all_files(disk)) == 1  # under another name, whole
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        disk.files.put("2026-11-23/1205.jpg", b"a picture", only_if=fail)
    assert not disk.files.put("2026-11-23/1205.jpg", b"a picture", only_if=lambda: False)
    assert all_files(disk) == set()


def test_each_file_is_flushed_when_it_is_written(disk: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is on the disk before it has its name, and its folder after, both before the call is over."""
    calls: list[str] = []
    flush, replace = os.fsync, os.replace

    def noted_flush(descriptor: int) -> None:
        calls.append("flush a folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "flush a file")
        flush(descriptor)

    def noted_replace(source: str, target: str) -> None:
        calls.append("rename")
        replace(source, target)

    put_picture(disk, MIDDAY)  # makes the folders
    monkeypatch.setattr(os, "fsync", noted_flush)
    monkeypatch.setattr(os, "replace", noted_replace)
    written = ["flush a file", "rename", "flush a folder"]
    put_picture(disk, MIDDAY)
    assert calls == written
    disk.files.put("2026-11-23/1206.json", b"{}")
    assert calls == 2 * written
    disk.files.update("2026-11-23/given", lambda content: b"1205 a\n")
    assert calls == 3 * written
    disk.files.update("2026-11-23/given", lambda content: content)
    assert calls == 3 * written


def test_a_trial_that_fails_leaves_nothing(disk: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written to try the disk out is removed, also where its folder cannot be flushed."""
    put_picture(disk, MIDDAY)  # makes the folders
    before, flush = all_files(disk), os.fsync

    def failing_flush(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", failing_flush)
    with pytest.raises(StorageFailed):
        disk.try_filing(MIDDAY, 1)
    assert all_files(disk) == before


def test_the_lock_keeps_two_runs_apart(disk: Archive) -> None:
    """While one run decides and renames, another one waits."""
    entered, leave, order = threading.Event(), threading.Event(), []

    def hold() -> None:
        with disk.files.lock(""):
            entered.set()
            leave.wait(SECONDS)
            order.append("first")

    def follow() -> None:
        with disk.files.lock(""):
            order.append("second")

    threads = [threading.Thread(target=hold), threading.Thread(target=follow)]
    threads[0].start()
    entered.wait(SECONDS)
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join(SECONDS)
    assert order == ["first", "second"]


def test_leftovers_go_once_they_are_old(tmp_path: Path) -> None:
    """What a killed run left beside a file goes with a later run's first write there, after an hour and not before."""
    day, old, new = tmp_path / "2026-11-23", leftover("1205.jpg", 1.1), leftover("1205.jpg", 0.9)
    day.mkdir()
    (day / old).touch()
    (day / new).touch()
    archive = Archive(tmp_path)
    assert archive.leftovers() == {f"2026-11-23/{old}": 0}
    put_picture(archive, MIDDAY)
    assert {path.name for path in day.iterdir()} == {"1205.jpg", new}
    assert archive.outcomes_of(MIDDAY.date()) == ([MIDDAY], [])


def test_what_looks_like_a_leftover_and_is_none(tmp_path: Path) -> None:
    """Other hidden files, a folder of such a name, and what a link of it leads to, are left alone, and stop nothing."""
    day, old = tmp_path / "2026-11-23", leftover("1205.jpg", 48)
    (day / old).mkdir(parents=True)
    strange = [day / name for name in (".hidden", ".1205.jpg.0123456789abcdef", old[1:], f"{old[:-4]}-xyz", ".1205.jpg.swp")]
    strange += [day / old / "precious", tmp_path / "precious"]
    for path in strange:
        path.touch()
        os.utime(path, (0, 0))
    (day / leftover("1206.jpg", 48)).symlink_to(tmp_path / "precious")
    real = day / leftover("1207.jpg", 48)
    real.touch()
    put_picture(Archive(tmp_path), MIDDAY)
    assert all(path.exists() for path in strange)
    assert not real.exists()


def test_latest_is_a_file_of_its_own(disk: Archive) -> None:
    """Who edits latest.jpg does not edit the archive."""
    put_picture(disk, MIDDAY)
    disk.publish_latest(MIDDAY, b"a picture")
    latest, picture = folder(disk) / "latest.jpg", folder(disk) / "2026-11-23/1205.jpg"
    assert not latest.is_symlink()
    assert not latest.samefile(picture)
    latest.write_text("edited")
    assert picture.read_text() == "a picture"


def test_a_root_that_is_a_file_is_said(tmp_path: Path) -> None:
    """Where nothing can be stored, no other try can help."""
    (tmp_path / "data").touch()
    with pytest.raises((RootUnusable, NameTaken), match="data"):
        put_picture(Archive(tmp_path / "data"), MIDDAY)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.getcwd()
        os.chdir(path.parent)  # the address of a socket is short
        try:
            listener.bind(path.name)
        finally:
            os.chdir(before)


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "precious").touch()


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def bounded(work: Callable[[], object]) -> "str | None":
    """Do the work in a thread; fail if it hangs, and return what it says if it fails by name."""
    said: list[str | None] = []

    def do() -> None:
        try:
            work()
            said.append(None)
        except (RootUnusable, NameTaken) as error:
            said.append(str(error))

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert said, "it hangs, or fails without a name"
    return said[0]


STRANGE = pytest.mark.parametrize("strange", [a_pipe, a_socket, a_folder, a_link_to_nothing, a_link_to_itself])


@STRANGE
@pytest.mark.parametrize("name", ["1205.json", "1205.txt", "1205.jpg", "1205.error", "given", "12.js"])
def test_what_is_no_file_in_the_place_of_one(strange: Callable[[Path], None], name: str, disk: Archive) -> None:
    """It is never waited for: what asks for it finds nothing there, or says its name."""
    path = folder(disk) / "2026-11-23" / name
    path.parent.mkdir()
    strange(path)
    of_ours = f"2026-11-23/{name}"
    for work in (
        lambda: disk.files.get(of_ours),
        lambda: disk.files.put(of_ours, b"content", lambda: True),
        lambda: disk.files.update(of_ours, lambda content: b"more content"),
        lambda: disk.files.put(of_ours, b"content"),
    ):
        said = bounded(work)
        assert said is None or name in said
    if strange is a_folder:
        assert (path / "precious").exists()
    assert disk.leftovers() == {}
    assert [each for each in all_files(disk) if "/." in each] == []


@STRANGE
@pytest.mark.parametrize("name", ["1205.json", "1205.txt", "1205.jpg", "1205.error", "given"])
def test_what_is_no_file_counts_as_absent(strange: Callable[[Path], None], name: str, disk: Archive) -> None:
    """A minute with such a thing in the place of a file lacks that file."""
    path = folder(disk) / "2026-11-23" / name
    path.parent.mkdir()
    strange(path)
    put_picture(disk, MIDDAY + MINUTE)
    day = MIDDAY.date()

    def looks() -> None:
        assert disk.missing(MIDDAY, MIDDAY + 2 * MINUTE) == [MIDDAY]
        assert disk.newest() == disk.first() == MIDDAY + MINUTE
        assert not disk.has_picture(MIDDAY) and not disk.content(MIDDAY, ".jpg")
        assert disk.outcomes_of(day)[0] == [MIDDAY + MINUTE]
        assert disk.minutes_with(".error", MIDDAY, MIDDAY) == []

    said = bounded(looks)
    assert said is None or name in said
    said = bounded(lambda: [disk.photo(MIDDAY), disk.address(MIDDAY), disk.has_photo(MIDDAY, TOPICS)])
    assert said is None or name in said
    said = bounded(lambda: disk.give("a", [MIDDAY], 30))
    assert said is None or name in said


@STRANGE
@pytest.mark.parametrize("name", ["quota", "pruned-before", "latest.jpg", "index.html", "2026-11-23"])
def test_what_is_no_file_in_root(strange: Callable[[Path], None], name: str, disk: Archive) -> None:
    """ROOT's own files, and a day: a run that meets a strange thing there goes on, or ends with its name."""
    strange(folder(disk) / name)
    yesterday = minutes.present_minute() - 1440 * MINUTE
    for work in (
        lambda: disk.quota(),
        lambda: disk.pruned_before(),
        lambda: disk.files.get("index.html"),
        lambda: disk.missing(MIDDAY, MIDDAY + MINUTE),
        lambda: disk.days(),
        lambda: disk.newest(),
        lambda: put_picture(disk, MIDDAY),
        lambda: disk.give("a", [MIDDAY], 30),
        lambda: put_picture(disk, yesterday),
        lambda: disk.publish_latest(yesterday, b"a picture"),
        lambda: disk.give("a", [yesterday], 30),
        lambda: disk.files.put("index.html", b"content"),
    ):
        said = bounded(work)
        assert said is None or name in said
    assert disk.newest() == yesterday
