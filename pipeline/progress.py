"""How far a run over many minutes is: a bar on a terminal; of a catch-up a plain line now and then elsewhere."""

import multiprocessing
import sys
import threading
import time
from collections.abc import Collection
from datetime import datetime
from typing import Any

from tqdm import tqdm

from pipeline import minutes
from pipeline.archive import Archive
from pipeline.errors import EndsRun, QuotaExceeded
from pipeline.log import log_errors, say

SECONDS_BETWEEN_COUNTS = 5  # each looks at the quota, a request where ROOT is a bucket
HEARD_SECONDS = 5


def bar(total: int, unit: str) -> "tqdm[Any]":
    """Return a bar, which shows nothing where stderr is no terminal."""
    tqdm.monitor_interval = 0  # its thread would be there when processes are forked
    return tqdm(total=total, unit=f" {unit}", smoothing=0.1, disable=not (sys.stderr and sys.stderr.isatty()))


class Progress:
    """Count and show what the processes of a catch-up report, while its block lasts.

    `ended_by` is what ended the catch-up, or only its asking for photos, before its time; processes that begin later know it.
    """

    def __init__(self, total: int, archive: Archive) -> None:
        self.stored = 0
        self.ended_by: EndsRun | None = None
        self._total, self._archive = total, archive
        self._failures: dict[datetime, str] = {}
        self._began = time.monotonic()
        # Small messages go through a pipe whole, from whichever process, and a process that is killed holds no lock.
        self._reports, self._reporter = multiprocessing.Pipe(duplex=False)
        self._heard = multiprocessing.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "Progress":
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._reporter.send(None)
        self._listener.join()

    def report(self, minute: datetime, reason: str = "", end: EndsRun | None = None) -> None:
        """Report, from any process, a picture or why there is none, and the error if it ends the catch-up or its asking."""
        self._reporter.send((minute, reason, end))
        if end:
            self._heard.wait(HEARD_SECONDS)  # so that what begins after this process has ended knows it

    def summary(self, state: str, missing: Collection[datetime]) -> str:
        """Return how it ended: the reason of every failure among what is missing, and the counts."""
        self._failures = {each: why for each, why in sorted(self._failures.items()) if each in missing}
        failures = [f"{minutes.name(each)} failed: {why}" for each, why in self._failures.items()]
        return "\n".join([*failures, self._line(state, self._total - len(missing))])

    def _listen(self) -> None:
        with bar(self._total, "pictures") as shown:
            said = self._began
            while report := self._next_report(shown):
                minute, reason, end = report
                if end and (self.ended_by is None or isinstance(self.ended_by, QuotaExceeded)):
                    self.ended_by = end
                if end:
                    self._heard.set()
                if reason:
                    self._failures[minute] = reason
                else:
                    self._failures.pop(minute, None)
                    self.stored += 1
                    shown.update()
                if time.monotonic() - said >= SECONDS_BETWEEN_COUNTS:
                    said = time.monotonic()
                    if shown.disable:
                        say(self._line("going on", self.stored))
                    else:
                        shown.set_postfix_str(self._rest())

    def _next_report(self, shown: "tqdm[Any]") -> Any:
        """Wait for a report, with the bar's clock going on: the first picture of a catch-up may be long in coming."""
        while not self._reports.poll(1):
            shown.refresh()
        return self._reports.recv()

    def _line(self, state: str, stored: int) -> str:
        rate = stored / max(time.monotonic() - self._began, 0.001)
        return f"{state}: {stored} of {self._total} missing stored, {rate:.0f}/s, {self._rest()}"

    def _rest(self) -> str:
        quota = None
        with log_errors("quota"):
            quota = self._archive.quota()
        left = f"{quota.remaining} of {quota.limit} requests left" if quota else "quota not known"
        return f"{len(self._failures)} failed, {left}"
