"""Names: only what has a name of ours is counted, changed or removed; all else in ROOT is the user's."""

from collections.abc import Callable
from datetime import date, datetime

import pytest

from pipeline.archive import Archive, names
from pipeline.minutes import MINUTE
from tests.archive.samples import MIDDAY, put_picture

DAY = MIDDAY.date()
STRANGERS = [
    "1201 (1).jpg",
    "sunset.jpg",
    "2500.jpg",
    "1260.jpg",
    "12055.jpg",
    "205.jpg",
    "1205.jpeg",
    "1205.JPG",
    "1205.jpg~",
    "1205.jpg.bak",
    "copy of 1205.jpg",
    "1205.json.orig",
    "1205.error.txt",
    "1205",
    "١٢٠٥.jpg",
    "given.bak",
    "Given",
    "notes.txt",
    "24.js",
    "12.json",
    "index.htm",
    "favourites/1205.jpg",
    "thumb/sunset.jpg",
    "thumb/1205.json",
    "thumb/1205 (1).jpg",
]
SUFFIXES = (".json", ".txt", ".jpg", ".error")
STRANGE_DAYS = ["25xx", "2026-11-31", "20261123", "2026-W48-1", "2026-1-3", "26-11-23", "2026-11-23 copy", "holiday", "demo"]


@pytest.mark.parametrize("name", [*STRANGERS, "1205.jpg\n", "12.js\n", "given\n"])
def test_a_name_of_the_user_s(name: str) -> None:
    """It is the name of no minute, nor of another file of a day."""
    folder, _, own = name.rpartition("/")
    assert folder == "favourites" or not names.kind_of(DAY, f"2026-11-23/{folder}".rstrip("/"), own)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("minute", [datetime(2026, 11, 23, 0, 0), MIDDAY, datetime(2026, 11, 23, 23, 59)])
def test_a_name_of_ours(suffix: str, minute: datetime) -> None:
    """A minute's files are known by the names that they are given."""
    folder, _, name = names.file_name(minute, suffix).partition("/")
    assert names.days_of([folder]) == [minute.date()]
    assert names.minute_of(DAY, name) == minute
    assert name == f"{minute:%H%M}{suffix}"


@pytest.mark.parametrize("folder", STRANGE_DAYS)
def test_a_folder_of_the_user_s(folder: str) -> None:
    """It is no day."""
    assert names.days_of([folder]) == []


def test_days_of_any_year() -> None:
    """A day is a folder as it is written, and nothing else that could be read as one."""
    for day in (date.min, date(2026, 2, 28), date.max):
        assert names.days_of([day.isoformat()]) == [day]


def test_strangers_are_not_counted(archive: Archive, file_names: Callable[[], set[str]]) -> None:
    """With a user's files all over ROOT the archive's answers are those of its own files alone."""
    put_picture(archive, MIDDAY)
    archive.files.put("2026-11-23/1206.error", b"2026-11-23T12:06:00Z StoreImage: a reason\n")
    for name in STRANGERS:
        archive.files.put(f"2026-11-23/{name}", b"precious")
    for folder in STRANGE_DAYS:
        archive.files.put(f"{folder}/1207.jpg", b"precious")
    before = file_names()
    day = [MIDDAY.replace(hour=0, minute=0) + number * MINUTE for number in range(1440)]
    assert archive.days() == [DAY]
    assert archive.minutes_with(".jpg", day[0], day[-1]) == archive.complete(day) == [MIDDAY]
    assert archive.minutes_with(".error", day[0], day[-1]) == [MIDDAY + MINUTE]
    assert archive.outcomes_of(DAY) == ([MIDDAY], [MIDDAY + MINUTE])
    assert archive.newest() == archive.first() == MIDDAY
    assert archive.ahead() == []
    assert len(archive.missing(day[0], day[-1] + MINUTE)) == 1439
    assert {file.name for file in archive.files_of(DAY)} == {"2026-11-23/1205.jpg", "2026-11-23/1206.error"}
    assert archive.leftovers() == {}
    assert file_names() == before


def test_strangers_are_not_removed(archive: Archive, file_names: Callable[[], set[str]]) -> None:
    """What the archive removes of a minute, and of empty folders, leaves everything of the user's."""
    for suffix in SUFFIXES:
        archive.files.put(names.file_name(MIDDAY, suffix), b"ours")
    archive.put_thumbnail(MIDDAY, b"ours")
    for name in STRANGERS:
        archive.files.put(f"2026-11-23/{name}", b"precious")
    archive.remove_failing(MIDDAY, lambda: ([".jpg", ".txt", ".json"], "a reason"))
    archive.forget_failure(MIDDAY)
    archive.remove_empty(DAY)
    assert file_names() == {f"2026-11-23/{name}" for name in STRANGERS}
