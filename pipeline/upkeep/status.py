"""How the pipeline does, for people, programs and health checks."""

from datetime import datetime, timedelta, timezone
from typing import Any

from pipeline import configuration, minutes
from pipeline.archive import Archive
from pipeline.errors import BadSettings

DAY = timedelta(days=1)
ENOUGH_FOR_A_FORECAST = 720  # minutes


def status(archive: Archive) -> dict[str, Any]:
    """Return how the pipeline does, as JSON has it.

    The last 24 hours end before the present minute, and do not begin before the first picture: without one none is missing.
    """
    now, stop = datetime.now(timezone.utc).replace(tzinfo=None), minutes.present_minute()
    first, pruned_before = archive.first(), archive.pruned_before()
    start = min(stop, max(stop - DAY, first or stop))
    missing, newest, quota = archive.missing(start, stop), archive.newest(), archive.quota()
    failed = len(set(missing).intersection(archive.minutes_with(".error", start, stop)))
    files = (file for day in {start.date(), stop.date()} for file in archive.files_of(day))
    return {
        "luigi_cfg": configuration.files(),
        "root": archive.root,
        "first": minutes.name(first) if first else None,
        "newest": minutes.name(newest) if newest else None,
        "age_seconds": round((now - newest).total_seconds()) if newest else None,
        "ahead": [minutes.name(minute) for minute in archive.ahead()],
        "last_24_hours": {
            "stored": (stop - start) // minutes.MINUTE - len(missing),
            "missing": len(missing) - failed,
            "failed": failed,
            "bytes": sum(file.size for file in files if file.minute and start <= file.minute < stop),
        },
        "quota": {**quota._asdict(), "at": quota.at.replace("Z", "+00:00")} if quota else None,
        "disk": archive.usage(),
        "conditions": archive.conditions() or None,
        "pruned_before": minutes.name(pruned_before) if pruned_before != datetime.min else None,
    }


def before_first(first: datetime | None, since: datetime) -> str:
    """Return what is to be said where minutes since then lie before the first picture; nothing where none do."""
    if first and first <= since:
        return ""
    begin = f"before the first picture, {minutes.name(first)}," if first else "before a first picture"
    return f"{begin} no minute counts as missing: catch-up --start {minutes.name(since)} stores these too"


def is_well(found: dict[str, Any], most_minutes: float) -> bool:
    """Tell whether the newest picture is not older than so many minutes, and none is ahead of the clock."""
    return found["newest"] is not None and found["age_seconds"] <= 60 * most_minutes and not found["ahead"]


def as_text(found: dict[str, Any], most_minutes: float) -> str:
    """Return how the pipeline does as lines for a person."""
    newest, age, quota, disk, ahead = (found[name] for name in ("newest", "age_seconds", "quota", "disk", "ahead"))
    first, pruned_before = (minutes.minute_in(found[name]) if found[name] else None for name in ("first", "pruned_before"))
    stored, missing, failed, length = (found["last_24_hours"][name] for name in ("stored", "missing", "failed", "bytes"))
    tried = f", {failed:,} of them failed" if failed else ""
    left = f"{quota['remaining']} of {quota['limit']} requests left this hour" if quota else "not known for this hour"
    lines = [
        f"newest picture  {newest}, {_ago(age)}" if newest else "newest picture  none",
        f"last 24 hours   {stored:,} stored, {missing + failed:,} missing{tried}, {_size(length)}",
        f"quota           {left}",
        f"pictures        {found['root']}",
        f"luigi.cfg       {found['luigi_cfg'][-1] if found['luigi_cfg'] else 'none'}",
    ]
    if disk:
        used, free, total = (_size(disk[part]) for part in ("used", "free", "total"))
        can_tell = length and stored >= ENOUGH_FOR_A_FORECAST
        room = f", room for {disk['free'] // length:,} such days" if can_tell else ""
        lines.append(f"disk            {used} used, {free} of {total} free{room}")
    if found["conditions"]:
        lines.append(f"bucket          {found['conditions']}: of two hosts that write a file at once, the last one wins")
    if note := before_first(first, max(minutes.present_minute() - DAY, pruned_before or datetime.min)):
        lines.append(note)
    if ahead:
        span = f"{ahead[0]} to {ahead[-1]}"
        lines.append(f"{len(ahead):,} pictures are ahead of the clock, {span}: the clock is wrong now, or was")
    if not newest or age > 60 * most_minutes:
        lines.append(f"no picture for more than {most_minutes:g} minutes")
    return "\n".join(lines)


def as_metrics(found: dict[str, Any], most_minutes: float) -> str:
    """Return how the pipeline does as Prometheus reads it; what is not known has no sample."""
    try:
        from prometheus_client import CollectorRegistry, Gauge, generate_latest
    except ImportError:
        raise BadSettings("metrics need the extra monitor: pip install '.[monitor]'") from None
    registry = CollectorRegistry()
    newest, day, quota = found["newest"], found["last_24_hours"], found["quota"] or {}
    at = minutes.minute_in(newest).replace(tzinfo=timezone.utc).timestamp() if newest else None
    metrics: list[tuple[str, str, Any]] = [  # the values are one, or several by their state
        ("well", "1 if the newest picture is not too old and none is ahead of the clock", is_well(found, most_minutes)),
        ("newest_timestamp_seconds", "The newest picture's minute", at),
        ("ahead", "Pictures that are ahead of the clock", len(found["ahead"])),
        ("last_day", "Minutes of the last 24 hours", {each: day[each] for each in ("stored", "missing", "failed")}),
        ("last_day_bytes", "Size of what the last 24 hours stored", day["bytes"]),
        ("quota_requests", "Requests of the API that this hour allows", quota.get("limit")),
        ("quota_requests_left", "Requests of the API that are left this hour", quota.get("remaining")),
        ("disk_bytes", "The disk under ROOT", found["disk"]),
    ]
    for name, text, value in metrics:
        if isinstance(value, dict):
            gauge = Gauge(f"pictures_{name}", text, ["state"], registry=registry)
            for state, number in value.items():
                gauge.labels(state).set(number)
        elif value is not None:
            Gauge(f"pictures_{name}", text, registry=registry).set(value)
    return generate_latest(registry).decode()


def _ago(seconds: int) -> str:
    units = (("days", 86400), ("hours", 3600), ("minutes", 60), ("seconds", 1))
    unit, length = next((each for each in units if seconds >= 2 * each[1]), units[-1])
    return f"{seconds // length} {unit} ago"


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
