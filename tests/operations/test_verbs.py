"""The operator's verbs as programs: their names, their help, their exit codes, and how they end when the world is unkind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from pipeline.version import VERSION
from tests import servers
from tests.conftest import Project, WatchedSandbox, wait_until

MINUTE = "2026-11-23T1205"
VERBS = ("show", "catch-up", "status", "verify", "prune", "keep", "ban", "check")


def first_line(run: "subprocess.CompletedProcess[str]") -> str:
    """Return the only line that a run wrote to stderr, without its time."""
    assert len(run.stderr.splitlines()) == 1, run.stderr
    return without_time(run.stderr)


def without_time(line: str) -> str:
    return re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", "", line.strip())


def test_the_program_is_named_as_it_was_started(project: Project) -> None:
    """`picture-a-minute` is `python -m pipeline`; help, version and errors begin with the name that was typed."""
    (command,) = (each for each in entry_points(group="console_scripts") if each.name == "picture-a-minute")
    program = project.folder / "picture-a-minute"
    program.write_text(f"import sys\nfrom {command.module} import {command.attr}\nsys.exit({command.attr}())\n")
    run = subprocess.run(
        [sys.executable, program, "keep"], cwd=project.folder, env=project.environment, capture_output=True, text=True
    )
    assert (run.returncode, first_line(run)) == (30, "picture-a-minute: there is no picture yet")
    assert first_line(project.run("pipeline", "keep")) == "python -m pipeline: there is no picture yet"


def test_the_version(project: Project) -> None:
    """--version says what is installed."""
    run = project.run("pipeline", "--version")
    assert (run.returncode, run.stdout) == (0, f"picture-a-minute {VERSION}\n")


def test_no_verb_at_all(project: Project) -> None:
    """Without a verb the help is shown, every verb in it, and the exit code is that of unusable arguments."""
    run = project.run("pipeline")
    assert (run.returncode, run.stdout) == (40, "")
    for verb in (*VERBS, "sandbox"):
        assert re.search(rf"(?m)^ +{verb} ", run.stderr), verb


@pytest.mark.one_in(4)
@pytest.mark.parametrize("verb", VERBS)
def test_every_help_says_exit_codes_settings_and_root(project: Project, verb: str) -> None:
    """A verb's help says what each exit code means, where settings come from, and how ROOT is named."""
    said = " ".join(project.run("pipeline", verb, "--help").stdout.split())
    assert re.search(r"Exit codes: 0 \S.*; 30 failed, .*; 40 .* cannot be used; 130 Ctrl-C", said)
    assert "luigi.cfg" in said
    assert "--storage-root ROOT" in said


def test_the_root_of_the_command_line(project: Project) -> None:
    """--storage-root takes the place of luigi.cfg's, in the processes that a verb begins too, and % is an ordinary sign."""
    root = project.folder / "100% mine"
    run = project.run("pipeline", "catch-up", "--start", MINUTE, "--stop", "2026-11-23T1207", "--storage-root", str(root))
    assert run.returncode == 0, run.stderr
    assert (root / "2026-11-23/1206.jpg").exists()
    (root / "2026-11-23/1206.jpg").write_bytes(b"damaged")
    program = (
        "import multiprocessing, sys; from pipeline.__main__ import main; multiprocessing.set_start_method('spawn');"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "verify", "--storage-root", str(root)]
    verify = subprocess.run(command, cwd=project.folder, env=project.environment, capture_output=True, text=True)
    assert (verify.returncode, without_time(verify.stdout.splitlines()[-1])[:39]) == (
        1,
        "2 minutes checked, 1 with files removed",
    ), verify.stderr
    assert not project.root.exists()


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    "arguments",
    [
        ("catch-up", "--limit", "-1"),
        ("catch-up", "--limit", "0"),
        ("catch-up", "--workers", "0"),
        ("catch-up", "--since", "0h"),
        ("catch-up", "--start", "0001-01-01T0000"),
        ("catch-up", "--start", "9999-12-31T2359"),
        ("status", "--max-age", "nan"),
        ("status", "--max-age", "-1"),
        ("status", "--storage-root", ""),
        ("keep", "9999-12-31T2359"),
        ("sandbox", "--port", "65536"),
        ("sandbox", "--port", "-1"),
        ("paint",),
    ],
)
def test_unusable_arguments(project: Project, api: WatchedSandbox, arguments: tuple[str, ...]) -> None:
    """What cannot be meant is refused in one line, with exit code 40, and nothing is made or asked for."""
    run = project.run("pipeline", *arguments)
    assert (run.returncode, run.stdout) == (40, "")
    assert first_line(run).startswith("python -m pipeline")
    assert not project.root.exists()
    assert api.asked == []


def test_a_span_ends_at_the_present(project: Project) -> None:
    """A --stop later than now is the present minute, for the last year there is too; verify begins with the first one."""
    run = project.run("pipeline", "catch-up", "--start", MINUTE, "--stop", "9999-12-31T2359", "--limit", "1")
    assert "done: 1 of 1 missing stored" in run.stderr.splitlines()[-2]
    assert run.stderr.endswith(" more are missing, left out by --limit\n")
    run = project.run("pipeline", "verify", "--start", "0001-01-01T0000", "--stop", "9999-12-31T2359")
    assert (run.returncode, without_time(run.stdout)) == (0, "1 minutes checked, 0 with files removed")


def test_a_port_in_use(project: Project) -> None:
    """A port that another program has is said in one line, with exit code 30."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        run = project.run("pipeline", "sandbox", "--port", str(port))
    assert (run.returncode, first_line(run)) == (30, f"port {port} of 127.0.0.1: Address already in use: --port takes another")


@pytest.mark.one_in(4)
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [("status",), ("status", "--json"), ("--help",), ("check", "--offline")])
def test_a_closed_pipe(project: Project, arguments: tuple[str, ...], unbuffered: str) -> None:
    """A reader that has read enough, as `| head` has, ends a verb without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pipeline", *arguments]
    environment = {**project.environment, "PYTHONUNBUFFERED": unbuffered}
    run = subprocess.run(
        command, cwd=project.folder, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writing)
    assert run.stderr == ""


def test_an_output_that_takes_nothing(project: Project) -> None:
    """A full disk behind stdout is one line and 30; a stdout that is closed takes nothing from the exit code."""
    command = [sys.executable, "-m", "pipeline", "status"]
    environment = {**project.environment, "PYTHONUNBUFFERED": ""}
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            command, cwd=project.folder, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert (run.returncode, first_line(run)) == (30, "python -m pipeline: [Errno 28] No space left on device")
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    run = subprocess.run(closed, cwd=project.folder, env=environment, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (1, "")


def test_a_terminal_of_few_characters(project: Project) -> None:
    """What the terminal's encoding lacks is written as an escape."""
    run = project.run("pipeline", "status", "--storage-root", "Zürich", PYTHONIOENCODING="ascii")
    assert (run.returncode, run.stderr) == (1, "")
    assert "pictures        Z\\xfcrich\n" in run.stdout


def test_an_error_of_the_system(project: Project) -> None:
    """What the system refuses a verb is one line and 30: here xdg-open is no program."""
    viewer = project.folder / "xdg-open"
    viewer.write_bytes(b"\0")
    viewer.chmod(0o755)
    project.root.mkdir()
    (project.root / "latest.jpg").touch()
    run = project.run("pipeline", "show", PATH=str(project.folder), DISPLAY=":7")
    assert (run.returncode, first_line(run)) == (30, f"python -m pipeline: [Errno 8] Exec format error: '{viewer}'")


def test_an_unexpected_error_is_no_1(project: Project) -> None:
    """An error that nobody foresaw is 30 with its traceback, never the 1 that a verb's help names."""
    (project.folder / "broken.py").write_text(
        "import sys\nfrom pipeline import __main__, upkeep\n"
        "def status(archive):\n    raise RuntimeError('out of the blue')\n"
        "upkeep.status = status\nsys.exit(__main__.main(['status']))\n"
    )
    run = project.run("broken")
    assert run.returncode == 30
    assert "RuntimeError: out of the blue" in run.stderr


def test_without_semaphores(project: Project) -> None:
    """Where the machine gives no semaphores a line says so: 30 from catch-up, which needs them, and 40 from `luigi`."""
    own = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs -o ro none /dev/shm || exit 77; exec "$@"',
        "sh",
        sys.executable,
        "-m",
    ]
    luigi = ("luigi", "--module", "pipeline", "StoreImage", "--local-scheduler", "--timestamp", MINUTE)
    for code, command in ((30, ("pipeline", "catch-up")), (40, luigi)):
        run = subprocess.run([*own, *command], cwd=project.folder, env=project.environment, capture_output=True, text=True)
        if run.returncode not in (30, 40):
            pytest.skip("no mounts of one's own here")
        assert run.returncode == code
        assert "this machine gives no semaphores" in first_line(run)


def is_idle(pid: int) -> bool:
    """Tell whether the process uses no processor for a while."""
    readings = []
    for _ in range(2):
        readings.append(Path(f"/proc/{pid}/stat").read_text().split()[13:15])
        time.sleep(0.4)
    return readings[0] == readings[1]


@pytest.mark.parametrize("closed", ["2>/dev/full", "2>&-"])
def test_a_log_that_cannot_be_written(project: Project, closed: str) -> None:
    """It changes no exit code: a verb does what it is asked for."""
    command = f"exec '{sys.executable}' -m pipeline catch-up --start {MINUTE} --stop 2026-11-23T1207 {closed}"
    assert subprocess.run(["sh", "-c", command], cwd=project.folder, env=project.environment).returncode == 0
    assert (project.root / "2026-11-23/1206.jpg").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_luigi_s_processes_end_with_it(project: Project, faulty: servers.Server, number: signal.Signals) -> None:
    """Ctrl-C at a terminal ends `luigi --workers 3` in the midst of its tasks with one line; it leaves no process behind."""
    faulty.breaks("photos", servers.hangs_before_head)
    several = (
        "RangeByMinutes",
        "--of",
        "StoreImage",
        "--start",
        MINUTE,
        "--stop",
        "2026-11-23T1210",
        "--minutes-back",
        "525600",
    )
    with subprocess.Popen(
        [sys.executable, "-m", "luigi", "--module", "pipeline", *several, "--workers", "3", "--local-scheduler"],
        cwd=project.folder,
        env={**project.environment, "UNSPLASH_API_URL": faulty.origin, "PYTHONWARNINGS": "ignore"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_until(lambda: faulty.count("photos") == 3)
        begun = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, err = process.communicate(timeout=60)  # a process that was left would keep it open
    assert process.returncode == -number
    assert len(begun) == 3
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in begun))
    assert without_time(err.splitlines()[-1]).startswith("stopped by Ctrl-C" if number == signal.SIGINT else "FetchMetadata"), (
        err
    )
    assert "Traceback" not in err
    assert "Process " not in err


def test_ctrl_c_while_luigi_waits(project: Project, api: WatchedSandbox) -> None:
    """Ctrl-C between two tries ends `luigi` with one line, and as Ctrl-C does: 130 in a shell."""
    project.configure(retry_delay="60")
    api.instead = lambda target: None
    with project.start(
        "luigi", "--module", "pipeline", "StoreImage", "--local-scheduler", "--timestamp", MINUTE,
        UNSPLASH_API_URL="http://127.0.0.1:9",
    ) as process:  # fmt: skip
        wait_until(lambda: (project.root / "2026-11-23/1205.error").exists())
        wait_until(lambda: is_idle(process.pid))  # in the moment in which it tells of a failure Luigi takes no Ctrl-C
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT
    assert "Traceback" not in err
    assert "stopped by Ctrl-C" in err.splitlines()[-1]
