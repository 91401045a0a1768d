"""What an operator installs beside the pipeline: metrics and history of luigid, its service, and the rotation of the logs."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Project
from tests.processes import MINUTE
from tests.support.luigid import run_minute, running_luigid

DEPLOY = REPOSITORY / "deploy"


def has_extra() -> bool:
    """Tell whether what the extra `monitor` asks for is installed."""
    try:
        return bool(importlib.metadata.version("prometheus_client")) and importlib.metadata.version("sqlalchemy") < "2"
    except importlib.metadata.PackageNotFoundError:
        return False


def needs(*commands: str) -> pytest.MarkDecorator:
    """Skip a test with a word where one of the commands is not there."""
    missing = [command for command in commands if not shutil.which(command)]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


@pytest.mark.skipif(not has_extra(), reason="needs the extra `monitor`")
def test_metrics_and_history_of_a_run(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With deploy/luigid.cfg read after luigi.cfg luigid counts the tasks at /metrics and lists them at /history."""
    state = tmp_path_factory.mktemp("state")
    environment = {
        **project.environment,
        "LUIGI_CONFIG_PATH": str(DEPLOY / "luigid.cfg"),
        "STATE_DIRECTORY": str(state),
    }
    with running_luigid(project.folder, environment) as luigid:
        run = run_minute(project, luigid, MINUTE)
        assert run.returncode == 0, run.stderr
        assert re.search(r'(?m)^luigi_task_done_total\{family="StoreImage"\} 1\.0$', luigid.page("/metrics"))
        history = luigid.page("/history")
    assert set(re.findall(r'<a href="/history/by_id/\d+">(\w+)</a>', history)) == {"FetchMetadata", "ExtractUrl", "StoreImage"}
    assert history.count(f"<td>timestamp</td><td>{MINUTE}</td>") == 3
    assert (state / "history.db").stat().st_size > 0


def test_luigi_cfg_asks_for_no_extra(project: Project) -> None:
    """As shipped, luigid keeps no history and collects no metrics: nothing but Luigi is needed."""
    with running_luigid(project.folder, project.environment) as luigid:
        run = run_minute(project, luigid, MINUTE)
        assert run.returncode == 0, run.stderr
        assert luigid.page("/metrics") == ""
        assert luigid.api("has_task_history") is False


def verified(folder: Path, old: str = "", new: str = "") -> "subprocess.CompletedProcess[str]":
    """Return what systemd-analyze says about the shipped units; one word of them may be another."""
    units = []
    for path in (*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")):
        text = path.read_text().replace("/srv/pictures/.venv/bin", str(Path(sys.executable).parent)).replace(old, new)
        units.append(folder / path.name)
        units[-1].write_text(text.replace("/srv/pictures/deploy", str(DEPLOY)).replace("/srv/pictures", str(folder)))
    # A template is checked as one of its units.
    (folder / "picture-a-minute@.service").rename(folder / "picture-a-minute@2026-11-23T1205.service")
    units = [Path(f"{unit}".replace("@.", "@2026-11-23T1205.")) for unit in units]
    assert len(units) == 8
    return subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)


@needs("systemd-analyze")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """systemd-analyze has no word to say about the services and timers, and finds luigid well shut in."""
    said = verified(tmp_path)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(tmp_path / "luigid.service")]
    assert subprocess.run(command, capture_output=True, text=True).returncode == 0


@needs("systemd-analyze")
@pytest.mark.parametrize(
    ("word", "misspelt"), [("ProtectClock", "ProtectClocks"), ("OnCalendar=minutely", "OnCalendar=minutly"), ("User", "Users")]
)
def test_systemd_would_object(tmp_path: Path, word: str, misspelt: str) -> None:
    """A misspelt option, or a time that is none, does not pass that check."""
    assert misspelt.rpartition("=")[2] in verified(tmp_path, f"\n{word}", f"\n{misspelt}").stderr


@needs("logrotate")
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, as logrotate's `su` does")
def test_logs_are_rotated(tmp_path: Path) -> None:
    """logrotate takes the shipped file as it is, and what a run still writes goes into the renamed log."""
    (tmp_path / "log").mkdir()
    log = tmp_path / "log" / "minute.log"
    rules = tmp_path / "rules"
    rules.write_text(
        (DEPLOY / "logrotate")
        .read_text()
        .replace("/srv/pictures", str(tmp_path))
        .replace("su pictures pictures", "su root root")
    )
    with log.open("a") as written:
        written.write("before\n")
        written.flush()
        command = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(rules)]
        rotated = subprocess.run(command, capture_output=True, text=True)
        assert (rotated.returncode, rotated.stderr) == (0, "")
        written.write("after\n")
    assert not log.exists()
    assert (tmp_path / "log" / "minute.log.1").read_text() == "before\nafter\n"
