"""Store what is missing: slices of minutes that share one answer of the API, side by side in processes.

A slice is at most as many minutes of one topic as an answer has photos. Each is an ordinary Luigi run with one worker, so that
the tasks stay those of a single minute, every scheduler small, and no answer is fetched twice. A minute that fails has its next
try in the next round, among other slices; neighbours that are stored are not tried again.
"""

import argparse
import contextlib
import gc
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import luigi
from luigi.scheduler import Scheduler
from luigi.task_register import Register
from luigi.worker import DequeQueue, Worker

from pipeline import gallery, log, minutes, quota, settings
from pipeline.errors import EndsRun, PipelineError, QuotaExceeded, SliceKilled
from pipeline.minutes import MINUTE, REACH
from pipeline.storage import Store
from pipeline.tasks import StoreImage

ROUNDS = 3
LEFT_ALONE = 5 * MINUTE
SECONDS_BETWEEN_LINES = 5
STOPPED = 130
TASK_FAILED = 30

# Windows has neither SIGUSR1 nor a way to have signals wait.
_SIGNALS = {signal.SIGINT, signal.SIGUSR1} if hasattr(signal, "SIGUSR1") else set()

_SPAN_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Slice(NamedTuple):
    """Minutes that are stored by one Luigi run; those with `asks` need one answer of the API first."""

    minutes: tuple[datetime, ...]
    asks: bool


class Outcome(NamedTuple):
    """What became of a slice: pictures stored, reasons of failures, and what ends the whole catch-up, if anything does."""

    stored: int
    failures: dict[datetime, str]
    end: EndsRun | None


def slices(missing: Sequence[datetime], store: Store, topics: Sequence[str], most: int) -> list[Slice]:
    """Return the missing minutes as slices, the newest first."""
    ready = store.filed(missing)
    made = [Slice(tuple(ready[start : start + most]), asks=False) for start in range(0, len(ready), most)]
    of_topic: dict[str, list[datetime]] = {}
    for minute in sorted(set(missing).difference(ready)):
        of_topic.setdefault(minutes.topic_of(minute, topics), []).append(minute)
    for waiting in of_topic.values():
        made += [Slice(part, asks=True) for part in _parts(waiting, most)]
    return sorted(made, key=lambda each: (not each.asks, each.minutes[-1]), reverse=True)


def _parts(waiting: Sequence[datetime], most: int) -> Iterator[tuple[datetime, ...]]:
    """Cut the minutes, oldest first, into parts that one answer's look-ahead reaches."""
    start = 0
    for end in range(1, len(waiting) + 1):
        if end == len(waiting) or end - start == most or waiting[end] - waiting[start] > REACH:
            yield tuple(waiting[start:end])
            start = end


def store_slice(work: Slice, reserve: int) -> Outcome:
    """Run the slice's minutes, one try each; no download is reported with the last `reserve` requests of the quota."""
    luigi.configuration.get_config().set("unsplash", "requests_reserved", str(reserve))
    settings.unsplash_settings.cache_clear()
    ends: list[EndsRun] = []

    def note(task: Any, error: BaseException) -> None:
        if isinstance(error, EndsRun):
            ends.append(error)

    luigi.Task.event_handler(luigi.Event.FAILURE)(note)
    store = settings.store()
    with gallery.pages_waiting():
        tried = list(work.minutes[:1] if work.asks else work.minutes)
        goes_on = _build(tried)
        if work.asks and goes_on and not ends:
            # The first minute's answer has given the others their photos: those it had none for wait for the next round.
            others = store.filed(work.minutes[1:])
            _build(others)
            tried += others
    luigi.Task.remove_event_handler(luigi.Event.FAILURE, note)
    Register.clear_instance_cache()  # Luigi would keep every task of every slice
    failed = sorted(set(tried).difference(store.stored(tried)))
    # Those without a reason were not tried before the slice was ended.
    reasons = {minute: reason for minute in failed if (reason := store.reason(minute))}
    return Outcome(len(tried) - len(failed), reasons, next(iter(ends), None))


def add_arguments(parser: argparse.ArgumentParser, minute: Callable[[str], datetime]) -> None:
    """Add the options of `python -m pipeline catch-up`."""
    parser.add_argument("--since", type=_span, default=_span("24h"), help="how far back: 90m, 24h, 7d (default: 24h)")
    parser.add_argument("--start", type=minute, help="first minute, in place of --since")
    parser.add_argument("--stop", type=minute, help="first minute left alone (default: 5 minutes ago)")
    parser.add_argument("--limit", type=int, help="store so many minutes at most, the newest")
    parser.add_argument("--workers", type=int, default=24, help="processes side by side, at most (default: 24)")
    parser.add_argument(
        "--shared", action="store_true", help="share the work with other hosts, through the luigid of luigi.cfg"
    )


def run(options: argparse.Namespace, store_all: "StoreAll") -> int:
    """Store what is missing, all of it by `store_all`; return 0 only if nothing is missing any more."""
    log.set_up()
    log.logger.setLevel("WARNING")
    store, now = settings.store(), minutes.present_minute()
    stop = options.stop or now - LEFT_ALONE
    start = options.start or max(now - options.since, store.oldest_minute() or now)
    missing = store.missing_minutes(start, stop)
    chosen = missing[-options.limit :] if options.limit else missing
    progress = Progress(len(chosen), store)
    try:
        end = store_all(chosen, store, options.workers, progress)
    except KeyboardInterrupt:
        progress.close("stopped")
        return STOPPED
    finally:
        _write_pages(store, chosen)
    progress.close(str(end) if end else "done")
    return 0 if progress.stored == len(missing) else TASK_FAILED


def _write_pages(store: Store, tried: Sequence[datetime]) -> None:
    try:
        if stored := store.stored(tried):
            gallery.write_pages(store, stored)
    except PipelineError as error:
        print(f"the pages could not be written: {error}", file=sys.stderr)


def store_all(missing: Sequence[datetime], store: Store, workers: int, progress: "Progress") -> EndsRun | None:
    """Store the minutes, round after round, while a round stores anything; return what ended it before its time, if so."""
    wanted = settings.unsplash_settings()
    end: EndsRun | None = None
    for _ in range(ROUNDS):
        before = progress.stored
        end = _store_slices(slices(missing, store, wanted.topics, wanted.photos_per_request), workers, progress)
        missing = sorted(set(missing).difference(store.stored(missing)))
        if end or not missing or progress.stored == before:
            break
    return end


def _store_slices(waiting: Sequence[Slice], workers: int, progress: "Progress") -> EndsRun | None:
    """Run the slices in so many processes at most; return what ended them before their time, if so."""
    reserved = settings.unsplash_settings().requests_reserved
    queue, running = deque(waiting), set[Future[Outcome]]()
    end: EndsRun | None = None
    gc.freeze()  # what is here by now is shared with the processes, and not copied into each by its search for cycles
    processes = max(1, min(workers, len(queue)))
    with ProcessPoolExecutor(processes, initializer=begin_process) as pool:
        try:
            while queue or running:
                while queue and len(running) < processes:
                    work = queue.popleft()
                    # What still waits for an answer of the API comes before the download events.
                    reserve = reserved + sum(later.asks for later in queue)
                    with _signals_waiting():  # a process that is being made cannot take one yet
                        running.add(pool.submit(store_slice, work, reserve))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for outcome in (future.result() for future in done):
                    progress.add(outcome)
                    if outcome.end:
                        end = outcome.end
                        # With the quota used up, what has its photo already goes on.
                        queue = deque(work for work in queue if not work.asks and isinstance(end, QuotaExceeded))
        except KeyboardInterrupt:
            end_slices()
            for future in as_completed(running):
                progress.add(future.result())
            raise
        except BrokenProcessPool:
            raise SliceKilled("a process was killed, most often for want of memory: fewer --workers need less") from None
    return end


class _Results(DequeQueue):
    """What a worker's tasks gave, in its own process: Luigi's queue for other processes costs a thread and a pipe."""

    def close(self) -> None:
        """Do nothing: there is nothing to let go."""


class _OneTry:
    """Make Luigi's scheduler and worker for a slice: a failed task does not wait in it for another try."""

    def create_local_scheduler(self) -> Scheduler:
        return Scheduler(prune_on_get_work=False, record_task_history=False, retry_count=1)

    def create_worker(self, scheduler: Scheduler, worker_processes: int, assistant: bool = False) -> Worker:
        # A scheduler in this process need not hear that the worker lives; and where this process is a task of another worker,
        # the lock that the pings take was held when it was forked, and stays so.
        options = {"keep_alive": False, "ping_interval": threading.TIMEOUT_MAX}
        worker = Worker(scheduler=scheduler, worker_processes=worker_processes, assistant=assistant, **options)
        worker._task_result_queue = _Results()  # type: ignore[assignment]
        if _SIGNALS:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # from here on the worker takes SIGUSR1
        self.worker = worker
        return worker


def _build(tried: Sequence[datetime]) -> bool:
    """Run the minutes' tasks, a try each; return whether nothing told the worker to take no more of them."""
    if not tried:
        return True
    made = _OneTry()
    with _signals_waiting():
        tasks = [StoreImage(timestamp=minute) for minute in tried]
        luigi.build(tasks, worker_scheduler_factory=made, local_scheduler=True, workers=1)
    return not made.worker._stop_requesting_work


@contextlib.contextmanager
def _signals_waiting() -> Iterator[None]:
    """Have the signals that end slices wait, here and in the processes that are made meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS) if _SIGNALS else ()
    try:
        yield
    finally:
        if _SIGNALS:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_process() -> None:
    """Leave Ctrl-C to the parent, which ends the slices; and end with the parent, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if _SIGNALS:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # until there is a worker to take them
    parent_process = multiprocessing.parent_process()

    def follow() -> None:
        if parent_process:
            parent_process.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def end_slices() -> None:
    """Have every slice end after the picture that it is at, by Luigi's own signal for it."""
    if _SIGNALS:
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGUSR1)


class Progress:
    """What is done so far: a bar on a terminal, a plain line now and then elsewhere."""

    def __init__(self, total: int, store: Store) -> None:
        self.stored = 0
        self.failures: dict[datetime, str] = {}
        self._total = total
        self._store = store
        self._began = self._said = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            tqdm.monitor_interval = 0  # its thread would be there when processes are forked
            self._bar = tqdm(total=total, unit="picture", smoothing=0.1)

    def add(self, outcome: Outcome) -> None:
        """Count a slice's outcome."""
        self.stored += outcome.stored
        self.failures |= outcome.failures
        if self._bar is not None:
            self._bar.set_postfix_str(self._rest())
            self._bar.update(outcome.stored)
        elif time.monotonic() - self._said >= SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            self._say("going on")

    def close(self, state: str) -> None:
        """Say how it ended, with the reason of every failure."""
        if self._bar is not None:
            self._bar.close()
        for minute in sorted(self.failures.keys() - self._store.stored(list(self.failures))):
            print(f"{minutes.name(minute)} failed: {self.failures[minute]}", file=sys.stderr)
        self._say(state)

    def _say(self, state: str) -> None:
        rate = self.stored / max(time.monotonic() - self._began, 0.001)
        print(f"{state}: {self.stored} of {self._total} missing stored, {rate:.0f}/s, {self._rest()}", file=sys.stderr)

    def _rest(self) -> str:
        reading = quota.reading_of_this_hour(self._store)
        left = f"{reading.remaining} of {reading.limit} requests left" if reading else "quota not known"
        return f"{len(self.failures)} failed, {left}"


StoreAll = Callable[[Sequence[datetime], Store, int, Progress], EndsRun | None]


def _span(text: str) -> timedelta:
    if not (parts := re.fullmatch(r"(\d{1,5})([mhd])", text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no span: write 90m, 24h or 7d")
    return timedelta(**{_SPAN_UNITS[parts[2]]: int(parts[1])})
