"""Processes side by side, and how they end: quietly on Ctrl-C, and with the process that began them."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.process import BaseProcess


def end_with_parent() -> None:
    """Have a process that another one began leave Ctrl-C to that one, and end when it does, however that ends."""
    if parent := multiprocessing.parent_process():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_follow, args=[parent], daemon=True).start()


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
