"""What a run writes to stderr: a line when a task starts and one when it ends. Every line of a log has its time, in UTC."""

import contextlib
import functools
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import TextIO

import luigi
from luigi.rpc import RPCError
from requests import RequestException

from pipeline.errors import PipelineError

logger = logging.getLogger("pipeline")


class TimedLines(logging.Formatter):
    """Begin every line with the time, those of a traceback too."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as lines."""
        return timed(super().format(record), record.created)


def timed(text: str, at: float | None = None) -> str:
    """Return the text with the time before each of its lines."""
    time_in_words = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    return "\n".join(f"{time_in_words} {line}" for line in text.splitlines())


def say(text: str, file: TextIO | None = None) -> None:
    """Print what a verb has to say, by default to stderr; with the time where that is no terminal, but a log."""
    if not (file := file or sys.stderr):
        return
    try:
        print(text if file.isatty() else timed(text), file=file, flush=True)
    except OSError:
        if file is not sys.stderr:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # a log that cannot be written changes no exit code


@functools.cache
def set_up() -> None:
    """Write what is logged to stderr, and of Luigi's lines those that this project does not say better."""
    handler = logging.StreamHandler()
    handler.setFormatter(TimedLines())
    logging.basicConfig(handlers=[handler])
    logging.captureWarnings(True)
    logger.setLevel(logging.INFO)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings quote what hosts send, the key if they say that
    logging.getLogger("luigi-interface").addFilter(_take_over)


@contextlib.contextmanager
def log_errors(what: str) -> Iterator[None]:
    """Log this project's errors in place of raising them: what failed is worth less than what goes on."""
    try:
        yield
    except (PipelineError, RPCError) as error:
        logger.warning("%s: %s", what, error)


def _take_over(record: logging.LogRecord) -> bool:
    """Write a record of Luigi's as this project's are, if it is news, and keep Luigi from doing so: its lines have no time."""
    error, line = record.exc_info[1] if record.exc_info else None, ""
    if isinstance(error, (RPCError, RequestException)) or record.exc_info == (None, None, None):  # said when it is over
        again = ", the next try is in a while" if record.levelno < logging.ERROR else ""
        line = f"luigid does not answer{again}: start it, or run with --local-scheduler"
    elif isinstance(record.args, tuple) and any(isinstance(argument, luigi.Task) for argument in record.args):
        if record.levelno >= logging.WARNING:
            return False  # a task's failure is an event, and logged as one
    elif isinstance(error, PipelineError):
        line = str(error)
    elif record.levelno == logging.WARNING and not error:
        return False  # a task's complete() failed, which the task has logged
    if line:
        record.msg, record.args, record.exc_info = line, (), None
    logging.getLogger().handle(record)
    return False
