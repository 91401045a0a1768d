"""Look after what is stored: check it against the contract, and let old pictures go.

`verify` removes a file that is not what it should be, with all that was made from it: the metadata takes the address with it,
the address the picture. What is gone is missing, and a catch-up makes it anew from what is left. `prune` first writes down, in
ROOT/pruned-before, up to which day pictures go, and then removes them: what is missing before that day stays missing.
"""

import argparse
import contextlib
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from itertools import groupby
from pathlib import PurePosixPath

from pipeline import gallery, jpeg, minutes, settings
from pipeline.errors import BadJpeg, BadSettings, PhotoReplaced
from pipeline.storage import Store

ALL_WELL = 0
SOMETHING_REMOVED = 1
STOPPED = 130
MOST_DAYS = 36_500

_SUFFIXES = (".json", ".txt", ".jpg")


def add_verify_arguments(parser: argparse.ArgumentParser, minute: Callable[[str], datetime]) -> None:
    """Add the options of `python -m pipeline verify`; `minute` parses one."""
    parser.add_argument("--start", type=minute, default=datetime.min, help="first minute checked (default: the oldest)")
    parser.add_argument("--stop", type=minute, default=datetime.max, help="first minute not checked (default: none)")


def verify(options: argparse.Namespace) -> int:
    """Check every file from start to before stop and remove those that fail.

    Return 0 if none did, 1 if any did, 130 after Ctrl-C.
    """
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # its thread would be there when processes are forked
    store = settings.store()
    found = [minute for minute in _minutes_there(store) if options.start <= minute < options.stop]
    hours = [list(group) for _, group in groupby(found, key=lambda minute: minute.replace(minute=0))]
    removed: list[datetime] = []
    with (
        tqdm(total=len(found), unit=" minutes", disable=not sys.stderr.isatty()) as bar,
        ProcessPoolExecutor(initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool,
    ):
        try:
            for hour, failed in zip(hours, pool.map(_verify_minutes, hours), strict=True):
                removed += failed
                for minute, reason in failed.items():
                    bar.write(f"{minutes.name(minute)} removed: {reason}")
                bar.update(len(hour))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            print(f"stopped, {len(removed):,} with files removed so far", file=sys.stderr)
            return STOPPED
    if removed:
        gallery.write_pages(store, removed)
    print(f"{len(found):,} minutes checked, {len(removed):,} with files removed" + ": catch-up stores them" * bool(removed))
    return SOMETHING_REMOVED if removed else ALL_WELL


def _minutes_there(store: Store) -> list[datetime]:
    """Return the minutes that have any file of the three, in order."""
    found = set()
    for day in store.days():
        for name in store.files.listing(day.isoformat()):
            with contextlib.suppress(ValueError):
                if name[4:] in _SUFFIXES:
                    found.add(datetime.combine(day, time_of_day(int(name[:2]), int(name[2:4]))))
    return sorted(found)


def _verify_minutes(hour: list[datetime]) -> dict[datetime, str]:
    store = settings.store()
    return {minute: reason for minute in hour if (reason := verify_minute(store, minute))}


def verify_minute(store: Store, minute: datetime) -> str:
    """Remove those of the minute's files that fail, and return why; nothing if they are well or not all there yet."""
    if not _failing(store, minute)[1]:
        return ""

    def remove() -> tuple[str, bool]:
        # Looked at again: a run may have been in the midst of it.
        names, reason = _failing(store, minute)
        had_picture = store.picture(minute).exists()
        store.files.remove(names)
        return reason, had_picture

    reason, had_picture = store.files.exclusively(minute.date().isoformat(), remove)
    if had_picture and reason:
        with contextlib.suppress(PhotoReplaced):
            store.keep_failure(minute, f"verify: {reason}")
    return reason


def _failing(store: Store, minute: datetime) -> tuple[list[str], str]:
    """Return the names of the files to remove, in the order in which to do so, and why.

    The picture is the first to go: a minute with a picture counts as stored, whatever else it lacks.
    """
    metadata, address, picture = store.metadata(minute), store.address(minute), store.picture(minute)
    is_stored = store.files.size(picture.name) is not None
    made = [picture.name, gallery.thumbnail_name(minute), address.name, metadata.name]
    # A file that may not be read ends the check: it is not bad.
    line = store.files.read_surely(address.name) or b""
    if is_stored or store.files.read_surely(metadata.name):
        photo = metadata.read()
        if not photo:
            return made, "its metadata is missing or cannot be read"
        if photo["pipeline"].get("minute") != minutes.name(minute):
            return made, "its metadata is that of another minute"
    if (is_stored or line) and not (address.exists() and line.count(b"\n") == 1 and line.endswith(b"\n")):
        return made[:3], "its address is missing or not one of its photo"
    try:
        with store.files.opened(picture.name) as file:
            if file:
                jpeg.picture(file)
    except BadJpeg as error:
        return made[:2], str(error)
    return [], ""


def add_prune_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `python -m pipeline prune`."""
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    parser.add_argument("--everything", action="store_true", help="metadata, addresses and reasons of failures go too")


def prune(options: argparse.Namespace) -> int:
    """Remove pictures older than `[storage] keep_days`, with their thumbnails, and litter; say what that frees; return 0."""
    store, first_kept = settings.store(), _first_kept_day()
    if first_kept is None:
        print("[storage] keep_days is not set: every picture is kept")
    counts, length = Counter[str](), 0
    newest, days = store.newest_minute(), store.days()
    going = list(_going(store, first_kept, newest, options.everything))
    for kind, _, size in going:
        counts[kind] += 1
        length += size
    if not options.dry_run:
        if first_kept and days:
            _note_pruned(store, first_kept)
        store.files.remove(name for _, name, _ in going)
        for day in days:
            for folder in (f"{day.isoformat()}/thumb", day.isoformat()):
                store.files.remove_empty(folder, at_once=first_kept is not None and day < first_kept)
    if newest and first_kept and counts["pictures"] and not options.dry_run:
        # The first kept day has no earlier one any more, and the newest picture's may show that one alone.
        gallery.write_pages(store, (datetime.combine(first_kept, time_of_day.min), newest))
    said = ", ".join(f"{kind} {count:,}" for kind, count in sorted(counts.items())) or "nothing to remove"
    print(f"{'would free' if options.dry_run else 'freed'} {length / 1e6:,.1f} MB: {said}")
    return ALL_WELL


def _first_kept_day() -> date | None:
    keep_days = settings.storage_settings().keep_days
    if keep_days is None:
        return None
    if not 0 <= keep_days <= MOST_DAYS:
        raise BadSettings(f"[storage] keep_days is {keep_days}: use 0 to {MOST_DAYS:,}, or nothing to keep every picture")
    return minutes.present_minute().date() - timedelta(days=keep_days)


def _note_pruned(store: Store, first_kept: date) -> None:
    """Write down that what is older stays missing, before it is; a later day stands."""
    if store.pruned_before().date() < first_kept:
        store.write("pruned-before", f"{first_kept}\n".encode())


def _going(store: Store, first_kept: date | None, newest: datetime | None, everything: bool) -> Iterator[tuple[str, str, int]]:
    """Give each file that goes: what it is, its name and its size; the newest picture's minute stays, however old."""
    given_until = minutes.present_minute().date() - timedelta(days=settings.unsplash_settings().no_repeat_days)
    for day in store.days():
        if first_kept is None or day >= first_kept:
            break
        kept = f"{newest:%H%M}" if newest and newest.date() == day else ""
        for name, size in store.files.listing_below(day.isoformat()).items():
            path = PurePosixPath(day.isoformat(), name)
            if path.stem == kept:
                continue
            if path.suffix == ".jpg":
                yield "thumbnails" if path.parent.name == "thumb" else "pictures", str(path), size
            elif path.name == "index.html" or (everything and (path.name != "given" or day < given_until)):
                yield "other files", str(path), size
    for name, size in store.files.litter().items():
        yield "leftovers of killed runs", name, size
