"""How the pipeline does, for people, programs and health checks."""

import argparse
import json
from datetime import datetime, timedelta, timezone
from pathlib import PurePosixPath
from typing import Any

from pipeline import minutes, quota, settings
from pipeline.storage import Store

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

    Bytes are those of the last 24 hours' files, and of the whole disk if ROOT is on one: adding up a year takes minutes.
    """
    now, stop = datetime.now(timezone.utc).replace(tzinfo=None), minutes.present_minute()
    start = min(stop, max(stop - DAY, store.oldest_minute() or stop - DAY))
    newest, disk = store.newest_minute(), store.files.usage()
    missing = store.missing_minutes(start, stop)
    failed, written = len(store.failed(missing)), _bytes(store, start, stop)
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
        "disk": disk,
    }


def _bytes(store: Store, start: datetime, stop: datetime) -> int:
    """Return the size of the files of the minutes from start to before stop, at most a day later."""
    total = 0
    for day in {start.date(), stop.date()}:
        sizes = store.files.listing_below(day.isoformat())
        for name in sizes:
            time = PurePosixPath(name).name[:4]
            if time.isdecimal() and minutes.name(start) <= f"{day}T{time}" < minutes.name(stop):
                total += sizes[name]
    return total


def _text(found: dict[str, Any]) -> str:
    day, left, disk = found["last_24_hours"], found["quota"], found["disk"]
    newest = f"{found['newest']}, {_ago(found['age_seconds'])}" if found["newest"] else "none"
    counts = f"{day['stored']:,} stored, {day['failed']:,} failed, {day['missing']:,} missing"
    requests = f"{left['remaining']} of {left['limit']} requests left this hour" if left else "not known for this hour"
    room = f", room for {disk['free'] // day['bytes']:,} such days" if disk and day["bytes"] else ""
    free = f"{_size(disk['used'])} used, {_size(disk['free'])} of {_size(disk['total'])} free{room}" if disk else ""
    return (f"newest picture  {newest}\nlast 24 hours   {counts}, {_size(day['bytes'])}\nquota           {requests}\n") + (
        f"disk            {free}\n" if disk else ""
    )


def _ago(seconds: int) -> str:
    units = (("days", 86400), ("hours", 3600), ("minutes", 60), ("seconds", 1))
    unit, length = next((each for each in units if abs(seconds) >= 2 * each[1]), units[-1])
    return f"{abs(seconds) // length} {unit} {'ago' if seconds >= 0 else 'ahead of the clock'}"


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
