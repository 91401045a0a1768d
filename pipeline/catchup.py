"""Store what is missing: Luigi run on slices, alone or together with other hosts.

A round tries every slice once, the newest first, and there is another round while one stores anything.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from luigi.rpc import RemoteScheduler, RPCError
from luigi.scheduler import DONE, RUNNING, Scheduler  # type: ignore[attr-defined]
from luigi.worker import Worker

from pipeline import log, luigid, page, processes, settings, unsplash
from pipeline.archive import Archive
from pipeline.errors import BadSettings, QuotaExceeded
from pipeline.minutes import MINUTE
from pipeline.progress import Progress
from pipeline.slices import Slice, slices

# What a scheduler does for a slice grows with the slices it knows: in luigid 0.2 ms with 200 of them, 14 ms with 4,000.
SLICES_AT_ONCE = 250
SECONDS_BETWEEN_LOOKS = 5


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


def store_missing(missing: Sequence[datetime], archive: Archive, workers: int, shared: bool, progress: Progress) -> None:
    """Store the minutes, round after round, while a round stores any of them or another host does."""
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
            if progress.ended_by is None or isinstance(progress.ended_by, QuotaExceeded):
                run(work[start : start + SLICES_AT_ONCE], workers, scheduler)
        before, wanted = len(left), frozenset(left)
        left = [minute for minute in archive.missing(left[0], left[-1] + MINUTE) if minute in wanted]
        if len(left) == before:
            # A host that dies lets go of its slices: those that were with others when this one looked last have another round.
            theirs, theirs_before = with_others(slices(left, progress), scheduler) if scheduler else set(), theirs
            if not (theirs or theirs_before):
                break
            time.sleep(SECONDS_BETWEEN_LOOKS)


def catch_up(start: datetime, stop: datetime, limit: int | None, workers: int, shared: bool) -> tuple[bool, str]:
    """Store what is missing from start to before stop, the newest first; return whether nothing is missing, and what to say.

    After Ctrl-C it raises KeyboardInterrupt, with what to say.
    """
    archive = settings.archive()
    archive.warn_of_conditions()
    missing = archive.missing(start, stop)
    chosen = missing[-limit:] if limit else missing
    workers, state = workers if processes.fork() else 0, "done"
    with Progress(len(chosen), archive) as progress:
        try:
            with processes.taking_interrupts():
                store_missing(chosen, archive, workers, shared, progress)
        except KeyboardInterrupt:
            state = "stopped"
        finally:
            left = set(archive.missing(chosen[0], chosen[-1] + MINUTE)).intersection(chosen) if chosen else set()
            if stored := set(chosen) - left:
                with log.log_errors("page"):
                    page.complete_hours(archive, stored)
                    page.show_newest(archive)
                    page.refresh(archive, {minute.date() for minute in stored})
    said = progress.summary(str(progress.ended_by or state), left)
    if shared:
        said += f"\nthis host stored {progress.stored} of {len(stored)}"
    if state == "stopped":
        raise KeyboardInterrupt(said)
    return not left and len(chosen) == len(missing), said
