"""How the pipeline does, for people, programs and health checks."""

import argparse
import contextlib
import json
import os
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from pipeline import minutes, quota, settings
from pipeline.gallery import newest_minute
from pipeline.storage import Store, failing_clearly

TOO_OLD = 1
DAY = timedelta(days=1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `python -m pipeline status`."""
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.add_argument(
        "--max-age",
        type=float,
        default=5,
        metavar="MINUTES",
        help=f"end with exit code {TOO_OLD} when the newest picture is older (default: 5)",
    )


def run(options: argparse.Namespace) -> int:
    """Print how the pipeline does; return TOO_OLD when the newest picture is older than allowed, or there is none."""
    found = status(settings.store())
    age = found["age_seconds"]
    is_old = age is None or age > 60 * options.max_age
    if options.json:
        print(json.dumps(found))
    else:
        print(_text(found), end="")
        if is_old:
            print(f"no picture for more than {options.max_age:g} minutes")
    return TOO_OLD if is_old else 0


def status(store: Store) -> dict[str, Any]:
    """Return how the pipeline does; the last 24 hours end before the present minute, and begin with the first picture at most.

    Bytes are those of the last 24 hours' files, and of the whole disk that ROOT is on: adding up a year of files takes minutes.
    """
    now, stop = datetime.now(timezone.utc).replace(tzinfo=None), minutes.present_minute()
    with failing_clearly():
        start = min(stop, max(stop - DAY, store.oldest_minute() or stop - DAY))
        newest, disk = newest_minute(store), shutil.disk_usage(_existing(store.root.absolute()))
        missing = store.missing_minutes(start, stop)
        failed = sum(store.failure(minute).exists() for minute in missing)
        written = _bytes(store, start, stop)
    reading = quota.reading_of_this_hour(store)
    return {
        "newest": minutes.name(newest) if newest else None,
        "age_seconds": round((now - newest).total_seconds()) if newest else None,
        "last_24_hours": {
            "stored": (stop - start) // minutes.MINUTE - len(missing),
            "missing": len(missing) - failed,
            "failed": failed,
            "bytes": written,
        },
        "quota": {"limit": reading.limit, "remaining": reading.remaining, "at": reading.at.isoformat()} if reading else None,
        "disk": {"total": disk.total, "used": disk.used, "free": disk.free},
    }


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return folder if folder.exists() else _existing(folder.parent)


def _bytes(store: Store, start: datetime, stop: datetime) -> int:
    """Return the size of the files of the minutes from start to before stop, at most a day later."""
    total = 0
    for day in {start.date(), stop.date()}:
        for folder in (store.root / day.isoformat(), store.root / day.isoformat() / "thumb"):
            with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
                for entry in entries:
                    name = entry.name[:4]
                    if name.isdecimal() and minutes.name(start) <= f"{day}T{name}" < minutes.name(stop):
                        total += entry.stat().st_size
    return total


def _text(found: dict[str, Any]) -> str:
    day, left, disk = found["last_24_hours"], found["quota"], found["disk"]
    newest = f"{found['newest']}, {_ago(found['age_seconds'])}" if found["newest"] else "none"
    counts = f"{day['stored']:,} stored, {day['failed']:,} failed, {day['missing']:,} missing"
    requests = f"{left['remaining']} of {left['limit']} requests left this hour" if left else "not known for this hour"
    room = f", room for {disk['free'] // day['bytes']:,} such days" if day["bytes"] else ""
    return (
        f"newest picture  {newest}\n"
        f"last 24 hours   {counts}, {_size(day['bytes'])}\n"
        f"quota           {requests}\n"
        f"disk            {_size(disk['used'])} used, {_size(disk['free'])} of {_size(disk['total'])} free{room}\n"
    )


def _ago(seconds: int) -> str:
    units = (("days", 86400), ("hours", 3600), ("minutes", 60), ("seconds", 1))
    unit, length = next((each for each in units if abs(seconds) >= 2 * each[1]), units[-1])
    return f"{abs(seconds) // length} {unit} {'ago' if seconds >= 0 else 'ahead of the clock'}"


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
