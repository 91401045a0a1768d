"""What the user chooses: favourites, and pictures not to see again."""

from datetime import datetime

from pipeline import minutes, page
from pipeline.archive import BANNED, KEPT, Archive
from pipeline.errors import NothingStored


def keep(archive: Archive, minute: datetime | None, undo: bool) -> str:
    """Make the minute's picture, by default the newest, a favourite, or no favourite any more; return what was done."""
    minute = minute or _newest(archive)
    name = minutes.name(minute)
    if undo:
        _take_back(archive, KEPT, minute)
        page.refresh(archive, [])
        return f"{name} is no favourite any more"
    if archive.has_picture(minute):
        archive.choose(KEPT, name, str(archive.photo(minute).get("id", "-")))
    if not archive.has_picture(minute):  # asked again: prune may have been removing it
        raise NothingStored(f"there is no picture of {name}")
    page.refresh(archive, [])
    return f"{name} is a favourite: it is never pruned"


def ban(archive: Archive, minute: datetime | None, undo: bool) -> str:
    """Remove the minute's picture, by default the newest, and never give its photo again; or allow what it had again.

    A picture that was deleted by hand can be banned too, as long as its metadata is there.
    """
    if undo and not minute:
        raise NothingStored("of which minute? `ban` has removed the one that was the newest")
    minute = minute or _newest(archive)
    name, photo_id = minutes.name(minute), archive.photo(minute).get("id")
    if undo:
        _take_back(archive, BANNED, minute)
        return f"what {name} had may be given again"
    if not photo_id:
        raise NothingStored(f"no photo is known of {name}")
    archive.choose(BANNED, name, photo_id)
    archive.choose(KEPT, name, None)
    archive.remove_failing(minute, lambda: ([".jpg", ".txt", ".json"], "banned"))
    page.mend(archive, [minute])
    span = f"--start {name} --stop {minutes.name(minute + minutes.MINUTE)}"
    then = f": catch-up {span} stores another" if minute >= archive.pruned_before() else ""
    return f"{name} is removed and its photo, {photo_id}, is never given again{then}"


def _newest(archive: Archive) -> datetime:
    if not (newest := archive.newest()):
        raise NothingStored("there is no picture yet")
    return newest


def _take_back(archive: Archive, choice: str, minute: datetime) -> None:
    if minutes.name(minute) not in archive.chosen(choice):
        raise NothingStored(f"{minutes.name(minute)} is not among what was {choice}")
    archive.choose(choice, minutes.name(minute), None)
