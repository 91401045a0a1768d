"""What a minute costs: the CPU of a whole run, side by side with a bare requests script, as medians of paired processes.

    python benchmarks/minute.py [--runs 21] [--before REVISION]

Every process does a minute's work against the same loopback server, whose own CPU is not counted. The project's run is the
whole of it: one API request for 30 photos, their filing, the picture checked and thumbnailed, files and folders synced, the
download event. The bare script asks, takes the first address, fetches the picture and writes it. With --before the project as
it was at a revision of git runs in the same turns.
"""

import argparse
import functools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import loopback

MINUTE = "2026-11-23T1205"
BARE, PROJECT, BEFORE, NOTHING = "bare requests script", "**this project**", "this project before", "Luigi doing nothing"
METADATA = ", metadata already there"


class Peer(NamedTuple):
    """A way to do a minute's work: its command, and what is done, unmeasured, before each run."""

    name: str
    command: list[str]
    prepare: Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=21, help="runs of each peer (21)")
    parser.add_argument("--before", metavar="REVISION", help="compare with the project at this revision of git")
    options = parser.parse_args()
    runs, programs = options.runs, loopback.install()
    before = loopback.install(options.before) if options.before else None
    prefect = loopback.install_peer("prefect", "prefect==1.4.1", "setuptools<80")
    with loopback.server() as server, tempfile.TemporaryDirectory() as temporary:
        variables = loopback.environment(
            UNSPLASH_API_URL=server.url, UNSPLASH_API_KEY="benchmark", PYTHONPATH=str(loopback.PEERS)
        )
        folder = Path(temporary)
        costs = measured(peers(programs, before, prefect, folder), folder, variables, runs)
    print(f"Server: {server.kind}. {runs} runs each, in turns. Python {sys.version.split()[0]}, {os.cpu_count()} cores.\n")
    print("| a minute's work, whole process | CPU, median | least | of bare | of Luigi doing nothing |")
    print("|---|---|---|---|---|")
    for name, seconds in costs.items():
        ratios = " | ".join(f"{ratio(seconds, costs[other]):.2f}" for other in (BARE, NOTHING))
        print(f"| {name} | {statistics.median(seconds) * 1000:.0f} ms | {min(seconds) * 1000:.0f} ms | {ratios} |")
    if not prefect:
        print("| Prefect 1.4.1, three tasks, nothing checked | does not install here | | | |")
    if before:
        asking, filed = (ratio(costs[f"{PROJECT}{metadata}"], costs[f"{BEFORE}{metadata}"]) for metadata in ("", METADATA))
        print(f"\nThis project is {asking:.3f} of {options.before}, and {filed:.3f} with metadata already there.")


def ratio(some: list[float], others: list[float]) -> float:
    """Return the median of what some runs took of what others of the same turns did."""
    return statistics.median(one / other for one, other in zip(some, others, strict=True))


def peers(programs: Path, before: Path | None, prefect: Path | None, folder: Path) -> list[Peer]:
    """Return what is compared, the bare script first."""
    data = folder / "data"
    plain = [str(programs / "luigi"), "--local-scheduler", "--module", "plain_luigi"]

    def begin_empty() -> None:
        shutil.rmtree(data, ignore_errors=True)
        (folder / "luigi.cfg").unlink(missing_ok=True)

    def begin_with_settings(programs: Path) -> None:
        begin_empty()
        shutil.copy(loopback.settings(programs), folder)

    def begin_with_metadata() -> None:
        """Leave what the run before has filed, without the picture and its address."""
        for path in (*data.glob("*/*.jpg"), *data.glob("*/*.txt"), *data.glob("*.jpg")):
            path.unlink()

    def script(python: Path, name: str) -> list[str]:
        return [str(python / "python"), str(loopback.PEERS / name), str(folder)]

    def projects(name: str, programs: Path) -> list[Peer]:
        command = [str(programs / "luigi"), "--local-scheduler", "--module", "pipeline", "StoreImage", "--timestamp", MINUTE]
        begin = functools.partial(begin_with_settings, programs)
        return [Peer(name, command, begin), Peer(f"{name}{METADATA}", command, begin_with_metadata)]

    compared = [
        Peer(BARE, script(programs, "bare_minute.py"), begin_empty),
        *projects(PROJECT, programs),
        *(projects(BEFORE, before) if before else []),
        Peer("plain Luigi, three tasks, nothing checked", [*plain, "StoreImage", "--timestamp", MINUTE], begin_empty),
        Peer(NOTHING, [*plain, "Nothing"], begin_empty),
    ]
    if prefect:
        compared.append(Peer("Prefect 1.4.1, three tasks, nothing checked", script(prefect, "prefect_minute.py"), begin_empty))
    return compared


def measured(compared: list[Peer], folder: Path, variables: dict[str, str], runs: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each run of each peer, in turns; a first round compiles and warms up and is not counted."""
    costs: dict[str, list[float]] = {peer.name: [] for peer in compared}
    for round_number in range(runs + 1):
        for peer in compared:
            peer.prepare()
            seconds = cpu_seconds(peer, folder, variables)
            if round_number:
                costs[peer.name].append(seconds)
    return costs


def cpu_seconds(peer: Peer, folder: Path, variables: dict[str, str]) -> float:
    """Run the peer and return the CPU seconds, of user and system, of its process and that one's children."""
    with open(folder / "output", "w+b") as output:
        process = subprocess.Popen(peer.command, cwd=folder, env=variables, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{peer.name} ended with exit code {process.returncode}:\n{output.read().decode(errors='replace')}")
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
