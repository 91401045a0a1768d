"""What years cost: a minute's run and `status` over a year of pictures, and luigid's memory after a week.

    python benchmarks/growth.py [--runs 15] [--days 365] [--only disk|luigid]

The year is made of tiny files, four a minute, and of the lists of photos given: 2.1 million names. luigid's week passes on a
clock that a minute's run moves on by a minute: 10,080 runs of three tasks, each an ordinary run of Luigi against an ordinary
luigid with the shipped settings. Then come three days with deploy/luigid.cfg, which needs the extra `monitor`: as long as the
service runs with it before it starts anew. All in all about an hour.
"""

import argparse
import mmap
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path

import luigi

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import loopback
from benchmarks.minute import Peer, cpu_seconds
from pipeline import minutes, sandbox
from pipeline.settings import unsplash_settings

FIRST_DAY = date(2025, 1, 1)
MINUTES_OF_DAY = 24 * 60

# luigid on a clock of which the eight bytes of a file are the seconds: a double.
LUIGID = """
import mmap, struct, sys, time
with open(sys.argv.pop(1), "rb") as file:
    clock = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
time.time = lambda: struct.unpack("d", clock)[0]
from luigi.cmdline import luigid
luigid(sys.argv[1:])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15, help="runs of each kind (15)")
    parser.add_argument("--days", type=int, default=365, help="days on disk (365)")
    parser.add_argument("--only", choices=("disk", "luigid"))
    options = parser.parse_args()
    if options.only != "luigid":
        compare_disks(options.runs, options.days)
    if options.only != "disk":
        for title, days, monitored in (("luigi.cfg", 7, False), ("luigi.cfg and deploy/luigid.cfg", 3, True)):
            try:
                watch_luigid(title, days, monitored)
            except ChildProcessError as error:
                print(f"luigid with {title} does not start here: {error}")


def compare_disks(runs: int, days: int) -> None:
    """Print what runs cost in an empty ROOT and in one with so many days, in turns."""
    programs = loopback.install()
    with loopback.server() as server, tempfile.TemporaryDirectory(dir=Path.home()) as temporary:
        variables = loopback.environment(UNSPLASH_API_URL=server.url, UNSPLASH_API_KEY="benchmark")
        folders = {"nothing": Path(temporary, "empty"), f"{days} days": Path(temporary, "full")}
        for folder in folders.values():
            folder.mkdir()
            shutil.copy(loopback.PROJECT / "luigi.cfg", folder)
        fill(folders[f"{days} days"] / "data", days)
        costs: dict[tuple[str, str], list[tuple[float, float]]] = {}
        start = datetime.combine(FIRST_DAY + timedelta(days=days), datetime.min.time())
        topics = unsplash_settings().topics
        for number in range(runs + 1):
            # Four hours on no photo is filed yet; the topic's next minute has one.
            asking = start + timedelta(hours=4 * number)
            has_photo = list(islice(minutes.minutes_of_same_topic(asking, topics), 2))[1]
            for on_disk, folder in folders.items():
                for kind, command in (
                    ("an hour's first minute, which asks the API and counts the day anew", store(programs, asking)),
                    ("a minute whose photo is filed, as of 58 in 60", store(programs, has_photo)),
                    ("status", [str(programs / "python"), "-m", "pipeline", "status", "--max-age", "1e9"]),
                ):
                    began = time.monotonic()
                    cpu = cpu_seconds(Peer(kind, command, lambda: None), folder, variables)
                    if number:
                        costs.setdefault((kind, on_disk), []).append((cpu, time.monotonic() - began))
    print(f"| {runs} runs each, medians | on disk | CPU | wall clock | CPU of that with nothing |\n|---|---|---|---|---|")
    for (kind, on_disk), spent in costs.items():
        cpu, wall = (statistics.median(seconds) for seconds in zip(*spent, strict=True))
        pairs = zip(spent, costs[kind, "nothing"], strict=True)
        ratio = statistics.median(one[0] / other[0] for one, other in pairs)
        print(f"| {kind} | {on_disk} | {cpu * 1000:.0f} ms | {wall * 1000:.0f} ms | {ratio:.3f} |")


def store(programs: Path, minute: datetime) -> list[str]:
    """Return the command that stores the minute."""
    options = ["--local-scheduler", "--timestamp", minutes.name(minute)]
    return [str(programs / "luigi"), "--module", "pipeline", "StoreImage", *options]


def fill(root: Path, days: int) -> None:
    """Make every file of so many days; those of a day are names of the same few bytes."""
    names = [f"{hour:02}{minute:02}" for hour in range(24) for minute in range(60)]
    for number in range(days):
        folder = root / (FIRST_DAY + timedelta(days=number)).isoformat()
        (folder / "thumb").mkdir(parents=True)
        for hour in range(24):
            (folder / f"{hour:02}.js").write_text("")
        (folder / "given").write_text("".join(f"{name} {sandbox.random_id()}\n" for name in names))
        (folder / "0000.jpg").write_bytes(b"tiny")
        for name in names:
            for path in (f"{name}.json", f"{name}.txt", f"{name}.jpg", f"thumb/{name}.jpg"):
                if path != "0000.jpg":
                    os.link(folder / "0000.jpg", folder / path)


class FetchMetadata(luigi.Task):
    """The first of three tasks that do nothing but be seen by luigid."""

    timestamp = luigi.DateMinuteParameter()
    done = False

    def complete(self) -> bool:
        return self.done

    def run(self) -> None:
        self.done = True


class ExtractUrl(FetchMetadata):
    """The second one."""

    def requires(self) -> luigi.Task:
        return FetchMetadata(timestamp=self.timestamp)


class StoreImage(FetchMetadata):
    """The third one, with a status as long as the real one's."""

    def requires(self) -> luigi.Task:
        return ExtractUrl(timestamp=self.timestamp)

    def run(self) -> None:
        super().run()
        if self.set_status_message:
            self.set_status_message("x" * 500)


def watch_luigid(title: str, days: int, monitored: bool) -> None:
    """Print luigid's memory after each of so many days of runs; ChildProcessError if it does not start."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shutil.copy(loopback.PROJECT / "luigi.cfg", folder)
        (folder / "clock").write_bytes(bytes(8))
        variables = loopback.environment(STATE_DIRECTORY=temporary)
        if monitored:
            variables["LUIGI_CONFIG_PATH"] = str(loopback.PROJECT / "deploy" / "luigid.cfg")
        port = free_port()
        options = ["clock", "--address", "127.0.0.1", "--port", str(port), "--state-path", str(folder / "state")]
        with (
            open(folder / "clock", "r+b") as file,
            mmap.mmap(file.fileno(), 8) as clock,
            open(folder / "log", "w+") as log,
            subprocess.Popen(
                [sys.executable, "-c", LUIGID, *options], cwd=folder, env=variables, stdout=log, stderr=log
            ) as luigid,
        ):
            clock[:] = struct.pack("d", time.time())
            try:
                wait_for(port, luigid, folder / "log")
                print(f"\nluigid with {title}:")
                for number in range(days * MINUTES_OF_DAY):
                    minute = datetime(2026, 11, 23) + number * minutes.MINUTE
                    clock[:] = struct.pack("d", struct.unpack("d", clock)[0] + 60)
                    began = time.monotonic()
                    luigi.build([StoreImage(timestamp=minute)], scheduler_port=port, log_level="ERROR", no_lock=True)
                    seconds = time.monotonic() - began
                    StoreImage.clear_instance_cache()
                    if (number + 1) % MINUTES_OF_DAY == 0 or number == 60:
                        said = f"{(number + 1) / 60:.0f} hours: {resident_bytes(luigid.pid) / 1e6:.0f} MB"
                        print(f"after {said}, a run of three tasks {seconds * 1000:.0f} ms", flush=True)
            finally:
                luigid.terminate()


def wait_for(port: int, luigid: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when luigid answers; ChildProcessError with its last line if it ends before."""
    while True:
        if luigid.poll() is not None:
            raise ChildProcessError(log.read_text().strip().rpartition("\n")[2])
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/is_paused").close()
            return
        except urllib.error.URLError:
            time.sleep(0.1)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def resident_bytes(process: int) -> int:
    """Return the memory that the process holds."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
