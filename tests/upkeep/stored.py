"""Minutes that are stored: what the tests of upkeep put into ROOT, and look for there."""

import functools
import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

from pipeline import minutes, sandbox, unsplash
from pipeline.archive import Archive

MINUTE = datetime(2024, 2, 29, 12, 5)
ALL = {"json", "txt", "jpg", "thumb"}
DAY = timedelta(days=1)


def files(archive: Archive, minute: datetime) -> dict[str, Path]:
    """Return where each of a minute's files is, by what it is."""
    paths = {kind: archive.local_path(minute).with_suffix(f".{kind}") for kind in ("json", "txt", "jpg", "error")}
    return {**paths, "thumb": paths["jpg"].parent / "thumb" / paths["jpg"].name}


def there(archive: Archive, minute: datetime) -> set[str]:
    """Return which of a minute's files there are."""
    return {kind for kind, path in files(archive, minute).items() if path.exists()}


def put(archive: Archive, *others: datetime) -> None:
    """Give other minutes the picture of MINUTE, with metadata of their own."""
    source = files(archive, MINUTE)
    for minute in others:
        for kind, path in files(archive, minute).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind in ALL:
                shutil.copy(source[kind], path)
        photo = json.loads(source["json"].read_text())
        photo["pipeline"]["minute"] = minutes.name(minute)
        files(archive, minute)["json"].write_text(json.dumps(photo))


def keep(archive: Archive, minute: datetime) -> None:
    """Keep a picture and its metadata, as a run does."""
    photo_id = f"{minute:%y%m%d-%H%M}"
    photo: unsplash.Photo = json.loads(sandbox.Sandbox().answer(f"/photos/{photo_id}", {"Authorization": "Client-ID key"}).body)
    credit = unsplash.credit(photo, "picture_a_minute")
    photo["pipeline"] = {"topic": "art", "minute": minutes.name(minute), "fetched_at": "2026-11-23T12:05:00Z", "credit": credit}
    archive.file_photos({minute: photo}, ["art"])
    archive.put_picture(minute, photo, _drawing())


@functools.cache
def _drawing() -> bytes:
    return sandbox.drawing("abcdefghijk", 240)


def days_ago(number: int) -> datetime:
    """Return the first minute of the day so many days ago: today's is over at any time."""
    return minutes.present_minute().replace(hour=0, minute=0) - number * DAY
