"""How many API requests a picture costs, over a simulated day at one run a minute.

    python benchmarks/requests_per_picture.py [--hours 48]

Every minute is run as `luigi` runs it, but in one process and without waiting: the processes of 48 hours would take 20
minutes. The server is the sandbox: it allows 50 requests per clock hour, by a clock that is set to each minute in turn, and
so is the pipeline's. Pictures are not drawn: they are all one small JPEG.
"""

import argparse
import io
import logging
import multiprocessing
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image

from benchmarks import loopback
from pipeline import sandbox

START = datetime(2026, 11, 23)
HOURLY_LIMIT = 50


class Case(NamedTuple):
    """What is simulated."""

    hours: int
    with_events: bool
    with_unsplash_plus: bool


class Figures(NamedTuple):
    """What came of it; an hour is a clock hour of the server."""

    pictures: int
    metadata_requests: int
    events: int
    fewest_events_an_hour: int
    refused: int


class Day(sandbox.Sandbox):
    """A sandbox with a clock to set, that counts its requests by the hour."""

    def __init__(self, origin: str, with_unsplash_plus: bool) -> None:
        super().__init__(origin, hourly_limit=HOURLY_LIMIT, clock=lambda: self.seconds)
        self.seconds = 0.0
        self.asked: Counter[tuple[int, str]] = Counter()
        self._with_unsplash_plus = with_unsplash_plus
        self._picture = _small_jpeg()

    def answer(self, target: str, headers: Mapping[str, str]) -> sandbox.Answer:
        if "photo-" in target:
            return sandbox.Answer(200, {"Content-Type": "image/jpeg", "Content-Length": str(len(self._picture))}, self._picture)
        status, answered, body = super().answer(target, headers)
        if not self._with_unsplash_plus:
            body = body.replace(b"/premium_photo-", b"/photo-")
            answered = answered | {"Content-Length": str(len(body))}
        kind = "refused" if status != 200 else "event" if "/download" in target else "metadata"
        self.asked[int(self.seconds // 3600), kind] += 1
        return sandbox.Answer(status, answered, body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=int, default=24, help="simulated hours (24)")
    hours = parser.parse_args().hours
    cases = [Case(hours, with_events, with_plus) for with_events in (False, True) for with_plus in (False, True)]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        figures = pool.map(simulated, cases, chunksize=1)
        pool.close()
        pool.join()  # leaving the block ends the processes while they still clear up
    print(f"{hours} hours at one run a minute, {HOURLY_LIMIT} requests an hour; 0 missing means {hours * 60:,} pictures\n")
    print("| download events | Unsplash+ photos | missing | metadata requests | a picture | events | an hour | refused |")
    print("|---|---|---|---|---|---|---|---|")
    for case, found in zip(cases, figures, strict=True):
        print(
            f"| {'reported' if case.with_events else 'off'} | {'2 in 30' if case.with_unsplash_plus else 'none'} "
            f"| {hours * 60 - found.pictures} | {found.metadata_requests} "
            f"| 1/{found.pictures / found.metadata_requests:.1f} "
            f"| {found.events:,} | {found.events / hours:.0f}, at least {found.fewest_events_an_hour} | {found.refused} |"
        )


def simulated(case: Case) -> Figures:
    """Run every minute of the case, the first of an empty ROOT; once in a process, because settings are read once."""
    server = sandbox.Server(0)
    day = server.sandbox = Day(f"http://127.0.0.1:{server.server_port}", case.with_unsplash_plus)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ.update(
        UNSPLASH_API_URL=day.origin, UNSPLASH_API_KEY="benchmark", LUIGI_CONFIG_PATH=str(loopback.PROJECT / "luigi.cfg")
    )
    with tempfile.TemporaryDirectory() as root:
        pictures = stored(case, day, root)
    asked = Counter[str]()
    for (_, kind), count in day.asked.items():
        asked[kind] += count
    return Figures(
        pictures,
        asked["metadata"],
        asked["event"],
        min(day.asked[hour, "event"] for hour, _ in day.asked),
        asked["refused"],
    )


def stored(case: Case, day: Day, root: str) -> int:
    """Run the minutes one after another and return how many pictures there are."""
    import luigi  # here: luigi reads its settings when it is imported

    from pipeline import StoreImage, minutes
    from pipeline.archive import archive

    class Clock(datetime):
        """The pipeline's clock, in step with the server's."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls.fromtimestamp(day.seconds, tz)

    archive.datetime = minutes.datetime = Clock  # type: ignore[attr-defined]
    logging.disable(logging.INFO)
    settings = luigi.configuration.get_config()
    settings.set("storage", "root", root)
    settings.set("unsplash", "report_downloads", str(case.with_events).lower())
    for number in range(case.hours * 60):
        minute = START + timedelta(minutes=number)
        day.seconds = minute.replace(tzinfo=timezone.utc).timestamp()
        luigi.build([StoreImage(timestamp=minute)], local_scheduler=True, log_level="WARNING")
    return sum(1 for picture in Path(root).glob("????-??-??/????.jpg") if picture.stat().st_size)


def _small_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").save(buffer, "JPEG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
