"""What a run writes to stderr: a line when a task starts and one when it ends, each with the time in UTC."""

import contextlib
import functools
import logging
import time
from collections.abc import Iterator

import luigi
from luigi.rpc import RPCError
from requests import RequestException

from pipeline.errors import PipelineError

logger = logging.getLogger("pipeline")


@functools.cache
def set_up() -> None:
    """Write this project's lines to stderr, and of Luigi's those that this project does not say better."""
    handler = logging.StreamHandler()
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logging.getLogger("luigi-interface").addFilter(_is_news)


@contextlib.contextmanager
def log_errors(what: str) -> Iterator[None]:
    """Log errors instead of raising them: the picture is already stored."""
    try:
        yield
    except (PipelineError, RPCError) as error:
        logger.warning("%s: %s", what, error)


def _is_news(record: logging.LogRecord) -> bool:
    """Tell whether a record of Luigi's says what this project does not say itself; cut it to the one line that helps."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, (RPCError, RequestException)):
        again = ", the next try is in a while" if record.levelno < logging.ERROR else ""
        _cut(record, f"luigid does not answer{again}: start it, or run with --local-scheduler")
    elif isinstance(record.args, tuple) and any(isinstance(argument, luigi.Task) for argument in record.args):
        return record.levelno < logging.WARNING  # a task's failure is an event, and logged as one
    elif isinstance(error, PipelineError):
        _cut(record, str(error))
    elif record.levelno == logging.WARNING and not error:
        return False  # a task's complete() failed, which the task has logged
    return True


def _cut(record: logging.LogRecord, line: str) -> None:
    record.msg, record.args, record.exc_info = line, (), None
