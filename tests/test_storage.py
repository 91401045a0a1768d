"""Files: where they are, when they count, and how they take their place."""

import json
import os
import stat
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipeline.disk import LITTER_SECONDS, locked
from pipeline.errors import PhotoReplaced, RootUnusable
from pipeline.minutes import MINUTE
from pipeline.storage import Store
from tests import s3 as servers

moto, swift, s3_server = servers.moto, servers.swift, servers.s3_server
proxy, s3, bucket = servers.proxy, servers.s3, servers.bucket

MIDDAY = datetime(2026, 11, 23, 12, 5)


def photo(photo_id: str) -> dict[str, object]:
    """Return what is filed for a photo, as far as the store looks at it."""
    address = f"https://images.unsplash.com/photo-{photo_id}"
    return {"id": photo_id, "urls": {"regular": address}, "pipeline": {"credit": {"text": "Photo by A on Unsplash"}}}


@pytest.fixture
def disk(tmp_path: Path) -> Store:
    return Store(tmp_path / "data")


@pytest.fixture(params=["disk", "bucket"])
def store(request: pytest.FixtureRequest) -> Store:
    """A store on a disk, and one in a bucket: a minute's files mean the same on both."""
    store: Store = request.getfixturevalue(request.param)
    return store


def names(store: Store) -> set[str]:
    return set(store.files.listing_below(""))


def test_the_files_of_a_minute(store: Store) -> None:
    """The paths are those of the contract."""
    files = (store.metadata(MIDDAY), store.address(MIDDAY), store.picture(MIDDAY), store.failure(MIDDAY))
    assert [file.path.removeprefix(f"{store.files.path('')}/") for file in files] == [
        "2026-11-23/1205.json",
        "2026-11-23/1205.txt",
        "2026-11-23/1205.jpg",
        "2026-11-23/1205.error",
    ]


def test_an_empty_file_is_absent(store: Store) -> None:
    """What a power cut may leave of other programs' files does not count."""
    for target in (store.metadata(MIDDAY), store.address(MIDDAY), store.picture(MIDDAY)):
        store.write(target.name, b"")
        assert not target.exists()


@pytest.mark.parametrize("content", [b"{", b"[]", b"null", b"\xff", b"{}", b'{"id": "a", "urls": {}}', b"[" * 100_000])
def test_garbled_metadata_is_absent_and_replaced(store: Store, content: bytes) -> None:
    """Metadata that cannot be read counts as absent, and the next answer takes its place."""
    store.write(store.metadata(MIDDAY).name, content)
    assert list(store.open_minutes([MIDDAY])) == [MIDDAY]
    store.file_photos({MIDDAY: photo("a")})
    assert store.metadata(MIDDAY).read()["id"] == "a"


def test_the_first_answer_wins(store: Store) -> None:
    """A minute's photo is never replaced once it stands, nor given to a minute that has its picture."""
    store.file_photos({MIDDAY: photo("a")})
    store.file_photos({MIDDAY: photo("b")})
    assert store.metadata(MIDDAY).read()["id"] == "a"
    store.picture(MIDDAY + MINUTE).write("a picture")
    store.file_photos({MIDDAY + MINUTE: photo("c")})
    assert not store.metadata(MIDDAY + MINUTE).exists()


def test_an_address_counts_only_with_its_photo(store: Store) -> None:
    """The address of another photo, or of one whose metadata is gone, counts as absent."""
    store.file_photos({MIDDAY: photo("a")})
    store.address(MIDDAY).write("https://images.unsplash.com/photo-a\n")
    assert store.address(MIDDAY).exists()
    for other in ("https://images.unsplash.com/photo-b\n", "\0\0\0\n", "https://images.unsplash.com/photo-a\nmore\n"):
        store.address(MIDDAY).write(other)
        assert not store.address(MIDDAY).exists()
    store.address(MIDDAY).write("https://images.unsplash.com/photo-a\n")
    store.files.remove([store.metadata(MIDDAY).name])
    assert not store.address(MIDDAY).exists()


def test_a_photo_is_dropped_once(store: Store) -> None:
    """A photo that cannot be had goes with its address; one that took its place, or was stored, stays."""
    store.file_photos({MIDDAY: photo("a")})
    store.address(MIDDAY).write("https://images.unsplash.com/photo-a\n")
    store.drop_photo(MIDDAY, "b")
    assert store.address(MIDDAY).exists()
    store.drop_photo(MIDDAY, "a")
    assert names(store) == set()
    store.file_photos({MIDDAY: photo("c")})
    store.picture(MIDDAY).write("a picture")
    store.drop_photo(MIDDAY, "c")
    assert names(store) == {"2026-11-23/1205.json", "2026-11-23/1205.jpg"}


def test_a_failed_block_leaves_nothing(store: Store) -> None:
    """A file takes its place only when its block ends well and the condition holds."""
    with pytest.raises(ZeroDivisionError), store.picture(MIDDAY).replacing() as file:
        file.write(b"half a pic")
        raise ZeroDivisionError
    with pytest.raises(PhotoReplaced):
        store.picture(MIDDAY).write("a picture", only_if=lambda: False)
    assert names(store) == set()


def test_folders_are_flushed_once_a_block(disk: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside `flushed_together` every file is flushed before it has its name, and each folder once, at the end."""
    flushed: list[str] = []
    flush = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append("a folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "a file")
        flush(descriptor)

    disk.picture(MIDDAY).write("a picture")  # makes the folders
    monkeypatch.setattr(os, "fsync", noted)
    with disk.files.flushed_together():
        for number in range(3):
            disk.picture(MIDDAY + number * MINUTE).write("a picture")
        assert flushed == 3 * ["a file"]
    assert flushed == [*3 * ["a file"], "a folder"]
    disk.picture(MIDDAY).write("a picture")
    assert flushed[4:] == ["a file", "a folder"]


def test_what_is_written_together_waits(store: Store) -> None:
    """Addresses wait for the lent function or the end of the block, and those of another photo by then are let go."""
    minutes = [MIDDAY + number * MINUTE for number in range(3)]
    line = "https://images.unsplash.com/photo-a\n"
    store.file_photos(dict.fromkeys(minutes, photo("a")))
    with store.written_together() as write_waiting:
        store.address(minutes[0]).write(line, only_if=store.metadata(minutes[0]).exists)
        store.address(minutes[1]).write(line, only_if=store.metadata(minutes[1]).exists)
        assert not store.address(minutes[0]).exists()
        store.drop_photo(minutes[1], "a")
        write_waiting()
        assert store.address(minutes[0]).exists()
        store.address(minutes[2]).write(line)
    assert {name for name in names(store) if name.endswith(".txt")} == {"2026-11-23/1205.txt", "2026-11-23/1207.txt"}
    store.address(minutes[0]).write("another\n")
    assert store.files.read(store.address(minutes[0]).name) == b"another\n"


def test_the_lock_keeps_two_runs_apart(disk: Store) -> None:
    """While one run decides and renames, another one waits."""
    disk.files.local_path("").mkdir()
    entered, leave, order = threading.Event(), threading.Event(), []

    def hold() -> None:
        with locked(disk.files.path("")):
            entered.set()
            leave.wait(5)
            order.append("first")

    def follow() -> None:
        with locked(disk.files.path("")):
            order.append("second")

    threads = [threading.Thread(target=hold), threading.Thread(target=follow)]
    threads[0].start()
    entered.wait(5)
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join()
    assert order == ["first", "second"]


def test_litter_is_cleared_once_it_is_old(disk: Store) -> None:
    """What a killed run left is removed by a later one after an hour, not before."""
    folder = disk.files.local_path("") / ".tmp"
    folder.mkdir(parents=True)
    for name, age in (("old", LITTER_SECONDS + 60), ("new", 60)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age,) * 2)
    disk.picture(MIDDAY).write("a picture")
    assert names(disk) == {"2026-11-23/1205.jpg", ".tmp/new"}


def test_latest_never_moves_back(store: Store) -> None:
    """latest.jpg is the newest minute's picture, whatever order they are stored in."""
    shown = []
    for late in (5, 7, 6, 7, 8):
        minute = MIDDAY.replace(minute=late)
        store.picture(minute).write(f"picture {late}")
        store.publish_latest(minute)
        shown.append(store.files.read("latest.jpg"))
    assert shown == [b"picture 5", b"picture 7", b"picture 7", b"picture 7", b"picture 8"]


def test_latest_without_hard_links(disk: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file system has no hard links latest.jpg is a copy."""

    def refuse(*paths: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    disk.picture(MIDDAY).write("a picture")
    disk.publish_latest(MIDDAY)
    assert (disk.files.local_path("") / "latest.jpg").read_text() == "a picture"
    assert names(disk) == {"2026-11-23/1205.jpg", "latest.jpg"}


def test_a_root_that_is_a_file_is_said(tmp_path: Path) -> None:
    """Where nothing can be stored, no other try can help."""
    (tmp_path / "data").touch()
    with pytest.raises(RootUnusable, match="data"):
        Store(tmp_path / "data").picture(MIDDAY).write("a picture")


def test_given_photos_are_remembered_for_so_many_days(store: Store) -> None:
    """A photo counts as given within so many days before and after, and for 0 days never."""
    store.note_given({MIDDAY: "a", MIDDAY + timedelta(days=1): "b"})
    store.note_given({MIDDAY + MINUTE: "c"})
    assert store.given_photos("abcd", MIDDAY, 30) == {"a", "b", "c"}
    assert store.given_photos("abcd", MIDDAY + timedelta(days=31), 30) == {"b"}
    assert store.given_photos("abcd", MIDDAY - timedelta(days=31), 30) == set()
    assert store.given_photos("abcd", MIDDAY, 0) == set()


def test_missing_minutes(store: Store) -> None:
    """What is missing is found by day folders, across midnight, from start to before stop."""
    start = datetime(2026, 11, 23, 23, 58)
    for minute in (start, start + 3 * MINUTE):
        store.picture(minute).write("a picture")
    assert store.missing_minutes(start, start + 5 * MINUTE) == [start + MINUTE, start + 2 * MINUTE, start + 4 * MINUTE]
    assert store.missing_minutes(start, start + MINUTE) == store.missing_minutes(start, start) == []
    assert store.complete(iter([start, start + MINUTE, start + 3 * MINUTE])) == [start, start + 3 * MINUTE]
    assert store.oldest_minute() == start


def test_what_was_let_go_is_not_missing(store: Store) -> None:
    """Minutes before ROOT/pruned-before count as complete; a file that names no day is said, not passed over."""
    start = datetime(2026, 11, 22, 23, 58)
    store.write("pruned-before", b"2026-11-23\n")
    assert store.missing_minutes(start, start + 4 * MINUTE) == [start + 2 * MINUTE, start + 3 * MINUTE]
    assert store.complete([start, start + 3 * MINUTE]) == [start]
    store.write("pruned-before", b"yesterday\n")
    with pytest.raises(RootUnusable, match="pruned-before"):
        store.missing_minutes(start, start + MINUTE)


def test_metadata_survives_the_way_to_the_disk(store: Store) -> None:
    """The photo is kept as the API gave it, whatever characters it has."""
    given = {**photo("a"), "description": "Ramsés 見本 \ud800", "width": 1e3, "extra": [None, True]}
    store.file_photos({MIDDAY: given})
    assert store.metadata(MIDDAY).read() == given
    assert json.loads(store.files.read(store.metadata(MIDDAY).name).decode("ascii")) == given
