"""The names of the archive's files below ROOT: only what has such a name is this project's, and all else is the user's."""

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime
from datetime import time as time_of_day

# No name of this project's comes after it.
LAST = "~"
LATEST, QUOTA, PRUNED_BEFORE = "latest.jpg", "quota", "pruned-before"
# What the user has chosen: lines of a minute and the id of its photo.
KEPT, BANNED = "kept", "banned"

LEFTOVER_NANOSECONDS = 3600 * 10**9

_TEMPORARY = re.compile(r"\.[^/]+\.([0-9a-f]{16})-[0-9a-f]+", re.ASCII)
_OF_A_MINUTE = re.compile(r"([01]\d|2[0-3])([0-5]\d)(\.json|\.txt|\.jpg|\.error)", re.ASCII)
# A day's page of version 1.0, and the page's data of an hour.
_PAGE_OF_A_DAY = re.compile(r"index\.html|([01]\d|2[0-3])\.js", re.ASCII)


def file_name(minute: datetime, suffix: str) -> str:
    """Return the name of a minute's file, as `2026-11-23/1205.jpg`."""
    return f"{minute.date()}/{minute:%H%M}{suffix}"


def thumbnail_name(minute: datetime) -> str:
    """Return the name of a minute's thumbnail, as `2026-11-23/thumb/1205.jpg`."""
    return f"{minute.date()}/thumb/{minute:%H%M}.jpg"


def hour_name(hour: datetime) -> str:
    """Return the name of the page's data of an hour, as `2026-11-23/12.js`."""
    return f"{hour.date()}/{hour:%H}.js"


def temporary_name(name: str) -> str:
    """Return a name under which the file is written, until it takes its own."""
    return f".{name}.{time.time_ns():016x}-{os.getpid():x}"


def is_leftover(name: str) -> bool:
    """Tell whether a killed run left the file: it has the name of a temporary one, and is older than any run."""
    found = _TEMPORARY.fullmatch(name)
    return found is not None and int(found[1], 16) < time.time_ns() - LEFTOVER_NANOSECONDS


def days_of(folders: Iterable[str]) -> list[date]:
    """Return the days that have one of the folders, in order; other folders are the user's."""
    days = []
    for folder in folders:
        with suppress(ValueError):
            if str(day := date.fromisoformat(folder)) == folder:  # fromisoformat reads other forms too
                days.append(day)
    return sorted(days)


def minute_of(day: date, name: str) -> datetime | None:
    """Return the minute that a file of the day's folder is of; None for another file."""
    found = _OF_A_MINUTE.fullmatch(name)
    return datetime.combine(day, time_of_day(int(found[1]), int(found[2]))) if found else None


def kind_of(day: date, folder: str, name: str) -> str:
    """Return what a file of a day's folder, or of its thumbnails, is; nothing if it is the user's."""
    if folder.endswith("/thumb"):
        return "thumbnails" if minute_of(day, name) and name.endswith(".jpg") else ""
    if minute_of(day, name):
        return "pictures" if name.endswith(".jpg") else "texts"
    return "pages" if _PAGE_OF_A_DAY.fullmatch(name) else "given" if name == "given" else ""
