"""Processes side by side, and how they end: quietly on Ctrl-C, and with the process that began them."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from types import TracebackType

from pipeline import log
from pipeline.errors import EndsRun


def end_with_parent() -> None:
    """Have a process that another one began leave Ctrl-C to that one, and end when it does, however that ends."""
    if parent := multiprocessing.parent_process():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_follow, args=[parent], daemon=True).start()


def can_fork() -> bool:
    """Have processes begin as copies of this one, where that is safe; tell whether it is.

    Windows has no fork, and what macOS looks up proxies with does not survive one.
    """
    if sys.platform == "darwin" or "fork" not in multiprocessing.get_all_start_methods():
        return False
    multiprocessing.set_start_method("fork", force=True)  # from Python 3.14 on no longer the default
    return True


def check_semaphores() -> None:
    """Raise EndsRun where processes cannot be run side by side, which Luigi's worker wants too."""
    try:
        multiprocessing.Lock()
    except (OSError, ImportError) as error:
        raise EndsRun(f"this machine gives no semaphores: {error}: can /dev/shm be written?") from None


def interrupt_quietly() -> None:
    """Have Ctrl-C end this process with one line in the place of a traceback."""
    sys.excepthook = _say


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        log.logger.warning("stopped by Ctrl-C: what is not stored is missing, and catch-up stores it")
    else:
        sys.__excepthook__(kind, error, trace)


def _follow(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def taking_interrupts() -> Iterator[None]:
    """Take Ctrl-C in this process alone: those that it begins meanwhile are ended by it."""
    own = os.getpid()

    def interrupt(*_: object) -> None:
        if os.getpid() == own:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        for child in multiprocessing.active_children():
            child.join(timeout=10)
