"""What becomes of a task: its lines in the log, the reason of a failure beside the minute's files, and the end of the run."""

import atexit
import contextlib
import functools
import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import luigi
from luigi.rpc import RPCError
from luigi.worker import TaskProcess

from pipeline import log, minutes, settings
from pipeline.errors import EndsRun, PipelineError

TaskClass = TypeVar("TaskClass", bound=type[luigi.Task])


def recorded(task_class: TaskClass) -> TaskClass:
    """Have Luigi's events of the class's tasks recorded; the outermost decorator, when the class is complete."""
    for event, handler in (
        (luigi.Event.DEPENDENCY_DISCOVERED, _discovered),
        (luigi.Event.DEPENDENCY_PRESENT, _present),
        (luigi.Event.DEPENDENCY_MISSING, _unknown),
        (luigi.Event.START, _started),
        (luigi.Event.PROCESSING_TIME, _done),
        (luigi.Event.FAILURE, _failed),
    ):
        task_class.event_handler(event)(handler)
    # Luigi looks its classes through for parameters some fifty times a minute's run, and makes what a task requires anew some
    # eight times; from here on they stay what they are.
    task_class.get_params = staticmethod(functools.cache(task_class.get_params))  # type: ignore[method-assign]
    task_class.requires = _made_once(task_class.requires)  # type: ignore[method-assign]
    return task_class


def _made_once(requires: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(requires)
    def kept(task: Any) -> Any:
        if "requirements" not in vars(task):
            task.requirements = requires(task)
        return task.requirements

    return kept


@contextlib.contextmanager
def only_said(task: Any, what: str) -> Iterator[None]:
    """Say in the log what goes wrong after the picture is stored: it cannot fail the minute any more."""
    try:
        yield
    except (PipelineError, RPCError) as error:
        _say(task, f"{what}: {error}")


def show_status(task: Any, html: str) -> None:
    """Show the HTML as the task's status in luigid's page, if the task runs in a Luigi worker."""
    if task.set_status_message:
        task.set_status_message(html)


@functools.cache
def _begin() -> None:
    """Prepare the process for the outcomes of its tasks, at the first one."""
    log.set_up()
    # A process that ends has no use for the last search for cycles, a tenth of what a minute costs.
    atexit.register(gc.freeze)


def _discovered(task: Any, requirement: Any) -> None:
    _begin()


def _present(task: Any) -> None:
    _begin()
    if task.task_family == "StoreImage":
        _say(task, "stored already")


def _unknown(task: Any) -> None:
    """Luigi could not tell whether the task is complete, and said why: what requires it would wait here for nothing."""
    _begin()
    _end_run()


def _started(task: Any) -> None:
    _begin()
    _say(task, "started")


def _done(task: Any, seconds: float) -> None:
    _say(task, f"done in {seconds:.1f} s")


def _failed(task: Any, error: BaseException) -> None:
    _begin()
    if log.is_made_anew(error):
        _say(task, "waits for another photo")
        return
    reason = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
    _say(task, f"failed: {reason}")
    _keep_failure(task, reason)
    if isinstance(error, EndsRun):
        _end_run()


def _say(task: Any, state: str) -> None:
    log.logger.info("%s %s %s", task.task_family, minutes.name(task.timestamp), state)


def _keep_failure(task: Any, reason: str) -> None:
    try:
        settings.store().keep_failure(task.timestamp, f"{task.task_family}: {reason}")
    except PipelineError as error:
        _say(task, f"could not keep its failure: {error}")


def _end_run() -> None:
    """Have the worker take no more work, by Luigi's own signal for it. Windows has none: there the tries go on."""
    stop = getattr(signal, "SIGUSR1", None)
    if stop and callable(signal.getsignal(stop)):
        # With several workers a task runs in a child of the process that Luigi's worker lives in.
        is_child = isinstance(multiprocessing.current_process(), TaskProcess)
        os.kill(os.getppid() if is_child else os.getpid(), stop)
