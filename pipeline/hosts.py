"""Share a catch-up with other hosts: luigid gives each slice of it to one of them at a time.

The slices lie on a grid that is the same on every host, whatever each has found missing: time is cut into windows of whole
rounds, and a slice is the minutes of one topic in one window. luigid knows slices and nothing below: the tasks of its minutes
are run inside it.
"""

import contextlib
import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import luigi
import requests
from luigi.rpc import RemoteScheduler, RPCError
from luigi.scheduler import DONE, FAILED  # type: ignore[attr-defined]
from luigi.worker import Worker

from pipeline import catchup, minutes, settings
from pipeline.catchup import Outcome, Progress
from pipeline.errors import EndsRun, LuigidAway, MayPass, PipelineError
from pipeline.minutes import EPOCH, MINUTE, MinuteParameter
from pipeline.storage import Store

# What luigid does for a slice grows with the slices it knows: 0.2 ms with 200 of them, 1.8 ms with 1,000, 14 ms with 4,000.
SLICES_AT_ONCE = 500
LISTING_SECONDS = 5
# luigid takes no task again that was done so recently ([scheduler] stable_done_cooldown_secs), though it lacks minutes that
# only this host wants.
DONE_SECONDS = 10
IDLE_ROUNDS = 2
PROBE_SECONDS = 10

_DAY = timedelta(days=1)
_ENDS_RUN = "the host's run ends: "


class Slice(luigi.Task):
    """Store a topic's minutes in one window, as far as they are missing and wanted by this host."""

    window = MinuteParameter(description="the window's first minute")
    topic = luigi.Parameter()
    # No part of what the slice is: hosts may want different spans of it.
    start = MinuteParameter(significant=False)
    stop = MinuteParameter(significant=False)
    requests_reserved = luigi.IntParameter(significant=False)

    def complete(self) -> bool:
        """Tell whether nothing of it is missing, as of a few seconds ago: the slices of a day share one listing."""
        first, last = self._span()
        asked_now = int(time.monotonic() / LISTING_SECONDS)
        days = range((last.date() - first.date()).days + 1)
        midnight = first.replace(hour=0, minute=0)
        return not any(self._wants(minute) for day in days for minute in _missing_in_day(midnight + day * _DAY, asked_now))

    def run(self) -> None:
        """Store what is missing now, a try each and one request of the API at most; what stays missing fails the slice."""
        catchup.begin_process()
        wanted, store = settings.unsplash_settings(), settings.store()
        for part in catchup.slices(self._missing(), store, wanted.topics, wanted.photos_per_request):
            if end := catchup.store_slice(part, self.requests_reserved).end:
                raise end
        if left := self._missing():
            reasons = (store.reason(minute) for minute in left)
            raise MayPass(f"{len(left)} still missing: {next(filter(None, reasons), 'without a photo, or stopped')}")

    def on_failure(self, exception: BaseException) -> str:
        """Return what luigid shows as the reason: one line where the error is named."""
        if isinstance(exception, PipelineError):
            return f"{_ENDS_RUN}{exception}" if isinstance(exception, EndsRun) else str(exception)
        return str(super().on_failure(exception))

    def _missing(self) -> list[datetime]:
        return [minute for minute in settings.store().missing_minutes(*self._span()) if self._wants(minute)]

    def _span(self) -> tuple[datetime, datetime]:
        return max(self.window, self.start), min(self.window + _window_length(), self.stop)

    def _wants(self, minute: datetime) -> bool:
        first, stop = self._span()
        return first <= minute < stop and minutes.topic_of(minute, settings.unsplash_settings().topics) == self.topic


def store_all(missing: Sequence[datetime], store: Store, workers: int, progress: Progress) -> EndsRun | None:
    """Store the minutes together with the other hosts; return what ended it before its time, if so.

    It goes on while other hosts have slices under way: they come free if that host dies. LuigidAway if luigid does not answer.
    """
    host, left, idle = _Host(progress), list(missing), 0
    with _ending_after_pictures() as interrupted:
        while not (host.end or interrupted()) and idle < IDLE_ROUNDS and (work := host.slices(left)):
            try:
                luigi.build(work, worker_scheduler_factory=host, workers=workers, local_scheduler=False)
            except RPCError:
                raise LuigidAway(f"luigid does not answer any more at {host.url}") from None
            before, wanted = len(left), frozenset(left)
            left = [minute for minute in store.missing_minutes(left[0], left[-1] + MINUTE) if minute in wanted]
            if len(left) == before and not (host.end or interrupted()):
                idle += 1
                time.sleep(DONE_SECONDS)
        stored = len(missing) - len(left)
        reasons = {minute: reason for minute in host.failed(left) if (reason := store.reason(minute))}
        progress.add(Outcome(stored - progress.stored, reasons, None))
        if interrupted():
            raise KeyboardInterrupt
    print(f"this host stored {host.stored} of {stored}", file=sys.stderr)
    return host.end


class _Host:
    """What Luigi needs to run slices here, and what came of them."""

    def __init__(self, progress: Progress) -> None:
        self.url = ""
        self.stored = 0
        self.end: EndsRun | None = None
        self._progress = progress
        self._minutes: dict[str, list[datetime]] = {}
        self._failed: set[str] = set()

    def slices(self, missing: Sequence[datetime]) -> list[Slice]:
        """Return the slices of what is missing that luigid has not given up, the newest first and no more than it bears."""
        wanted, length = settings.unsplash_settings(), _window_length()
        cut: dict[tuple[datetime, str], list[datetime]] = {}
        for minute in sorted(missing, reverse=True):
            window = minute - (minute - EPOCH) % length
            cut.setdefault((window, minutes.topic_of(minute, wanted.topics)), []).append(minute)
        # What waits for an answer of the API comes before the download events.
        reserved = wanted.requests_reserved + min(len(cut), SLICES_AT_ONCE)
        span = {"start": min(missing), "stop": max(missing) + MINUTE} if missing else {}
        made = {Slice(window, topic, requests_reserved=reserved, **span): its for (window, topic), its in cut.items()}
        todo = [work for work in made if work.task_id not in self._failed][:SLICES_AT_ONCE]
        self._minutes = {work.task_id: its for work, its in made.items()}
        return todo

    def failed(self, missing: Sequence[datetime]) -> list[datetime]:
        """Return those of the missing minutes whose slice failed here."""
        failed = {minute for task_id in self._failed for minute in self._minutes.get(task_id, ())}
        return [minute for minute in missing if minute in failed]

    def note(self, task_id: str, status: str, reason: str | None) -> None:
        """Note that luigid was told this of a slice; there is a reason, if an empty one, where it was run here."""
        if status == FAILED:
            self._failed.add(task_id)
            said = str(json.loads(reason or '""'))
            if said.startswith(_ENDS_RUN):
                self.end = EndsRun(said.removeprefix(_ENDS_RUN))
        elif status == DONE:
            self._failed.discard(task_id)
            stored = len(self._minutes.get(task_id, ()))
            self.stored += stored if reason is not None else 0
            self._progress.add(Outcome(stored, {}, None))

    def create_remote_scheduler(self, url: str) -> "_Luigid":
        """Return the way to luigid; LuigidAway at once if it does not answer, as Luigi itself goes on asking for a minute."""
        self.url = url
        try:
            requests.head(url, timeout=PROBE_SECONDS)
        except requests.RequestException:
            raise LuigidAway(f"luigid does not answer at {url}: start it, or leave out --shared") from None
        return _Luigid(url, self.note)

    def create_worker(self, scheduler: "_Luigid", worker_processes: int, assistant: bool = False) -> Worker:
        """Return a worker that has a process for each slice, and stays as long as luigid knows of work."""
        return Worker(scheduler, worker_processes=worker_processes, keep_alive=True, force_multiprocessing=True)


class _Luigid(RemoteScheduler):
    """luigid, as this host's worker sees it: slices that run elsewhere are work to wait for."""

    def __init__(self, url: str, note: Callable[[str, str, str | None], None]) -> None:
        super().__init__(url)
        self._note = note

    def get_work(self, **asked: Any) -> Any:
        answer = super().get_work(**asked)  # type: ignore[misc, unused-ignore]
        answer["n_pending_tasks"] += len(answer["running_tasks"])
        return answer

    def add_task(self, **told: Any) -> None:
        super().add_task(**told)  # type: ignore[misc, unused-ignore]
        self._note(told["task_id"], told["status"], told.get("expl"))


def _window_length() -> timedelta:
    """Return how long a window is: a slice of it has a few minutes less than an answer has photos.

    Of 30 photos 2 are of Unsplash+ on average, and left out: slices of 30 minutes ask twice nearly always. Measured over 2,880
    minutes, a request gives 16 pictures with 30 rounds, 21 with 28, and 24 with 26.
    """
    wanted = settings.unsplash_settings()
    rounds = max(1, wanted.photos_per_request * 13 // 15)
    return rounds * len(wanted.topics) * MINUTE


@functools.lru_cache(maxsize=32)
def _missing_in_day(midnight: datetime, asked_at: int) -> frozenset[datetime]:
    return frozenset(settings.store().missing_minutes(midnight, midnight + _DAY))


@contextlib.contextmanager
def _ending_after_pictures() -> Iterator[Callable[[], bool]]:
    """Have Ctrl-C end the slices after the pictures that they are at, and a second one at once; lend what tells of it."""
    interrupts, host = [], os.getpid()

    def end(signum: int, frame: object) -> None:
        if os.getpid() == host:
            interrupts.append(signum)
            signal.signal(signal.SIGINT, before)
            os.kill(host, signal.SIGUSR1)
            catchup.end_slices()
        else:  # a slice's process that has only just been made
            catchup.interrupt()

    before = signal.signal(signal.SIGINT, end if hasattr(signal, "SIGUSR1") else signal.default_int_handler)
    try:
        yield lambda: bool(interrupts)
    finally:
        signal.signal(signal.SIGINT, before)
