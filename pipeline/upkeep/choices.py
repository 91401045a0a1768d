"""What the user chooses: favourites, and pictures not to see again."""

from datetime import datetime

from pipeline import minutes, page
from pipeline.archive import BANNED, KEPT, Archive
from pipeline.errors import NothingStored


def keep(archive: Archive, minute: datetime | None, undo: bool) -> str:
    """Make the minute's picture, by default the newest, a favourite, or no favourite any more; return what was done."""
    minute = minute or archive.newest()
    if not minute or not archive.has_picture(minute):
        raise NothingStored(f"there is no picture of {minutes.name(minute)}" if minute else "there is no picture yet")
    archive.choose(KEPT, minutes.name(minute), None if undo else str(archive.photo(minute).get("id", "-")))
    page.rebuild(archive, [minute])
    return f"{minutes.name(minute)} is {'no favourite any more' if undo else 'a favourite: it is never pruned'}"


def ban(archive: Archive, minute: datetime | None, undo: bool) -> str:
    """Remove the minute's picture, by default the newest, and never give its photo again, or allow it again.

    A picture that was deleted by hand can be banned too, as long as its metadata is there.
    """
    minute = minute or archive.newest()
    if not minute:
        raise NothingStored("there is no picture yet")
    name, photo_id = minutes.name(minute), archive.photo(minute).get("id")
    if undo:
        archive.choose(BANNED, name, None)
        return f"the photo that {name} had may be given again"
    if not photo_id:
        raise NothingStored(f"no photo is known of {name}")
    archive.choose(BANNED, name, photo_id)
    archive.choose(KEPT, name, None)
    archive.remove_failing(minute, lambda: ([".jpg", ".txt", ".json"], "banned"))
    page.rebuild(archive, [minute])
    another = "catch-up stores another, with --start if older than a day"
    return f"{name} is removed and its photo, {photo_id}, is never given again: {another}"
