"""What a run says on stderr: a line when a task starts and one when it ends, each with the time in UTC."""

import functools
import logging
import re
import time

from luigi.rpc import RPCError

from pipeline.errors import PipelineError

logger = logging.getLogger("pipeline")

# The last line of a traceback that Luigi shows as a text.
_NAMED_ERROR = re.compile(r"^pipeline\.errors\.\w+: (.*)\s*\Z", re.MULTILINE)


@functools.cache
def set_up() -> None:
    """Write this project's lines to stderr, and keep Luigi from adding a traceback to errors that are named."""
    handler = logging.StreamHandler()
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logging.getLogger("luigi-interface").addFilter(_without_traceback)


def is_made_anew(error: BaseException) -> bool:
    """Tell whether the error is Luigi's word for a requirement that is gone: it schedules the requirement again."""
    return type(error) is RuntimeError and str(error).startswith("Unfulfilled ")


def _without_traceback(record: logging.LogRecord) -> bool:
    """Let a record of Luigi's pass, cut to the one line that helps; a task's named failure is written by this project."""
    error = record.exc_info[1] if record.exc_info else None
    if record.funcName == "_handle_run_exception":
        return not (isinstance(error, PipelineError) or (error and is_made_anew(error)))
    if isinstance(error, PipelineError):
        _cut(record, str(error))
    elif record.funcName == "_log_complete_error" and (named := _NAMED_ERROR.search(record.getMessage())):
        _cut(record, named[1])
    elif record.funcName == "retry_logging":
        _cut(record, "luigid does not answer, the next try is in a while: start it, or run with --local-scheduler")
    elif isinstance(error, RPCError):
        _cut(record, "luigid does not answer: start it, or run with --local-scheduler")
    return True


def _cut(record: logging.LogRecord, line: str) -> None:
    record.msg, record.args, record.exc_info = line, (), None
