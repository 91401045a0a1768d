"""What becomes of a task: its lines in the log, the reason of a failure beside the minute's files, and the end of the run."""

import contextlib
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

    def __init__(self, *arguments: Any, **options: Any) -> None:
        settings.check()  # unusable ones end the run before any task is run
        processes.check_semaphores()
        processes.interrupt_quietly()
        super().__init__(*arguments, **options)

    def complete(self) -> bool:
        """Tell whether the output exists; log why if that cannot be told."""
        with logging_errors(self):
            return bool(super().complete())


@contextlib.contextmanager
def logging_errors(task: object) -> Iterator[None]:
    """Log an error, and leave it to Luigi, which does not say it in one line. Luigi asks before it asks luigid."""
    log.set_up()
    luigid.go_past_proxies(luigid.url())
    try:
        yield
    except PipelineError as error:
        log.logger.error("%s: %s", task, error)
        raise
    except Exception:
        log.logger.exception("%s", task)
        raise


def show_status(task: luigi.Task, html: str) -> None:
    """Show the HTML as the task's status in luigid's page, if the task runs in a Luigi worker."""
    if task.set_status_message:
        with log.log_errors("status in luigid"):
            task.set_status_message(html)


def end_run() -> None:
    """Have the worker take no more work, by Luigi's own signal for it. Windows has none: there the tries go on."""
    stop = getattr(signal, "SIGUSR1", None)
    if stop and callable(signal.getsignal(stop)):
        # With several workers a task runs in a child of the process that Luigi's worker lives in.
        is_child = isinstance(multiprocessing.current_process(), TaskProcess)
        os.kill(os.getppid() if is_child else os.getpid(), stop)


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
    _say(task, "started")


@LoggedTask.event_handler(luigi.Event.PROCESSING_TIME)
def _done(task: LoggedTask, seconds: float) -> None:
    _say(task, f"done in {seconds:.1f} s")


@LoggedTask.event_handler(luigi.Event.FAILURE)
def _failed(task: LoggedTask, error: BaseException) -> None:
    if not isinstance(error, PipelineError) and not all(requirement.complete() for requirement in task.deps()):
        _say(task, "waits for another photo")
        return
    reason = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
    _say(task, f"failed: {reason}", None if isinstance(error, PipelineError) else error)
    keep_failure(task.timestamp, f"{task.task_family}: {reason}")
    if isinstance(error, EndsRun):
        end_run()


def keep_failure(minute: Any, reason: str) -> None:
    """Keep why the minute failed, and show it on the page."""
    with log.log_errors(f"{minutes.name(minute)}: could not keep its failure"):
        settings.archive().put_failure(minute, reason)
        page.note_failure(settings.archive(), minute, reason)


def _say(task: LoggedTask, state: str, error: BaseException | None = None) -> None:
    log.logger.info("%s %s %s", task.task_family, minutes.name(task.timestamp), state, exc_info=error)
