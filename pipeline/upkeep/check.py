"""Try out the configuration: what to look at first when something fails."""

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from pipeline import configuration, luigid, minutes, settings, unsplash
from pipeline.archive import Archive
from pipeline.errors import NoPhotos, PipelineError

Findings = Iterator[tuple[bool, str]]  # whether it is well, and what was found or what to do

LEAST_BYTES = 10**9
MOST_SECONDS_OFF = 30
MOST_PHOTOS = 30
LATELY = 5 * minutes.MINUTE


def check(offline: bool) -> Findings:
    """Give what is found of each part of the configuration; unless `offline`, one request is asked of the API."""
    missing, wrong = configuration.not_found(), list(settings.problems())
    parts: dict[str, Findings] = {
        "luigi.cfg": iter([(not missing, missing or ", then ".join(configuration.files()))]),
        "settings": iter([(False, problem) for problem in wrong] or [(True, "every one is known and can be used")]),
    }
    if not wrong:
        parts |= {"key": _key(offline), "ROOT": _root(), "clock": _clock(), "luigid": _luigid(), "runs": _runs()}
    for name, found in parts.items():
        try:
            for is_well, what in found:
                yield is_well, f"{name:10} {what}"
        except (PipelineError, OSError) as error:
            yield False, f"{name:10} {error}"


def _key(offline: bool) -> Findings:
    unsplash.api_key()
    place = "the environment" if os.environ.get("UNSPLASH_API_KEY") else os.path.abspath(".env")
    if unsplash.is_demo():
        yield True, f"DEMO_KEY in {place}: samples of the built-in sandbox, without a network"
    elif offline:
        yield True, f"in {place}; Unsplash is not asked whether it takes it: --offline"
    else:
        wanted = settings.unsplash_settings()
        client = unsplash.client(wanted.answer_seconds)
        topic, unmatched = wanted.topics[0], ""
        try:
            client.random_photos(topic, MOST_PHOTOS, size=wanted.size)  # one alone may be of Unsplash+: no fault
        except NoPhotos:
            unmatched = f"; nothing matches the topic {topic!r}: the next one takes its place"
        quota = client.quota
        left = f": {quota.remaining} of {quota.limit} requests left this hour" if quota else ""
        yield not quota or quota.remaining > 0, f"in {place}, and taken; that cost one request{left}{unmatched}"
        if client.date:
            off = (datetime.now(timezone.utc) - client.date).total_seconds()
            words = f"{abs(off):,.0f} s {'behind' if off < 0 else 'ahead of'} the API's"
            is_right = abs(off) <= MOST_SECONDS_OFF
            yield is_right, f"the clock is {words}" + ": set it, by NTP for example" * (not is_right)


def _root() -> Findings:
    archive, usage = settings.archive(), settings.archive().usage()
    root = archive.root
    if not usage:
        archive.try_out()
        conditions = archive.conditions()
        yield not conditions, f"{root} can be written; {conditions or 'its store keeps conditions'}"
        return
    folder = next(each for each in (Path(root).absolute(), *Path(root).absolute().parents) if os.path.lexists(each))
    try:
        Archive(folder).try_out()
    except PipelineError as error:
        yield False, f"{root} cannot be written: {folder}: {getattr(error.__cause__, 'strerror', error)}"
        return
    unable = "".join(f"; its folders cannot be {what}" for what in _cannot(folder))
    yield not unable, f"{root} can be written" + unable + "; the first run makes it" * (not os.path.exists(root))
    is_room = usage["free"] >= LEAST_BYTES
    room = f"{usage['free'] / 1e9:,.1f} GB of {usage['total'] / 1e9:,.1f} GB are free"
    yield is_room, room + ": make room, or set [storage] keep_days and prune" * (not is_room)


def _cannot(folder: Path) -> Iterator[str]:
    """Give what cannot be done with the folder that keeps runs apart, and files through a power cut."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    descriptor = os.open(folder, os.O_RDONLY)
    attempts = {"locked": lambda: fcntl.flock(descriptor, fcntl.LOCK_EX), "flushed": lambda: os.fsync(descriptor)}
    for what, attempt in attempts.items():
        try:
            attempt()
        except OSError as error:
            yield f"{what}: {error.strerror}"
    os.close(descriptor)


def _clock() -> Findings:
    archive = settings.archive()
    newest, ahead = archive.newest(), archive.ahead()
    found = f"the newest picture is {minutes.name(newest)}" if newest else "no picture is stored yet"
    if ahead:
        found = f"pictures are ahead of it, up to {minutes.name(ahead[-1])}: it is wrong now, or was"
    yield not ahead, f"{minutes.now_in_words()}; {found}"


def _luigid() -> Findings:
    if not (url := luigid.url()):
        yield True, "[core] local_scheduler: none is asked"
    elif luigid.answers(url):
        yield True, f"answers at {url}"
    else:
        yield False, f"does not answer at {url}: start it; deploy/store-minute and --local-scheduler need none"


def _runs() -> Findings:
    archive, now = settings.archive(), minutes.present_minute()
    if stored := archive.minutes_with(".jpg", now - LATELY, now):
        yield True, f"one stored {minutes.name(stored[-1])}"
    elif failed := archive.failures(now - LATELY, now):
        minute = max(failed)
        yield False, f"one failed, {minutes.name(minute)}: {failed[minute].reason}"
    else:
        yield False, "none in the last 5 minutes: is the line of deploy/crontab in `crontab -l`, or the timer on?"
