"""The data of the page: scripts that hand over JSON, merged a minute at a time."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import Any

from pipeline.archive import KEPT, Archive, days_of, hour_name
from pipeline.errors import BadSettings, line
from pipeline.minutes import MINUTE, minute_in, name, now_in_words, present_minute
from pipeline.page import html
from pipeline.unsplash import Photo, is_demo
from pipeline.version import VERSION

HOUR = timedelta(hours=1)

Entry = dict[str, Any]

_SCRIPT = re.compile(rb'pictureAMinute\("([^"]*)", (.*), "([^"]*)"\);\n', re.DOTALL)
_END = f', "{VERSION}");\n'.encode()


def publish(archive: Archive, minute: datetime, entry: Entry, content: bytes) -> bool:
    """Show a minute's picture: latest.jpg and index.html if it is the newest, and the data of its hour.

    Tell whether it is the only picture. The first of an hour also shows what the hour before lacks: a run was killed, or the
    clock was wrong.
    """
    begins_hour = add_pictures(archive, {minute: entry})
    if is_newest := archive.publish_latest(minute, content):
        archive.put_page_file("index.html", html.index(minute, entry, VERSION))
    newest, first = refresh(archive, [minute.date()]) if begins_hour or not is_newest else (minute, None)
    if begins_hour:
        mend_hours(archive, [max(minute, datetime.min + HOUR) - HOUR])
    return newest == first


def add_pictures(archive: Archive, entries: Mapping[datetime, Entry]) -> bool:
    """Add pictures, none later than now, to their hours' data; tell whether one had none yet, or is of another version."""
    shown = sorted(minute for minute in entries if minute <= present_minute())
    begins = [_merge(archive, hour, {each: entries[each] for each in of_hour}) for hour, of_hour in groupby(shown, _hour_of)]
    return any(begins)


def note_failure(archive: Archive, minute: datetime, reason: str) -> None:
    """Add the reason of a failure to the data of its hour, unless the minute has a picture."""
    if minute <= present_minute():
        _merge(archive, _hour_of(minute), {minute: {"error": _text(reason), "at": now_in_words()}})


def refresh(archive: Archive, days: Iterable[date]) -> tuple[datetime | None, datetime | None]:
    """Write the page's own files and what all days share: newest, favourites, calendar; return the newest and the first minute.

    The calendar counts the days anew, and all since the newest picture that the page knew.
    """
    for asset in ("page.css", "page.js"):
        _put(archive, asset, html.asset(asset).encode())
    newest, first, pruned_before = archive.newest(), archive.first(), archive.pruned_before()
    counted, known = set(days), _data(archive.page_file("newest.js"), of=object) or {}
    with suppress(BadSettings):  # of a script that names no minute
        since = min(minute_in(str(known.get("minute"))), newest or datetime.min).date()
        counted |= {since + timedelta(number) for number in range((newest.date() - since).days + 1 if newest else 0)}
    state = {
        "minute": name(newest) if newest else None,
        "first": name(first) if first else None,
        "version": VERSION,
        "pruned": f"{pruned_before.date()}" if pruned_before != datetime.min else None,
        "demo": is_demo(),
    }
    _put(archive, "newest.js", _script("newest", state))
    _put(archive, "favourites.js", _script("favourites", sorted(archive.chosen(KEPT))))
    counts = {f"{day}": [len(minutes) for minutes in archive.outcomes_of(day)] for day in counted}

    def merge(content: bytes | None) -> bytes:
        merged = {**(_data(content, of=list) or {}), **counts}
        kept = {day: merged[day] for day in sorted(merged) if any(merged[day]) and day >= f"{pruned_before.date()}"}
        return _script("calendar", kept)

    archive.update_page_file("calendar.js", merge)
    return newest, first


def mend_hours(archive: Archive, minutes: Iterable[datetime]) -> None:
    """Make the data of the minutes' hours again where they do not show just what is stored: a run was killed, or files came."""
    for day, hours in groupby(sorted({_hour_of(minute) for minute in minutes}), datetime.date):
        stored = archive.outcomes_of(day)[0]
        for hour in hours:
            known = _data(archive.page_file(hour_name(hour))) or {}
            shown = {minute for minute, entry in known.items() if "id" in entry}
            if shown != {f"{each:%M}" for each in stored if _hour_of(each) == hour and each <= present_minute()}:
                archive.put_page_file(hour_name(hour), _hour_script(hour, hour_data(archive, hour)))


def rebuild(archive: Archive, days: Collection[date]) -> None:
    """Make all that the page shows of the days again from the archive; the calendar forgets days that are gone."""
    for hour in (datetime.combine(day, time(number)) for day in days for number in range(24)):
        data = hour_data(archive, hour)
        if data or archive.page_file(hour_name(hour)) is not None:
            _put(archive, hour_name(hour), _hour_script(hour, data))
    counted = days_of(_data(archive.page_file("calendar.js"), of=list) or {})
    gone = set(counted).difference(archive.days())
    mend(archive, [datetime.combine(day, time.min) for day in {*days, *gone}])


def mend(archive: Archive, minutes: Collection[datetime]) -> None:
    """Have the page show just what is stored: the hours of the minutes, the newest picture, and what all days share."""
    mend_hours(archive, minutes)
    newest, _ = refresh(archive, {minute.date() for minute in minutes})
    if newest is None:
        archive.remove(["latest.jpg"])
        _put(archive, "index.html", html.index(None, {}, VERSION))
    elif content := archive.content(newest, ".jpg"):
        index = html.index(newest, picture_entry(archive.photo(newest), len(content)), VERSION)
        shown = () if newest in minutes else (archive.page_file("latest.jpg"), archive.page_file("index.html"))
        if shown != (content, index) and archive.publish_latest(newest, content):
            archive.put_page_file("index.html", index)


def hour_data(archive: Archive, hour: datetime) -> dict[str, Entry]:
    """Return the data of an hour, as the archive's files have them."""
    files = list(archive.files_of(hour.date(), f"{hour:%H}"))
    sizes = {file.minute: file.size for file in files if file.minute and file.kind == "pictures" and file.size}
    thumbnails = {file.minute for file in files if file.kind == "thumbnails"}
    failures = archive.failures(hour, hour + 59 * MINUTE)
    entries: dict[datetime, Entry] = {each: {"error": _text(why.reason), "at": why.at} for each, why in failures.items()}
    entries |= {each: picture_entry(archive.photo(each), size, each in thumbnails) for each, size in sizes.items()}
    return {f"{minute:%M}": entries[minute] for minute in sorted(entries) if minute <= present_minute()}


def picture_entry(photo: Photo, length: int, has_thumbnail: bool = True) -> Entry:
    """Return what the page shows of a picture; metadata that was lost or damaged leaves it without a credit."""
    known, user, links = (_dictionary(photo, key) for key in ("pipeline", "user", "links"))
    credit, width, height = _dictionary(known, "credit"), photo.get("width"), photo.get("height")
    return {
        "id": _text(photo.get("id")),
        "topic": _text(known.get("topic")),
        "alt": _text(photo.get("alt_description")) or _text(photo.get("description")),
        "name": _text(user.get("name")),
        "user": _link(credit.get("photographer")),
        "photo": _link(links.get("html")),
        "unsplash": _link(credit.get("unsplash")),
        "width": width if isinstance(width, int) else None,
        "height": height if isinstance(height, int) else None,
        "color": photo.get("color") if re.fullmatch("#[0-9a-fA-F]{6}", str(photo.get("color"))) else None,
        "bytes": length,
        "thumb": has_thumbnail,
    }


def _put(archive: Archive, name: str, content: bytes) -> None:
    """Write a file of the page, unless it is so already."""
    if archive.page_file(name) != content:
        archive.put_page_file(name, content)


def _merge(archive: Archive, hour: datetime, entries: Mapping[datetime, Entry]) -> bool:
    """Add the entries to the hour's data, none of a failure over a picture; tell whether it had no picture yet."""
    had_pictures = False

    def merge(content: bytes | None) -> bytes:
        nonlocal had_pictures
        known = _data(content)
        merged = (hour_data(archive, hour) if content else {}) if known is None else dict(known)  # damaged: made again
        had_pictures = any("id" in entry for entry in merged.values()) and (content or b"").endswith(_END)
        for minute, entry in entries.items():
            if "id" in entry or "id" not in merged.get(f"{minute:%M}", {}):
                merged[f"{minute:%M}"] = entry
        return _hour_script(hour, dict(sorted(merged.items())))

    archive.update_page_file(hour_name(hour), merge)
    return not had_pictures


def _hour_of(minute: datetime) -> datetime:
    return minute.replace(minute=0)


def _hour_script(hour: datetime, data: dict[str, Entry]) -> bytes:
    return _script(name(hour)[:13], data)


def _script(key: str, content: Any) -> bytes:
    return f'pictureAMinute("{key}", {json.dumps(content, separators=(",", ":"))}'.encode("ascii") + _END


def _data(script: bytes | None, of: type = dict) -> dict[str, Any] | None:
    """Return what a script hands over, a dictionary of dictionaries or other values; None if it is damaged."""
    try:
        found = _SCRIPT.fullmatch(script or b"")
        data = json.loads(found[2]) if found else None
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and all(isinstance(each, of) for each in data.values()) else None


def _text(text: object) -> str:
    """Return the text as a line, not too long; nothing for what is no text."""
    return line(text, html.TEXT_CHARACTERS) if isinstance(text, str) else ""


def _link(address: object) -> str:
    return str(address) if html.is_of_the_web(address) else ""


def _dictionary(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = of.get(key)
    return found if isinstance(found, dict) else {}
