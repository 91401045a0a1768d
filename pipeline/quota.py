"""The key's requests of this hour: what is known of them, and whether one may go to a download event."""

import json
from datetime import datetime, timezone
from typing import NamedTuple

from pipeline import unsplash
from pipeline.storage import Store


class Reading(NamedTuple):
    """What an answer of the API said of the quota, and when."""

    limit: int
    remaining: int
    at: datetime


def note(store: Store, quota: unsplash.Quota | None) -> None:
    """Keep what the last answer said."""
    if quota:
        reading = {
            "limit": quota.limit,
            "remaining": quota.remaining,
            "at": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        }
        store.write("quota", json.dumps(reading).encode() + b"\n")


def reading_of_this_hour(store: Store) -> Reading | None:
    """Return what is known of the present hour: the quota is counted by the clock hour, so older figures say nothing."""
    now = datetime.now(timezone.utc)
    try:
        kept = json.loads(store.files.read("quota"))
        reading = Reading(int(kept["limit"]), int(kept["remaining"]), datetime.fromisoformat(kept["at"].replace("Z", "+00:00")))
        return reading if reading.at.replace(minute=0, second=0) == now.replace(minute=0, second=0, microsecond=0) else None
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def report_download(store: Store, client: unsplash.Unsplash, location: str, reserve: int) -> None:
    """Report a stored picture's download, unless the requests left are those reserved for metadata."""
    reading = reading_of_this_hour(store)
    if not reading or reading.remaining > reserve:
        try:
            client.report_download(location)
        finally:
            note(store, client.quota)
