"""How fast missing minutes are stored, side by side with a bare pool of threads, plain Luigi, img2dataset and aria2.

    python benchmarks/catch_up.py [--minutes 1440] [--rounds 3] [--before REVISION]

Whole processes, in turns, against the same loopback server on the same cores; every answer holds other photos. The project
checks and syncs every picture; of the others only the plain slices do, which have none of its rules. img2dataset and aria2 are
what people fetch many pictures with: they are given a list of the addresses, which is made beforehand and not counted. With
--before the project as it was at a revision of git runs in the same turns. Figures are medians of the rounds. The server says
that no request is left for download events, as with a demo key, except where they are named.
"""

import argparse
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import loopback

START = datetime(2025, 1, 1)
YEAR = 365 * 24 * 60
LATENCY_SECONDS = 0.1
PROJECT = "**this project**"
DAYS = 7
TASK_FAILED = 30
MOST_SECONDS_BETWEEN_SAMPLES = 1.0
# ext4 passes over an inode that was freed in the last minute, and for five more while its block waits to be written.
FREED_SECONDS = 360


class Measure(NamedTuple):
    """What a command took: seconds, seconds of CPU of all its processes, and the most memory they had together, in bytes."""

    seconds: float
    cpu_seconds: float
    memory: int


class World(NamedTuple):
    """A folder to work in, a server to work against, and the installed programs."""

    folder: Path
    url: str
    programs: Path

    def run(self, *command: str, exit_codes: Sequence[int] = (0,)) -> Measure:
        """Run the command and measure it; end the benchmark if it fails."""
        variables = loopback.environment(UNSPLASH_API_URL=self.url, UNSPLASH_API_KEY="benchmark", NO_ALBUMENTATIONS_UPDATE="1")
        with open(self.folder / "output", "w+b") as output:
            began = time.perf_counter()
            process = subprocess.Popen(command, cwd=self.folder, env=variables, stdout=output, stderr=output)
            with MemoryWatch(process.pid) as watch:
                _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            code = process.returncode = os.waitstatus_to_exitcode(status)
            if code not in exit_codes:
                output.seek(0)
                sys.exit(f"{' '.join(command)} ended with exit code {code}:\n{output.read().decode(errors='replace')[-4000:]}")
        return Measure(seconds, usage.ru_utime + usage.ru_stime, watch.most)

    def catch_up(self, count: int, *options: str, exit_codes: Sequence[int] = (0,)) -> Measure:
        """Store the first `count` minutes with the project."""
        shutil.copy(loopback.settings(self.programs), self.folder)
        span = ["--start", f"{START:%Y-%m-%dT%H%M}", "--stop", f"{START + timedelta(minutes=count):%Y-%m-%dT%H%M}"]
        return self.run(str(self.programs / "python"), "-m", "pipeline", "catch-up", *span, *options, exit_codes=exit_codes)

    def fresh(self) -> "World":
        """Return the world with a folder of its own, and nothing of the others' left to be written.

        No run's files are removed before the end: ext4 looks for a new file's inode past all that were freed in the last
        minutes, which can take longer than the picture.
        """
        folder = Path(tempfile.mkdtemp(dir=self.folder.parent))
        os.sync()
        return self._replace(folder=folder)


class MemoryWatch:
    """Watch the memory of a process and its descendants: the sum of their proportional shares, Linux only."""

    def __init__(self, pid: int) -> None:
        self.most = 0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        # A sample walks through all memory there is: often at first, for what is over soon, then seldom.
        seconds = 0.05
        while not self._over.wait(seconds):
            seconds = min(2 * seconds, MOST_SECONDS_BETWEEN_SAMPLES)
            self.most = max(self.most, sum(map(proportional_share, family(self._pid))))


def family(pid: int) -> list[int]:
    """Return the process and its descendants."""
    found = [pid]
    for each in found:
        try:
            for thread in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
        except OSError:
            pass  # it ended
    return found


def proportional_share(pid: int) -> int:
    """Return the process's memory in bytes, pages shared by several counted in parts; 0 if it ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
    except OSError:
        return 0


Peers = dict[str, Callable[[World, int], Measure]]


def project(world: World, count: int) -> Measure:
    return world.catch_up(count)


def project_at(programs: Path, world: World, count: int) -> Measure:
    return project(world._replace(programs=programs), count)


def bare_pool(world: World, count: int) -> Measure:
    return world.run(str(world.programs / "python"), str(loopback.PEERS / "bare_pool.py"), "bare", str(count))


def plain_luigi(world: World, count: int) -> Measure:
    script = str(loopback.PEERS / "plain_luigi_range.py")
    return world.run(str(world.programs / "python"), script, START.isoformat(), str(count))


def plain_slices(world: World, count: int) -> Measure:
    script = str(loopback.PEERS / "plain_slices.py")
    return world.run(str(world.programs / "python"), script, START.isoformat(), str(count))


def img2dataset(programs: Path, world: World, count: int) -> Measure:
    write_addresses(world, count)
    shard = f"--number_sample_per_shard={-(-count // 2)}"  # one for each of its processes
    command = ("--url_list=addresses", "--output_folder=pictures", "--processes_count=2", "--thread_count=16", shard)
    return world.run(str(programs / "img2dataset"), *command, "--resize_mode=no", "--output_format=files")


def aria2(world: World, count: int) -> Measure:
    write_addresses(world, count)
    return world.run("aria2c", "--quiet", "-j16", "--input-file=addresses", "--dir=pictures")


def write_addresses(world: World, count: int) -> None:
    """Write a file with the addresses of so many pictures, each another's."""
    addresses: list[str] = []
    while len(addresses) < count:
        with urllib.request.urlopen(f"{world.url}/photos/random?count=30") as answer:
            addresses += [photo["urls"]["regular"] for photo in json.load(answer)]
    (world.folder / "addresses").write_text("".join(f"{address}\n" for address in addresses[:count]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=1440, help="minutes that are missing (1440)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turns (3); plain Luigi runs once")
    parser.add_argument("--before", metavar="REVISION", help="compare with the project at this revision of git")
    options = parser.parse_args()
    count, rounds, programs = options.minutes, options.rounds, loopback.install()
    projects: Peers = {PROJECT: project}
    if options.before:
        projects[f"this project at {options.before}"] = functools.partial(project_at, loopback.install(options.before))
    others: Peers = {"plain Luigi, a task a slice, checked and flushed": plain_slices}
    if of_img2dataset := loopback.install_peer("img2dataset", "img2dataset"):
        others["img2dataset, 2 processes of 16 threads"] = functools.partial(img2dataset, of_img2dataset)
    if shutil.which("aria2c"):
        others["aria2c -j16"] = aria2
    missing = [name for name in ("img2dataset", "aria2c") if not any(other.startswith(name) for other in others)]
    print(f"The files that the installation removed would slow down the first runs: waiting {FREED_SECONDS} s.", flush=True)
    time.sleep(FREED_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        with loopback.server(requests_left=0) as server:
            world = World(Path(folder) / "none yet", server.url, programs)
            near: Peers = {"bare pool, 16 threads": bare_pool, **projects, **others, "plain Luigi": plain_luigi}
            found = measured(near, world, count, rounds)
            table(f"{count:,} minutes", found, count, missing)
            week = world.fresh()
            flat(found[PROJECT], week, count)
            for what, took in (
                (f"A rerun of {count:,} complete minutes", project(week, count)),
                ("Finding 1 % missing in a year, and storing one picture", year(world.fresh())),
            ):
                print(f"\n{what}: {took.seconds:.2f} s, CPU {took.cpu_seconds:.2f} s.", flush=True)
        with loopback.server() as server:
            spare: Peers = {"bare pool, 16 threads": bare_pool, f"{PROJECT}, downloads reported": project}
            found = measured(spare, world._replace(url=server.url), count, rounds)
            table(f"{count:,} minutes, quota to spare", found, count)
        try:
            with loopback.server(latency_seconds=LATENCY_SECONDS, requests_left=0) as server:
                far: Peers = {"bare pool, 16 threads": bare_pool, **projects, **others}
                found = measured(far, world._replace(url=server.url), count, rounds)
                table(f"{count:,} minutes, {LATENCY_SECONDS * 1000:.0f} ms added to every request", found, count, missing)
                print("| plain Luigi | left out: two waits a minute, one after the other | | | |")
        except RuntimeError as error:
            print(f"\nWith latency: not measured, {error}.")


def measured(peers: Peers, world: World, count: int, rounds: int) -> dict[str, list[Measure]]:
    """Return what each peer took in each round."""
    found: dict[str, list[Measure]] = {name: [] for name in peers}
    for number in range(rounds):
        for name, run in peers.items():
            if number == 0 or run is not plain_luigi:
                found[name].append(run(world.fresh(), count))
    return found


def table(title: str, found: dict[str, list[Measure]], count: int, missing: Sequence[str] = ()) -> None:
    """Print a line a peer; the first is what the others are compared with, round by round. Then compare with before."""
    print(f"\n| {title} | pictures/s | of bare | CPU a picture | memory |\n|---|---|---|---|---|")
    bare = next(iter(found.values()))
    for name, each in found.items():
        seconds, cpu_seconds, memory = median(each)
        cpu = cpu_seconds / count * 1000
        print(
            f"| {name} | {count / seconds:.0f} | {speed(each, bare):.2f} | {cpu:.1f} ms | {memory / 1e6:.0f} MB |", flush=True
        )
    for name in missing:
        print(f"| {name} | not installed here | | | |")
    for name, each in found.items():
        if " at " in name:
            print(f"\nThis project has {speed(found[PROJECT], each):.2f} of the speed of {name}.", flush=True)


def speed(some: Sequence[Measure], others: Sequence[Measure]) -> float:
    """Return how fast some are, compared with others of the same rounds."""
    return statistics.median(other.seconds / one.seconds for one, other in zip(some, others, strict=False))


def median(measures: Sequence[Measure]) -> Measure:
    """Return the median of each figure."""
    return Measure(*(statistics.median(figures) for figures in zip(*measures, strict=True)))


def flat(once: Sequence[Measure], world: World, count: int) -> None:
    """Print what a picture costs when seven times as many minutes are missing."""
    few, many = median(once), project(world, DAYS * count)
    print(f"\n| | {count:,} minutes | {DAYS * count:,} minutes | ratio |\n|---|---|---|---|")
    for name, one, other in (
        ("time a picture", few.seconds / count, many.seconds / count / DAYS),
        ("CPU a picture", few.cpu_seconds / count, many.cpu_seconds / count / DAYS),
    ):
        print(f"| {name} | {one * 1000:.2f} ms | {other * 1000:.2f} ms | {other / one:.2f} |")
    print(f"| memory | {few.memory / 1e6:.0f} MB | {many.memory / 1e6:.0f} MB | {many.memory / few.memory:.2f} |", flush=True)


def year(world: World) -> Measure:
    """Return what a catch-up takes that finds a year's gaps, 1 % of its minutes, and stores one picture."""
    picture = world.folder / "picture"
    picture.write_bytes(b"a picture as far as its name tells")
    for day in range(YEAR // 1440):
        folder = world.folder / "data" / f"{START + timedelta(days=day):%Y-%m-%d}"
        folder.mkdir(parents=True)
        of_the_day = folder.parent.parent / f"picture of {folder.name}"
        shutil.copy(picture, of_the_day)
        for number in range(1440):
            if (day * 1440 + number) % 100:
                os.link(of_the_day, folder / f"{number // 60:02d}{number % 60:02d}.jpg")
    return world.catch_up(YEAR, "--limit", "1", exit_codes=(TASK_FAILED,))


if __name__ == "__main__":
    main()
