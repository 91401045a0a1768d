"""Which photo each minute was given: a line each in a file a day, so that looking back costs the same for ever."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import partial
from itertools import chain

from pipeline import log
from pipeline.archive.days import Files
from pipeline.archive.names import days_of


def give(files: Files, photo_ids: Sequence[str], minutes: Sequence[datetime], days: int) -> dict[datetime, str]:
    """Give each of the minutes, in order, one of the photos, as far as there are so many; note it, and return it.

    Photos that a minute within so many days was given come into question only if all of them were.
    """
    chosen: dict[datetime, str] = {}
    first_day = minutes[0].date()

    def choose(content: bytes | None) -> bytes:
        near = [day for day in days_of(files.folders()) if 0 < abs((day - first_day).days) <= days] if days else []
        fresh = list(photo_ids)
        for given in chain((files.get(f"{day}/given") for day in near), [content] if days else []):
            words = set((given or b"").decode("ascii", "replace").split())
            fresh = [photo_id for photo_id in fresh if photo_id not in words]
        if not fresh:
            log.logger.warning("every photo on offer was given to a minute within %d days: repeats", days)
        chosen.clear()
        chosen.update(zip(minutes, fresh or photo_ids, strict=False))
        return _with_lines(chosen, first_day, content)

    # One run at a time: the same photo may be on offer to two.
    with files.lock(""):
        files.update(f"{first_day}/given", choose)
        for day in sorted({minute.date() for minute in chosen} - {first_day}):
            files.update(f"{day}/given", partial(_with_lines, chosen, day))
    return chosen


def _with_lines(chosen: Mapping[datetime, str], day: date, content: bytes | None) -> bytes:
    """Return the content of a day's file with the lines of what was chosen."""
    lines = (f"{minute:%H%M} {photo_id}\n" for minute, photo_id in chosen.items() if minute.date() == day)
    return (content or b"") + "".join(lines).encode("ascii")
