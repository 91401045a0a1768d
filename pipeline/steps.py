"""What the three tasks do for a minute: plain functions, which need no Luigi."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from pipeline import jpeg, log, minutes, page, unsplash
from pipeline.archive import Archive
from pipeline.errors import BadAnswer, NoPhotos, PhotoGone, PhotoReplaced, RootUnusable
from pipeline.jpeg import Picture
from pipeline.log import log_errors
from pipeline.settings import unsplash as Settings
from pipeline.unsplash import Photo


class Stored(NamedTuple):
    """A picture that was stored: its photo, what was found in it, its bytes, and what the page shows of it."""

    photo: Photo
    picture: Picture
    content: bytes
    entry: dict[str, Any]


def fetch_metadata(
    minute: datetime, archive: Archive, settings: Settings, wanting: Sequence[datetime] | None = None
) -> Collection[datetime]:
    """Ask for photos of the minute's topic; file one under it, and one under each of the topic's next that has none.

    Other minutes that want a photo of the topic may be given in the place of these. Nothing is asked for that could not be
    filed, and what could not in spite of it is filed by the next try. Return the minutes that have one now.
    """
    if wanting is None:
        archive.warn_of_conditions()
    if minute not in archive.unfiled:
        archive.try_filing(minute, settings.photos_per_request)
        archive.unfiled[minute] = (*_photos_for(minute, archive, settings), {})
    topic, photos, chosen = archive.unfiled[minute]
    if not chosen:
        offered = {photo["id"]: photo for photo in photos}
        if wanting is None:
            wanting = _look_ahead(minute, archive, settings)
        for each, photo_id in archive.give(list(offered), wanting, settings.no_repeat_days).items():
            credit = unsplash.credit(offered[photo_id], settings.app_name)
            known = {"topic": topic, "fetched_at": minutes.now_in_words(), "minute": minutes.name(each), "credit": credit}
            chosen[each] = {**offered[photo_id], "pipeline": known}
        if wanting and not chosen:
            del archive.unfiled[minute]
            raise BadAnswer(f"Unsplash offered {len(photos)} photos of {topic!r}, and every one is banned")
    archive.file_photos(chosen, settings.topics)
    del archive.unfiled[minute]
    return chosen


def _look_ahead(minute: datetime, archive: Archive, settings: Settings) -> list[datetime]:
    """Return the minute and the topic's next that have no photo; if another run has filed the minute's, those alone."""
    candidates = minutes.minutes_of_same_topic(minute, settings.topics)
    found = list(islice(archive.open_minutes(candidates, settings.topics), settings.photos_per_request))
    return found if minute in found else found[: settings.photos_per_request - 1]  # what another run filed counts as one


@contextmanager
def _filed_photo(minute: datetime, archive: Archive) -> Iterator[Photo]:
    """Give the minute's photo, PhotoReplaced if it is gone; drop one that cannot be had, so that another is fetched."""
    if not (photo := archive.photo(minute)):
        raise PhotoReplaced
    try:
        if photo["id"] in archive.banned():
            raise PhotoGone("the photo is banned")
        yield photo
    except PhotoGone:
        archive.drop_photo(minute, photo["id"])
        raise


def extract_url(minute: datetime, archive: Archive, settings: Settings) -> str:
    """Write down the address of the minute's picture, and return it."""
    with _filed_photo(minute, archive) as photo:
        address = unsplash.address_of(photo, settings.size)
    archive.put_address(minute, address)
    return address


def store_image(minute: datetime, archive: Archive, settings: Settings) -> tuple[str, str]:
    """Store the minute's picture, show it, and report its download.

    Return its credit and size as HTML and, of the first picture, what to say of where it is.
    """
    address = archive.address(minute)
    if not address:
        raise PhotoReplaced
    fetch = unsplash.client(settings.answer_seconds).prefetch(address, unsplash.MAX_PICTURE_BYTES[settings.size])
    stored = store_picture(minute, archive, fetch)
    first = ""
    with log_errors("page"):
        if page.publish(archive, minute, stored.entry, stored.content):
            first = _where_to_look(archive, minute)
    report_download(stored.photo, archive, settings, settings.requests_reserved)
    note_quota(archive, settings)
    return page.status_line(stored.entry, stored.picture), first


def store_picture(minute: datetime, archive: Archive, fetch: Callable[[], bytes]) -> Stored:
    """Store what `fetch` returns, if it is one whole JPEG."""
    with _filed_photo(minute, archive) as photo:
        content = fetch()
        picture = jpeg.picture(content)
    archive.put_picture(minute, photo, content)
    has_thumbnail = False
    with log_errors(f"{minutes.name(minute)} is stored"):
        archive.forget_failure(minute)
        archive.put_thumbnail(minute, picture.thumbnail)
        has_thumbnail = True
    return Stored(photo, picture, content, page.picture_entry(photo, len(content), has_thumbnail))


def report_download(photo: Photo, archive: Archive, settings: Settings, reserve: int) -> None:
    """Report a stored picture's download, unless the requests left are the `reserve` for metadata."""
    location, client = (photo.get("links") or {}).get("download_location"), unsplash.client(settings.answer_seconds)
    if settings.report_downloads and location:
        with log_errors("download event"):
            known = client.quota or archive.quota()
            if not known or known.remaining > reserve:
                client.report_download(location)


def note_quota(archive: Archive, settings: Settings) -> None:
    """Keep what the last answer of the API said of the quota."""
    with log_errors("quota"):
        archive.put_quota(unsplash.client(settings.answer_seconds).quota)


def _where_to_look(archive: Archive, minute: datetime) -> str:
    try:
        path = archive.local_path(minute).absolute()
    except RootUnusable as error:
        return f"the first picture: {error}"
    return f"the first picture is {path}; to look at it open {(path.parent.parent / 'index.html').as_uri()} in a browser"


def _photos_for(minute: datetime, archive: Archive, settings: Settings) -> tuple[str, list[Photo]]:
    """Return the photos of the minute's topic or, where nothing matches it, of the next one of the round."""
    client = unsplash.client(settings.answer_seconds)
    for topic in minutes.topics_of_round(minute, settings.topics):
        try:
            return topic, client.random_photos(
                topic, settings.photos_per_request, settings.size, settings.orientation, settings.content_filter
            )
        except NoPhotos:
            log.logger.warning("nothing at Unsplash matches the topic %r: the next one takes its place", topic)
        finally:
            note_quota(archive, settings)
    raise NoPhotos(f"nothing at Unsplash matches any topic of [unsplash] topics: {', '.join(settings.topics)}")
