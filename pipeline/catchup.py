"""Store what is missing: Luigi run on slices, alone or together with other hosts.

A round tries every slice once, the newest first, and there is another round while one stores anything.
"""

import multiprocessing
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import luigi
from luigi.rpc import RemoteScheduler, RPCError
from luigi.scheduler import DONE, RUNNING, Scheduler  # type: ignore[attr-defined]
from luigi.worker import Worker

from pipeline import log, luigid, page, processes, settings, unsplash
from pipeline.archive import Archive
from pipeline.errors import LuigidAway, QuotaExceeded
from pipeline.minutes import MINUTE
from pipeline.progress import Progress
from pipeline.slices import Slice, slices

# What a scheduler does for a slice grows with the slices it knows: in luigid 0.2 ms with 200 of them, 14 ms with 4,000.
SLICES_AT_ONCE = 250
SECONDS_BETWEEN_LOOKS = 5


class Host:
    """What Luigi's `build` asks of a host: its scheduler, and a worker that has a process for each slice and waits for none."""

    def __init__(self) -> None:
        self.scheduler: Any = None
        self.url = ""

    def create_local_scheduler(self) -> Any:
        """Return a scheduler of this process, which leaves what failed to the next round: other slices come first."""
        self.scheduler = Scheduler(prune_on_get_work=False, record_task_history=False)
        return self.scheduler

    def create_remote_scheduler(self, url: str) -> Any:
        """Return the way to luigid; LuigidAway at once if it does not answer, as Luigi itself goes on asking for a minute."""
        self.url = url
        if not luigid.answers(url):
            raise LuigidAway(f"luigid does not answer at {url}: start it, or leave out --shared")
        self.scheduler = RemoteScheduler(url)
        return self.scheduler

    def create_worker(self, scheduler: Any, worker_processes: int, assistant: bool = False) -> Worker:
        """Return a worker that leaves when there is nothing more to begin."""
        can_fork = "fork" in multiprocessing.get_all_start_methods()
        return Worker(scheduler, worker_processes=worker_processes, keep_alive=False, force_multiprocessing=can_fork)

    def run(self, work: Sequence[Slice], workers: int, shared: bool) -> None:
        """Try each of the slices once; LuigidAway if luigid has gone away."""
        try:
            luigi.build(work, worker_scheduler_factory=self, workers=workers, local_scheduler=not shared)
        except RPCError:
            raise LuigidAway(f"luigid does not answer any more at {self.url}") from None

    def with_others(self, work: Iterable[Slice]) -> set[str]:
        """Return which of the slices another host has under way, or has just done as far as it wanted."""
        known = {each for status in (RUNNING, DONE) for each in self.scheduler.task_list(status=status, upstream_status="")}
        return known.intersection(each.task_id for each in work)


def store_missing(missing: Sequence[datetime], archive: Archive, workers: int, shared: bool, progress: Progress) -> None:
    """Store the minutes, round after round, while a round stores any of them or another host does."""
    host, left, with_others = Host(), list(missing), set[str]()
    if missing:
        unsplash.api_key()  # without one each slice would say so
        archive.try_filing(missing[-1], 1)
    while left and not progress.ended_by:
        work = slices(left, progress)
        for start in range(0, len(work), SLICES_AT_ONCE):
            if progress.ended_by is None or isinstance(progress.ended_by, QuotaExceeded):
                host.run(work[start : start + SLICES_AT_ONCE], workers, shared)
        before, wanted = len(left), frozenset(left)
        left = [minute for minute in archive.missing(left[0], left[-1] + MINUTE) if minute in wanted]
        if len(left) == before:
            # A host that dies lets go of its slices: those that were with others when this one looked last have another round.
            with_others, before_that = host.with_others(slices(left, progress)) if shared else set(), with_others
            if not (with_others or before_that):
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
    state = "done"
    with Progress(len(chosen), archive) as progress:
        try:
            with processes.taking_interrupts():
                store_missing(chosen, archive, workers, shared, progress)
        except KeyboardInterrupt:
            state = "stopped"
        finally:
            left = set(archive.missing(chosen[0], chosen[-1] + MINUTE)).intersection(chosen) if chosen else set()
            _show(archive, set(chosen) - left)
    said = progress.summary(str(progress.ended_by or state), left)
    if shared:
        said += f"\nthis host stored {progress.stored} of {len(chosen) - len(left)}"
    if state == "stopped":
        raise KeyboardInterrupt(said)
    return not left and len(chosen) == len(missing), said


def _show(archive: Archive, stored: set[datetime]) -> None:
    with log.log_errors("page"):
        if stored:
            page.complete_hours(archive, stored)
            page.show_newest(archive)
            page.refresh(archive, {minute.date() for minute in stored})
