"""Store what is missing: slices of minutes that share one answer of the API, side by side in processes.

A slice is at most as many minutes of one topic as an answer has photos, so that no answer is fetched twice. Its tasks are those
of a single minute, each run after what it requires; there is no choice between them that would want a scheduler. The next
pictures are asked for while one is stored. A minute that fails has its next try in the next round, among other slices;
neighbours that are stored are not tried again.
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
from luigi.task_register import Register

from pipeline import gallery, log, minutes, quota, settings, unsplash
from pipeline.errors import EndsRun, PipelineError, QuotaExceeded, SliceKilled
from pipeline.minutes import MINUTE, REACH
from pipeline.storage import Store
from pipeline.tasks import ExtractUrl, FetchMetadata, StoreImage

ROUNDS = 3
# Pictures that a slice has asked for at once, at most: with 100 ms to their host the cores are busy all the same.
AHEAD = 8
LEFT_ALONE = 5 * MINUTE
SECONDS_BETWEEN_LINES = 5
STOPPED = 130
TASK_FAILED = 30

_CAN_WAIT = hasattr(signal, "pthread_sigmask")
_interrupts: list[float] = []

_SPAN_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Slice(NamedTuple):
    """Minutes to store one after the other; before them `asks`, if they need it, asks the API for the photos of all."""

    minutes: tuple[datetime, ...]
    asks: datetime | None


class Outcome(NamedTuple):
    """What became of a slice: pictures stored, reasons of failures, and what ends the whole catch-up, if anything does."""

    stored: int
    failures: dict[datetime, str]
    end: EndsRun | None


def slices(missing: Sequence[datetime], store: Store, topics: Sequence[str], most: int) -> list[Slice]:
    """Return the missing minutes as slices, the newest first."""
    ready = store.filed(missing)
    made = [Slice(tuple(ready[start : start + most]), asks=None) for start in range(0, len(ready), most)]
    of_topic: dict[str, list[datetime]] = {}
    for minute in sorted(set(missing).difference(ready)):
        of_topic.setdefault(minutes.topic_of(minute, topics), []).append(minute)
    for waiting in of_topic.values():
        made += [Slice(part, asks=part[0]) for part in _parts(waiting, most)]
    return sorted(made, key=lambda each: (not each.asks, each.minutes[-1]), reverse=True)


def _parts(waiting: Sequence[datetime], most: int) -> Iterator[tuple[datetime, ...]]:
    """Cut the minutes, oldest first, into parts that one answer's look-ahead reaches."""
    start = 0
    for end in range(1, len(waiting) + 1):
        if end == len(waiting) or end - start == most or waiting[end] - waiting[start] > REACH:
            yield tuple(waiting[start:end])
            start = end


def store_slice(work: Slice, reserve: int) -> Outcome:
    """Store the slice's minutes, one try each; no download is reported with the last `reserve` requests of the quota."""
    if reserve != settings.unsplash_settings().requests_reserved:
        luigi.configuration.get_config().set("unsplash", "requests_reserved", str(reserve))
        settings.unsplash_settings.cache_clear()
    store, stored, failures = settings.store(), set[datetime](), dict[datetime, str]()
    end: EndsRun | None = None
    try:
        client = unsplash.client(settings.unsplash_settings().answer_seconds)
        with store.written_together() as write_waiting, client.asking_ahead(AHEAD) as ask_ahead:
            tasks = _tasks(work, store, write_waiting, ask_ahead)
            while not (_interrupts or end) and (task := next(tasks, None)):
                error = _run(task)
                end = error if isinstance(error, EndsRun) else None
                if error and not store.picture(task.timestamp).exists():
                    failures[task.timestamp] = store.reason(task.timestamp) or repr(error)
                elif isinstance(task, StoreImage):
                    stored.add(task.timestamp)
    except PipelineError as error:
        # The store is in trouble: what is stored counts, the rest waits for the next round.
        log.logger.warning("%s", error)
        failures |= {minute: str(error) for minute in work.minutes if minute not in stored}
        end = error if isinstance(error, EndsRun) else end
    Register.clear_instance_cache()  # Luigi would keep every task of every slice
    return Outcome(len(stored), failures, end)


def _tasks(
    work: Slice, store: Store, write_waiting: Callable[[], None], ask_ahead: Callable[[str], bool]
) -> Iterator[FetchMetadata | ExtractUrl | StoreImage]:
    """Give the tasks to run: step by step, which a processor does faster, and which lets addresses be written together."""
    if work.asks:
        yield FetchMetadata(timestamp=work.asks)
    # One answer gives the photos of all: minutes that it has none for wait for the next round.
    for minute in (with_photo := [minute for minute in work.minutes if store.metadata(minute).exists()]):
        yield ExtractUrl(timestamp=minute)
    write_waiting()
    asked = deque[datetime]()
    for minute in with_photo:
        if address := store.address(minute).read():
            while not ask_ahead(address) and asked:
                yield StoreImage(timestamp=asked.popleft())
            asked.append(minute)
    for minute in asked:
        yield StoreImage(timestamp=minute)


def _run(task: luigi.Task) -> Exception | None:
    """Run the task, and before it what it requires, as far as that is not complete; return what failed.

    What a Luigi worker does, without asking a scheduler which task is next: that takes a fifth more of the processor's time.
    """
    try:
        if task.complete():
            return None
        for requirement in task.deps():
            if error := _run(requirement):
                return error
        task.run()
    except Exception as error:
        task.trigger_event(luigi.Event.FAILURE, task, error)
        return error
    return None


def add_arguments(parser: argparse.ArgumentParser, minute: Callable[[str], datetime]) -> None:
    """Add the options of `python -m pipeline catch-up`."""
    parser.add_argument("--since", type=_span, default=_span("24h"), help="how far back: 90m, 24h, 7d (default: 24h)")
    parser.add_argument("--start", type=minute, help="first minute, in place of --since")
    parser.add_argument("--stop", type=minute, help="first minute left alone (default: 5 minutes ago)")
    parser.add_argument("--limit", type=int, help="store so many minutes at most, the newest")
    parser.add_argument("--workers", type=int, default=8, help="processes side by side, at most (default: 8)")
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
    if missing:
        unsplash.api_key()  # without one each slice would say so
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
    asking, ready = (deque(work for work in waiting if bool(work.asks) is asks) for asks in (True, False))
    running = dict[Future[Outcome], Slice]()
    end: EndsRun | None = None
    # What is here by now is shared with the processes, and not copied into each by a search for cycles; hardly any are made.
    gc.freeze()
    gc.disable()
    processes = max(1, min(workers, len(waiting)))
    with ProcessPoolExecutor(processes, initializer=begin_process) as pool:
        try:
            while asking or ready or running:
                while (asking or ready) and len(running) < processes:
                    # Answers are asked for ahead, without the minutes: slices that end together do not wait together.
                    is_ahead = len(ready) >= processes
                    work = ready.popleft() if ready and (is_ahead or not asking) else asking.popleft()
                    step = work._replace(minutes=()) if work.asks else work
                    with _interrupts_waiting():
                        # What still waits for an answer of the API comes before the download events.
                        running[pool.submit(store_slice, step, reserved + len(asking))] = work
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    work, outcome = running.pop(future), future.result()
                    progress.add(outcome)
                    if work.asks and not outcome.failures:
                        ready.append(work._replace(asks=None))
                    if outcome.end and (not end or isinstance(end, QuotaExceeded)):
                        end = outcome.end
                    if end:
                        asking.clear()
                        if not isinstance(end, QuotaExceeded):  # with the quota used up, what has its photo already goes on
                            ready.clear()
        except KeyboardInterrupt:
            end_slices()
            for future in as_completed(running):
                progress.add(future.result())
            raise
        except BrokenProcessPool:
            raise SliceKilled("a process was killed, most often for want of memory: fewer --workers need less") from None
    return end


def begin_process() -> None:
    """Have Ctrl-C end the slice after the picture that it is at; and end with the parent, however it ends."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupt)
    if _CAN_WAIT:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent_process = multiprocessing.parent_process()

    def follow() -> None:
        if parent_process:
            parent_process.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def interrupt(*_: object) -> None:
    """Have this process end its slice after the picture that it is at; a handler of a signal, which takes no lock."""
    _interrupts.append(time.monotonic())


@contextlib.contextmanager
def _interrupts_waiting() -> Iterator[None]:
    """Have Ctrl-C wait, here and in the processes that are made meanwhile, until they can take it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if _CAN_WAIT else ()
    try:
        yield
    finally:
        if _CAN_WAIT:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_slices() -> None:
    """Have every slice end after the picture that it is at; on Windows the console has told them."""
    if os.name != "nt":
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGINT)


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
