"""Check what is stored against the contract.

A file that is not what it should be is removed, with all that was made from it: the metadata takes the address with it, the
address the picture. What is gone is missing, and a catch-up makes it anew from what is left.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from itertools import groupby

from pipeline import jpeg, log, minutes, page, progress
from pipeline.archive import Archive
from pipeline.errors import BadJpeg, PipelineError


def verify(archive: Archive, start: datetime, stop: datetime) -> tuple[int, list[datetime], int]:
    """Check every file from start to before stop, remove those that fail, saying why, and make what the page shows again.

    Return how many minutes were checked, which lost files, and how many could not be checked. KeyboardInterrupt says how far it
    came.
    """
    days = [day for day in archive.days() if start.date() <= day <= stop.date()]
    files = (file for day in days for file in archive.files_of(day) if file.kind in ("pictures", "texts"))
    found = sorted({file.minute for file in files if file.minute and start <= file.minute < stop})
    removed, unchecked = list[datetime](), list[datetime]()

    def check(minute: datetime) -> str:
        try:
            if reason := verify_minute(archive, minute):
                removed.append(minute)
                return f"{minutes.name(minute)} removed: {reason}"
        except PipelineError as error:
            unchecked.append(minute)
            return f"{minutes.name(minute)} not checked: {error}"
        return ""

    # Threads suffice: Pillow decodes without Python's lock. A day at a time, as years of waiting calls would fill the memory.
    with progress.bar(len(found), "minutes") as bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for of_day in (list(group) for _, group in groupby(found, datetime.date)):
                for said in pool.map(check, of_day):
                    bar.update()
                    if said:
                        bar.write(said if sys.stdout.isatty() else log.timed(said))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise KeyboardInterrupt(f"stopped, {len(removed):,} with files removed so far") from None
        finally:
            pool.shutdown(cancel_futures=True)  # what is under way removes files too
            if removed:
                page.mend(archive, removed)
    if archive.days() or archive.page_file("newest.js"):
        page.rebuild(archive, days)
    return len(found), sorted(removed), len(unchecked)


def verify_minute(archive: Archive, minute: datetime) -> str:
    """Remove those of the minute's files that fail, and return why; nothing if they are well or not all there yet.

    A thumbnail that is none is made again from its picture.
    """
    if not _failing(archive, minute)[1]:
        with suppress(BadJpeg):
            if not _is_whole(archive.thumbnail(minute)) and (picture := archive.content(minute, ".jpg")):
                archive.put_thumbnail(minute, jpeg.picture(picture).thumbnail)
        return ""
    had_picture, reason = archive.remove_failing(minute, lambda: _failing(archive, minute))
    if had_picture and reason:
        archive.put_failure(minute, f"verify: {reason}")
    return reason


def _failing(archive: Archive, minute: datetime) -> tuple[list[str], str]:
    """Return the suffixes of the files to remove, in the order in which to do so, and why.

    The picture is the first to go: a minute with a picture counts as stored, whatever else it lacks.
    """
    photo, line, picture = archive.photo(minute), archive.content(minute, ".txt") or b"", archive.content(minute, ".jpg")
    is_stored = picture is not None
    if is_stored or archive.content(minute, ".json"):
        if not photo:
            return [".jpg", ".txt", ".json"], "its metadata is missing or cannot be read"
        if photo["pipeline"].get("minute") != minutes.name(minute):
            return [".jpg", ".txt", ".json"], "its metadata is that of another minute"
    if (is_stored or line) and not (archive.address(minute) and line.count(b"\n") == 1 and line.endswith(b"\n")):
        return [".jpg", ".txt"], "its address is missing or not one of its photo"
    try:
        if picture is not None:
            jpeg.picture(picture)
    except BadJpeg as error:
        return [".jpg"], str(error)
    return [], ""


def _is_whole(content: bytes | None) -> bool:
    with suppress(BadJpeg):
        return bool(jpeg.picture(content or b""))
    return False
