"""deploy/alert: one word when things turn bad, one when they are well again, whatever the clock and the command do."""

import os
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipeline.archive import Archive
from pipeline.minutes import MINUTE
from tests.conftest import REPOSITORY, Project
from tests.servers import program
from tests.upkeep.stored import keep

START = datetime(2026, 11, 23, 12, 5)


@pytest.fixture
def installed(project: Project) -> Project:
    """The project with the script, and a command that appends what it reads to a file of its own."""
    shutil.copytree(REPOSITORY / "deploy", project.folder / "deploy")
    (project.folder / ".venv").symlink_to(sys.prefix)
    tell = project.folder / "tell"
    tell.write_text('#!/bin/sh\n[ ! -e broken ] || exit 1\ncat >> told && echo "--$1" >> told\n')
    tell.chmod(0o755)
    return project


def check(project: Project, at: datetime, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run the script as cron does, with this clock."""
    clock = (program("faketime"), "-f", f"@{at:%Y-%m-%d %H:%M:%S}")
    environment = {**project.environment, "PATH": "/usr/bin:/bin", "TZ": "UTC"}
    script = [*clock, str(project.folder / "deploy" / "alert"), *(command or ("./tell", "you"))]
    return subprocess.run(script, cwd="/", env=environment, capture_output=True, text=True, timeout=60)


def told(project: Project) -> list[str]:
    """Return what the command was given, call by call."""
    path = project.folder / "told"
    return path.read_text().split("--you\n")[:-1] if path.exists() else []


@pytest.mark.ci
def test_an_outage_of_an_hour(installed: Project) -> None:
    """In an hour without pictures, checked every five minutes, the command runs once, and once when they come again."""
    archive = Archive(installed.root)
    ends = START + timedelta(hours=1)
    keep(archive, START)
    counts = []
    for number in range(16):
        at = START + timedelta(minutes=5 * number, seconds=30)
        if at > ends:
            keep(archive, at.replace(second=0) - MINUTE)
        run = check(installed, at)
        assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
        counts.append(len(told(installed)))
    assert counts == [0] + [1] * 11 + [2] * 4
    bad, well = told(installed)
    assert bad.startswith(
        f"{os.uname().nodename}:{installed.folder}: not well\n\nnewest picture  2026-11-23T1205, 5 minutes ago\n"
    )
    assert "no picture for more than 5 minutes" in bad
    assert well.splitlines()[0].endswith(": well again")
    assert well.splitlines()[2].startswith("newest picture  2026-11-23T1304, ")


def test_a_command_that_fails_is_run_again(installed: Project) -> None:
    """What could not be told is told at the next check, once; the script hands on the command's exit code."""
    (installed.folder / "broken").touch()
    assert check(installed, START).returncode == 1
    (installed.folder / "broken").unlink()
    assert [check(installed, START).returncode for _ in range(2)] == [0, 0]
    assert len(told(installed)) == 1


def test_what_keeps_status_from_answering_is_told(installed: Project) -> None:
    """A folder without its Python, or settings that cannot be used, are as bad as pictures that stop."""
    (installed.folder / ".venv").unlink()
    assert check(installed, START).returncode == 0
    assert ".venv/bin/python" in told(installed)[0]


def test_a_status_that_hangs_is_told(installed: Project) -> None:
    """A status that does not answer in time is ended, and told as such."""
    python = installed.folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexec sleep 600\n")
    python.chmod(0o755)
    (installed.folder / ".venv").unlink()
    (installed.folder / ".venv").symlink_to("venv")
    script = installed.folder / "deploy" / "alert"
    script.write_text(script.read_text().replace("-k 10 120", "-k 10 0.2"))
    assert check(installed, START).returncode == 0
    assert "status does not answer" in told(installed)[0]


def test_a_link_to_it_works(installed: Project, tmp_path: Path) -> None:
    """It finds the project by its own place, not by that of a link."""
    link = tmp_path / "alert"
    link.symlink_to(installed.folder / "deploy" / "alert")
    run = subprocess.run([str(link), "cat"], env=installed.environment, capture_output=True, text=True, timeout=60)
    assert "newest picture  none" in run.stdout, run.stderr
    assert not (tmp_path.parent / "log").exists()


def test_without_a_command_it_says_how(installed: Project) -> None:
    """The script needs a command to run, and says so."""
    script = [str(installed.folder / "deploy" / "alert")]
    run = subprocess.run(script, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (40, "usage: deploy/alert COMMAND [ARGUMENT ...]\n")
