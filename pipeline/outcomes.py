"""What becomes of a task: its lines in the log, the reason of a failure beside the minute's files, and the end of the run."""

import contextlib
import functools
import multiprocessing
import os
import signal
from collections.abc import Iterator
from typing import Any

import luigi
from luigi.worker import TaskProcess

from pipeline import log, luigid, minutes, page, processes, settings
from pipeline.errors import EndsRun, PipelineError


class LoggedTask(luigi.Task):
    """A task of a minute whose outcomes are logged and kept."""

    timestamp: Any
    failures = 0
    last_word = ""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        _prepare()
        super().__init__(*arguments, **options)

    def complete(self) -> bool:
        """Tell whether the output exists; log why if that cannot be told."""
        with log_and_raise(self):
            return bool(super().complete())


@functools.cache
def _prepare() -> None:
    """Ready the process before Luigi asks luigid: what is wrong with it, or its settings, ends the run before any task runs."""
    luigid.go_past_proxies(luigid.url())
    settings.check()
    processes.check_semaphores()
    processes.interrupt_quietly()


@contextlib.contextmanager
def log_and_raise(task: object) -> Iterator[None]:
    """Log an error, and leave it to Luigi, which does not say it in one line."""
    log.set_up()
    try:
        _prepare()
        yield
    except PipelineError as error:
        log.logger.error("%s: %s", task, error)
        raise
    except Exception:
        log.logger.exception("%s", task)
        raise


def show(task: LoggedTask, html: str, last_word: str) -> None:
    """Show the HTML as the task's status in luigid's page, if the task runs in a Luigi worker; log the last word in the end."""
    task.last_word = last_word
    if task.set_status_message:
        with log.log_errors("status in luigid"):
            task.set_status_message(html)


def end_run() -> None:
    """Have the worker take no more work, by Luigi's own signal for it. Windows has none: there the tries go on."""
    stop = getattr(signal, "SIGUSR1", None)
    if stop and callable(signal.getsignal(stop)):
        os.kill(os.getppid() if _is_child() else os.getpid(), stop)


def _is_child() -> bool:
    """Tell whether this process is a child of the one that Luigi's worker lives in, as with several workers."""
    return isinstance(multiprocessing.current_process(), TaskProcess)


@LoggedTask.event_handler(luigi.Event.DEPENDENCY_PRESENT)
def _stored_already(task: LoggedTask) -> None:
    if task.task_family == "StoreImage":
        _say(task, "stored already")
        with log.log_errors(f"{minutes.name(task.timestamp)} is stored"):
            settings.archive().forget_failure(task.timestamp)  # what a run left that was killed after the picture


@LoggedTask.event_handler(luigi.Event.DEPENDENCY_MISSING)
def _unknown(task: LoggedTask) -> None:
    """End the run: whether the task is complete could not be told, and what requires it would wait for nothing."""
    end_run()


@LoggedTask.event_handler(luigi.Event.START)
def _started(task: LoggedTask) -> None:
    processes.end_with_parent()
    _say(task, "started")


@LoggedTask.event_handler(luigi.Event.PROCESSING_TIME)
def _done(task: LoggedTask, seconds: float) -> None:
    _say(task, f"done in {seconds:.1f} s")
    if task.last_word:
        log.logger.info(task.last_word)


@LoggedTask.event_handler(luigi.Event.FAILURE)
def _failed(task: LoggedTask, error: BaseException) -> None:
    task.failures += 1
    if not isinstance(error, PipelineError) and not all(requirement.complete() for requirement in task.deps()):
        _say(task, f"waits for another photo{_next_try(task)}")
        return
    reason = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
    tries = "" if isinstance(error, EndsRun) else _next_try(task)
    _say(task, f"failed: {reason}{tries}", None if isinstance(error, PipelineError) else error)
    keep_failure(task.timestamp, f"{task.task_family}: {reason}")
    if isinstance(error, EndsRun):
        end_run()


def _next_try(task: LoggedTask) -> str:
    """Return which of the run's tries of the task this was, and when the next one is due, as luigi.cfg has it.

    Nothing where several workers share a run: each try is in a process of its own, and none knows the others.
    """
    scheduler, worker = luigi.scheduler.scheduler(), luigi.worker.worker()
    count, delay, idle = scheduler.retry_count, scheduler.retry_delay, worker.max_keep_alive_idle_duration.total_seconds()
    if _is_child() or not worker.keep_alive or delay < 0 or 0 < idle <= delay:
        return ""
    if count * delay > scheduler.disable_window:  # failures are forgotten before they are too many
        return f" (try {task.failures}, the next in {delay:g} s)"
    due = f", the next in {delay:g} s" if task.failures < count else ""
    return f" (try {task.failures} of {count}{due})"


def keep_failure(minute: Any, reason: str) -> None:
    """Keep why the minute failed, and show it on the page."""
    with log.log_errors(f"{minutes.name(minute)}: could not keep its failure"):
        settings.archive().put_failure(minute, reason)
        page.note_failure(settings.archive(), minute, reason)


def _say(task: LoggedTask, state: str, error: BaseException | None = None) -> None:
    log.logger.info("%s %s %s", task.task_family, minutes.name(task.timestamp), state, exc_info=error)
