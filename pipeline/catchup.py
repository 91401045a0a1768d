"""Store what is missing: Luigi run on slices, each the minutes of one topic in one window, alone or with other hosts.

A round tries every slice once, the newest first, and there is another round while one stores anything; docs/scaling.md says how
hosts share the slices.
"""

import time
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import luigi
from luigi.rpc import RemoteScheduler, RPCError
from luigi.scheduler import DONE, RUNNING, Scheduler  # type: ignore[attr-defined]
from luigi.worker import Worker

from pipeline import log, luigid, minutes, outcomes, page, processes, settings, steps, unsplash
from pipeline.archive import Archive
from pipeline.errors import BadSettings, EndsRun, MayPass, NameTaken, PipelineError, QuotaExceeded
from pipeline.minutes import EPOCH, MINUTE, MinuteParameter
from pipeline.progress import Progress

# Pictures that a slice fetches at once, at most: with 100 ms to their host the cores are busy all the same.
AHEAD = 8
AHEAD_IN_FULL = 2
QUICK_SECONDS = 2
# What a scheduler does for a slice grows with the slices it knows: in luigid 0.2 ms with 200 of them, 14 ms with 4,000.
SLICES_AT_ONCE = 250
SECONDS_BETWEEN_LOOKS = 5


class Slice(luigi.Task):
    """Store a topic's minutes in one window, as far as they are missing and wanted by this host.

    What `slices` gives it besides is no part of what it is: hosts may find, and want, different minutes of it.
    """

    window = MinuteParameter(description="the window's first minute")
    topic = luigi.Parameter()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.found: Sequence[datetime] = ()
        self.of_topic: Sequence[datetime] = ()
        self.requests_reserved = 0
        self.progress: Progress

    @property
    def priority(self) -> int:  # type: ignore[override]
        """Return what has the newest slices run first."""
        return (self.window - EPOCH) // MINUTE

    def complete(self) -> bool:
        """Tell whether nothing of it is missing, as the catch-up has just found."""
        return not self.found

    def run(self) -> None:
        """Store what is missing now, a try each, asking for photos once at most; what stays missing fails the slice."""
        processes.end_with_parent()
        archive, topics = settings.archive(), settings.unsplash_settings().topics
        missing = still_missing(self.found)
        without_photo = list(archive.open_minutes(missing, topics))
        stored = self._store([minute for minute in missing if minute not in without_photo])
        if without_photo:
            stored += self._store(self._ask(without_photo))
        if left := sorted(set(missing).difference(stored)):
            failures = archive.failures(left[0], left[-1])
            reason = next((failures[minute].reason for minute in left if minute in failures), "without a photo")
            raise MayPass(f"{len(left)} still missing: {reason}")

    def on_failure(self, exception: BaseException) -> str:
        """Return what luigid shows as the reason: one line where the error is named."""
        return str(exception if isinstance(exception, PipelineError) else super().on_failure(exception))

    def has_photos(self) -> bool:
        """Tell whether a photo is filed for one of its minutes: without a request no other one can be stored."""
        topics = settings.unsplash_settings().topics
        return len(list(settings.archive().open_minutes(sorted(self.found), topics))) < len(self.found)

    def _ask(self, waiting: Sequence[datetime]) -> list[datetime]:
        """Ask for photos of the minutes, what is over for other slices', unless the quota is used up; return which have one."""
        if self.progress.ended_by:
            raise self.progress.ended_by
        archive, wanted = settings.archive(), settings.unsplash_settings()
        wanting = list(waiting)
        if len(waiting) < wanted.photos_per_request // 2:
            elsewhere = sorted(set(self.of_topic).difference(waiting))
            wanting += islice(archive.open_minutes(elsewhere, wanted.topics), wanted.photos_per_request - len(waiting))
        with self._keeping_failure(waiting[0], "FetchMetadata"):
            filed = steps.fetch_metadata(waiting[0], archive, wanted, wanting)
            return [minute for minute in waiting if minute in filed]
        return []

    def _store(self, ready: Sequence[datetime]) -> list[datetime]:
        """Store the pictures of minutes that have their photo, the next ones being fetched meanwhile; return those stored."""
        archive, wanted = settings.archive(), settings.unsplash_settings()
        shown: dict[datetime, dict[str, Any]] = {}
        try:
            for minute, fetch in self._fetched_ahead(ready):
                with self._keeping_failure(minute, "StoreImage"):
                    stored = steps.store_picture(minute, archive, fetch)
                    shown[minute] = stored.entry
                    self.progress.report(minute)
                    steps.report_download(stored.photo, archive, wanted, self.requests_reserved)
        finally:
            with log.log_errors("page"):
                page.add_pictures(archive, shown)
            steps.note_quota(archive, wanted)
        return list(shown)

    def _fetched_ahead(self, ready: Sequence[datetime]) -> Iterator[tuple[datetime, Any]]:
        """Give each minute with what returns its picture's bytes, while those of the next ones are on their way.

        Over a slow line what is on its way takes its time from each other: so many go together as come quickly.
        """
        archive, wanted = settings.archive(), settings.unsplash_settings()
        client, ahead = unsplash.client(wanted.answer_seconds), 2
        under_way: deque[tuple[datetime, Any, float]] = deque()
        for minute in (*ready, None):
            while under_way and (minute is None or len(under_way) >= ahead):
                first, fetch, began = under_way.popleft()
                yield first, fetch
                is_quick = time.monotonic() - began < QUICK_SECONDS
                ahead = min(ahead + 1, AHEAD_IN_FULL if wanted.size == "full" else AHEAD) if is_quick else max(1, ahead // 2)
            if minute:
                with self._keeping_failure(minute, "ExtractUrl"):
                    address = steps.extract_url(minute, archive, wanted)
                    fetch = client.prefetch(address, unsplash.MAX_PICTURE_BYTES[wanted.size])
                    under_way.append((minute, fetch, time.monotonic()))

    @contextmanager
    def _keeping_failure(self, minute: datetime, step: str) -> Iterator[None]:
        """Keep why the minute's step failed, for the others to go on; raise what ends the whole run."""
        try:
            yield
        except PipelineError as error:
            end = error if isinstance(error, EndsRun) and not isinstance(error, NameTaken) else None
            outcomes.keep_failure(minute, f"{step}: {error}")
            self.progress.report(minute, f"{step}: {error}", end)
            if end and not isinstance(end, QuotaExceeded):  # with the quota used up, what has its photo already goes on
                outcomes.end_run()
            if end:
                raise


@Slice.event_handler(luigi.Event.PROCESS_FAILURE)
def _killed(work: Slice, reason: str) -> None:
    log.logger.warning("a process of the catch-up was killed, most often for want of memory: fewer --workers need less")


@Slice.event_handler(luigi.Event.FAILURE)
def _failed(work: Slice, error: BaseException) -> None:
    if not isinstance(error, PipelineError):
        log.logger.error("%s failed", work, exc_info=error)


def still_missing(asked: Collection[datetime]) -> list[datetime]:
    """Return those of the minutes that no run has stored by now, in order."""
    if not (known := frozenset(asked)):
        return []
    return [minute for minute in settings.archive().missing(min(known), max(known) + MINUTE) if minute in known]


def slices(missing: Collection[datetime], progress: Progress) -> list[Slice]:
    """Return the slices of what is missing, the newest first."""
    wanted, length = settings.unsplash_settings(), window_length()
    of_topic, found = defaultdict[str, list[datetime]](list), defaultdict[tuple[datetime, str], list[datetime]](list)
    for minute in sorted(missing, reverse=True):
        topic = minutes.topic_of(minute, wanted.topics)
        of_topic[topic].append(minute)
        found[minute - (minute - EPOCH) % length, topic].append(minute)
    made = [Slice(window=window, topic=topic) for window, topic in found]
    for work, of_slice in zip(made, found.values(), strict=True):  # Luigi returns the same object to the next round
        work.found, work.of_topic, work.progress = of_slice, of_topic[work.topic], progress
        # What waits for an answer of the API comes before the download events.
        work.requests_reserved = wanted.requests_reserved + len(found)
    return made


def window_length() -> timedelta:
    """Return how long a window is: 26 rounds for 30 photos, of which some are of Unsplash+, gave most pictures a request."""
    wanted = settings.unsplash_settings()
    rounds = max(1, wanted.photos_per_request * 13 // 15)
    return rounds * len(wanted.topics) * MINUTE


def run(work: Sequence[Slice], workers: int, shared_scheduler: Any) -> None:
    """Try each of the slices once, in a process each or, with no workers, in this one; BadSettings if luigid has gone away."""
    # A scheduler of this process leaves what failed to the next round: other slices come first.
    scheduler = shared_scheduler or Scheduler(prune_on_get_work=False, record_task_history=False)
    try:
        with Worker(scheduler, worker_processes=max(1, workers), keep_alive=False, force_multiprocessing=workers > 0) as worker:
            for each in work:
                worker.add(each)
            worker.run()
    except RPCError:
        raise BadSettings(f"luigid does not answer any more at {luigid.address()}") from None


def with_others(work: Sequence[Slice], scheduler: Any) -> set[str]:
    """Return which of the slices another host has under way, or has just done as far as it wanted."""
    known = {each for status in (RUNNING, DONE) for each in scheduler.task_list(status=status, upstream_status="")}
    return known.intersection(each.task_id for each in work)


def store_missing(
    missing: Sequence[datetime], archive: Archive, workers: int, shared: bool, progress: Progress
) -> list[datetime]:
    """Store the minutes, round after round, while a round stores any of them or another host does; return what is left."""
    scheduler, left, theirs = None, list(missing), set[str]()
    if missing:
        unsplash.api_key()  # without one each slice would say so
        archive.try_filing(missing[-1], 1)
    if missing and shared:
        if not luigid.answers(luigid.address()):  # at once: Luigi itself goes on asking for a minute
            raise BadSettings(f"luigid does not answer at {luigid.address()}: start it, or leave out --shared")
        scheduler = RemoteScheduler(luigid.address())
    while left and not progress.ended_by:
        work = slices(left, progress)
        for start in range(0, len(work), SLICES_AT_ONCE):
            batch = work[start : start + SLICES_AT_ONCE]
            if isinstance(progress.ended_by, QuotaExceeded):
                batch = [each for each in batch if each.has_photos()]
            elif progress.ended_by:
                break
            run(batch, workers, scheduler)
        before, left = len(left), still_missing(left)
        if len(left) == before:
            # A host that dies lets go of its slices: those that were with others when this one looked last have another round.
            theirs, theirs_before = with_others(slices(left, progress), scheduler) if scheduler else set(), theirs
            if not (theirs or theirs_before):
                break
            time.sleep(SECONDS_BETWEEN_LOOKS)
    return left


def catch_up(start: datetime, stop: datetime, limit: int | None, workers: int, shared: bool) -> tuple[bool, str]:
    """Store what is missing from start to before stop; return, or after Ctrl-C raise, what to say, and if all is stored."""
    archive = settings.archive()
    archive.warn_of_conditions()
    missing = archive.missing(start, stop)
    chosen = missing[-limit:] if limit else missing
    workers, state, left = workers if processes.can_fork() else 0, "done", None
    with Progress(len(chosen), archive) as progress:
        try:
            with processes.taking_interrupts():
                left = store_missing(chosen, archive, workers, shared, progress)
        except KeyboardInterrupt:
            state = "stopped"
        finally:
            left = still_missing(chosen) if left is None else left
            if stored := set(chosen).difference(left):
                with log.log_errors("page"):
                    page.mend(archive, stored)
    said = progress.summary(str(progress.ended_by or state), frozenset(left))
    if limited := len(missing) - len(chosen):
        said += f"\n{limited:,} more are missing, left out by --limit"
    if shared:
        said += f"\nthis host stored {progress.stored} of {len(stored)}"
    if state == "stopped":
        raise KeyboardInterrupt(said)
    return not left and len(chosen) == len(missing), said
