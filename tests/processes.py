"""Runs of the minute as a whole: how they are started, what they leave, and which system calls they make."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline import jpeg, page
from tests.conftest import KEY, Project
from tests.servers import Server, program

MINUTE = "2026-11-23T1205"
# The reason, and what shows it.
FAILED = {"2026-11-23/1205.error", "2026-11-23/12.js"}
FILED = {"2026-11-23/1205.json", "2026-11-23/given", "quota"}
ASSETS = {path.name: path.read_bytes() for path in Path(page.__file__).parent.glob("page.*") if path.stat().st_size}
# The data of the page.
DATA = {"newest.js", "calendar.js", "favourites.js", "2026-11-23/12.js"}
# What shows a stored picture; a run that stored it may fail to make these, and says so.
SHOWN = {"latest.jpg", "index.html", "2026-11-23/thumb/1205.jpg"} | DATA | ASSETS.keys()
STORED = FILED | SHOWN | {"2026-11-23/1205.txt", "2026-11-23/1205.jpg"}


def start(project: Project, *prefix: str, options: tuple[str, ...] = (), **environment: str) -> "subprocess.Popen[str]":
    """Start a run of the minute under another program, such as strace, that is given as it is called."""
    timestamp = () if "--timestamp" in options else ("--timestamp", MINUTE)
    luigi = (sys.executable, "-m", "luigi", "--module", "pipeline", "StoreImage", "--local-scheduler", *timestamp, *options)
    return subprocess.Popen(
        [*prefix, *luigi],
        cwd=project.folder,
        env={**project.environment, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]", seconds: float = 300) -> "subprocess.CompletedProcess[str]":
    """Wait for the process, and return its exit code and what it said; one that hangs is killed, and fails the test."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@contextlib.contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    """Mount a file system on the folder; skip the test where that is not allowed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run([program("mount"), *arguments, folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def failure(project: Project) -> str:
    """Return the reason that the minute's `.error` gives, its only line."""
    line = (project.root / "2026-11-23" / "1205.error").read_text("utf-8")
    found = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \w+: (.+)\n", line)
    assert found, line
    return found[1]


def assert_key_is_nowhere(project: Project, *runs: "subprocess.CompletedProcess[str]") -> None:
    """Check that the key is in nothing that the runs said, and in no file."""
    for run in runs:
        assert KEY not in run.stdout + run.stderr
    for path in project.folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert KEY.encode() not in path.read_bytes(), path


def assert_key_went_to_the_api_alone(server: Server) -> None:
    """Check that each request to the API had the key and no request for a picture had anything."""
    for kind, authorization in server.requests:
        assert authorization == (None if kind == "picture" else f"Client-ID {KEY}"), kind


TEMPORARY = r"\.[^/]+\.[0-9a-f]{16}-[0-9a-f]+"
CHANGES = "openat,write,fsync,rename,unlink,mkdir,flock,close"


class Call(NamedTuple):
    """A system call by which a run changes ROOT: its name, which of that name it is in the first thread, and its words."""

    name: str
    number: int
    arguments: str

    def injection(self, what: str) -> tuple[str, ...]:
        """Return the strace command that does this at the call: `signal=SIGKILL`, `error=EIO`."""
        strace = (program("strace"), "-f", "-qq", "-o", os.devnull, "-e", "signal=none")
        return (*strace, "-e", f"trace={self.name}", "-e", f"inject={self.name}:{what}:when={self.number}")


def calls(project: Project) -> list[Call]:
    """Run the minute and return its calls that change the project's folder, in their order."""
    trace = project.folder / "trace"
    strace = (program("strace"), "-f", "-qq", "-y", "--seccomp-bpf", "-o", str(trace), "-e", f"trace={CHANGES}")
    run = ended(start(project, *strace))
    if not trace.exists():
        pytest.skip(f"strace: {run.stderr.strip()}")
    name_of_root = project.root.relative_to(project.folder).parts[0]
    found, counts = [], Counter[str]()
    lines = trace.read_text("utf-8", "replace").splitlines()
    trace.unlink()
    process = lines[0].split()[0]
    for line in lines:
        made = re.match(rf"{process} +(\w+)\((.*)", line)
        if not made:
            continue
        name, arguments = made.groups()
        counts[name] += 1
        concerns_folder = f'"{name_of_root}' in arguments or re.match(rf"\d+<{project.folder}", arguments)
        if concerns_folder and (name != "openat" or "O_CREAT" in arguments):
            found.append(Call(name, counts[name], arguments))
    return found


def temporary_files(project: Project) -> list[Path]:
    """Return what was written under another name beside its own, and has not taken its place."""
    return [path for path in project.root.rglob("*") if re.fullmatch(TEMPORARY, path.name)]


def grown_old(path: Path) -> Path:
    """Rename a temporary file as if it were of a run two hours ago."""
    return path.rename(path.with_name(re.sub(r"[0-9a-f]{16}(?=-)", f"{time.time_ns() - 7200 * 10**9:016x}", path.name)))


def assert_whole(project: Project) -> None:
    """Check every file under a name of the contract: it is whole, and fits the other files of its minute."""
    temporary = temporary_files(project)
    for path in project.root.rglob("*"):
        if path.is_dir() or path in temporary:
            continue
        content = path.read_bytes()
        photo = path.with_suffix(".json")
        if path.suffix == ".json":
            assert json.loads(content)["pipeline"]["minute"] == f"{path.parent.name}T{path.stem}", path
        elif path.suffix == ".txt":
            assert content.decode("ascii")[:-1] in json.loads(photo.read_bytes())["urls"].values(), path
        elif path.suffix == ".jpg":
            jpeg.picture(content)
            assert path.name == "latest.jpg" or path.parent.name == "thumb" or path.with_suffix(".txt").exists(), path
        elif path.name in ASSETS:
            assert content == ASSETS[path.name], path
        elif path.suffix == ".html":
            assert content.rstrip().endswith(b"</html>"), path
        elif path.suffix == ".js":
            data = re.fullmatch(rb'pictureAMinute\("([\w-]+)", ([{\[].*[}\]]), "[\d.]+"\);\n', content)
            assert data and isinstance(json.loads(data[2]), (dict, list)), path
        elif path.suffix == ".error":
            assert re.fullmatch(rb"\S+Z \w+: [^\n]+\n", content), path
        elif path.name == "given":
            assert re.fullmatch(rb"([0-2]\d[0-5]\d [\w-]+\n)+", content), path
        else:
            assert path.name == "quota" and json.loads(content)["limit"], path
