"""One answer for many minutes: which minutes a request's photos are for, and which photo each of them gets."""

from datetime import datetime, timezone
from itertools import islice

from pipeline import log, minutes, quota, unsplash
from pipeline.errors import NoPhotos
from pipeline.settings import unsplash as Settings
from pipeline.storage import Store
from pipeline.unsplash import credit


def fill_minutes(minute: datetime, store: Store, settings: Settings) -> None:
    """Ask once for photos of the minute's topic; file one under it, and one under each of the topic's next that has none."""
    topic, photos = _photos_for(minute, store, settings)

    def choose() -> tuple[bool, dict[datetime, unsplash.Photo]]:
        given = store.given_photos([photo["id"] for photo in photos], minute, settings.no_repeat_days)
        most = settings.photos_per_request
        wanting = list(islice(store.open_minutes(minutes.minutes_of_same_topic(minute, settings.topics)), most))
        if minute not in wanting:  # another run has filed its photo meanwhile: no more than a look-ahead's minutes get one
            wanting = wanting[: most - 1]
        fresh = [photo for photo in photos if photo["id"] not in given]
        chosen = dict(zip(wanting, fresh or photos, strict=False))
        store.note_given({each: photo["id"] for each, photo in chosen.items()})
        return bool(fresh), chosen

    is_fresh, chosen = store.files.exclusively("", choose)
    if not is_fresh:
        log.logger.warning("every photo on offer for %r was given within %d days: repeats", topic, settings.no_repeat_days)
    fetched_at = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    known = {"topic": topic, "fetched_at": fetched_at}
    store.file_photos(
        {
            each: {**photo, "pipeline": {**known, "minute": minutes.name(each), "credit": credit(photo, settings.app_name)}}
            for each, photo in chosen.items()
        }
    )


def _photos_for(minute: datetime, store: Store, settings: Settings) -> tuple[str, list[unsplash.Photo]]:
    """Return the photos of the minute's topic or, where nothing matches it, of the next one of the round."""
    client = unsplash.client(settings.answer_seconds)
    for topic in minutes.topics_of_round(minute, settings.topics):
        try:
            return topic, client.random_photos(
                topic,
                settings.photos_per_request,
                size=settings.size,
                orientation=settings.orientation,
                content_filter=settings.content_filter,
            )
        except NoPhotos:
            log.logger.warning("nothing at Unsplash matches the topic %r: the next one takes its place", topic)
        finally:
            quota.note(store, client.quota)
    raise NoPhotos(f"nothing at Unsplash matches any topic of [unsplash] topics: {', '.join(settings.topics)}")
