"""`python -m pipeline check`: a line for each part of the configuration, and what to do; 0 only if all is well."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import pytest

from pipeline import minutes, sandbox
from pipeline.archive import Archive
from pipeline.minutes import MINUTE
from tests.conftest import Project, WatchedSandbox
from tests.processes import mounted
from tests.servers import program
from tests.support.luigid import Luigid, running_luigid
from tests.upkeep.stored import keep


def check(project: Project, *options: str, **environment: str) -> tuple[int, list[str]]:
    """Return the exit code of `check`, and what it says is amiss; each line names a part of the configuration."""
    run = project.run("pipeline", "check", *options, **environment)
    assert run.stderr == ""
    lines = run.stdout.splitlines()
    assert all(re.match(r"(ok  |BAD ) (luigi\.cfg|settings|key|ROOT|clock|luigid|runs) +\S", line) for line in lines), lines
    amiss = [" ".join(line.split()[1:]) for line in lines if line.startswith("BAD")]
    assert run.returncode == bool(amiss)
    return run.returncode, amiss


@pytest.fixture
def luigid(project: Project) -> Iterator[Luigid]:
    """A luigid to which the project's luigi.cfg leads."""
    with running_luigid(project.folder, project.environment) as luigid:
        project.configure(scheduler_port=str(luigid.port))
        yield luigid


@pytest.fixture
def well(project: Project, luigid: Luigid) -> Project:
    """A project that is well: it has a luigid, and a picture of this minute."""
    keep(Archive(project.root), minutes.present_minute())
    return project


def test_luigid_is_asked_past_a_proxy(well: Project) -> None:
    """A company's proxy in the environment is not asked for luigid, as Luigi is kept from it too."""
    assert check(well, "--offline", http_proxy="http://127.0.0.1:9") == (0, [])


def test_all_is_well(well: Project, api: WatchedSandbox) -> None:
    """A line says what each part is, one request is made, and nothing is left behind."""
    before = well.files()
    run = well.run("pipeline", "check")
    assert (run.returncode, run.stderr) == (0, ""), run.stdout
    said = [re.sub(r" +", " ", line) for line in run.stdout.splitlines()]
    assert said[:3] == [
        f"ok luigi.cfg {well.folder / 'luigi.cfg'}",
        "ok settings every one is known and can be used",
        "ok key in the environment, and taken; that cost one request: 49 of 50 requests left this hour",
    ]
    assert [line.split()[1] for line in said[3:]] == ["key", "ROOT", "ROOT", "clock", "luigid", "runs"]
    assert "ok ROOT data can be written" in said
    assert len(api.asked) == 1
    assert well.files() == before


def test_a_topic_that_matches_nothing(well: Project) -> None:
    """The key is taken all the same; the topic is named."""
    well.configure(topics=f"{sandbox.UNMATCHED_QUERY}, nature")
    run = well.run("pipeline", "check")
    assert run.returncode == 0, run.stdout
    assert (
        "and taken; that cost one request: 49 of 50 requests left this hour; nothing matches the topic 'nothing'" in run.stdout
    )


def test_offline_asks_nothing(well: Project, api: WatchedSandbox) -> None:
    """--offline makes no request, and says that the key was not tried."""
    run = well.run("pipeline", "check", "--offline")
    assert (run.returncode, api.asked) == (0, [])
    assert "Unsplash is not asked whether it takes it" in run.stdout


def test_a_fresh_folder(project: Project, api: WatchedSandbox) -> None:
    """Before anything runs: no luigid, no runs; the key is in .env, and no folder is made."""
    project.environment.pop("UNSPLASH_API_KEY")
    (project.folder / ".env").write_text("UNSPLASH_API_KEY=a-key\n")
    project.configure(scheduler_port="9")
    run = project.run("pipeline", "check")
    assert f"in {project.folder / '.env'}, and taken" in run.stdout
    assert "data can be written; the first run makes it" in run.stdout
    _, amiss = check(project)
    assert [line.split()[0] for line in amiss] == ["luigid", "runs"]
    assert "crontab" in amiss[1]
    assert not project.root.exists()


@pytest.mark.parametrize("key", ["", "no key", sandbox.WRONG_KEY])
def test_a_key_that_is_none(well: Project, key: str) -> None:
    """No key, one that cannot be one, and one that the API does not take."""
    _, (line,) = check(well, UNSPLASH_API_KEY=key)
    assert line.startswith("key ") and "UNSPLASH_API_KEY" in line
    assert sandbox.WRONG_KEY not in line


def test_every_unknown_setting_is_named(well: Project) -> None:
    """All that is wrong with the settings is said at once; the rest is tried when that is mended."""
    path = well.folder / "luigi.cfg"
    path.write_text(path.read_text().replace("topics =", "topcis =").replace("size = regular", "size = huge"))
    _, amiss = check(well)
    assert [line.split()[:3] for line in amiss] == [["settings", "[unsplash]", "topcis"], ["settings", "[unsplash]", "size"]]


def test_no_luigi_cfg(well: Project) -> None:
    """A folder without luigi.cfg is not well, though the contract holds there."""
    (well.folder / "luigi.cfg").unlink()
    _, amiss = check(well, "--offline", PYTHONWARNINGS="ignore")
    assert amiss[0].startswith(f"luigi.cfg there is no luigi.cfg in {well.folder}")


@pytest.mark.parametrize(("minutes_off", "word"), [(5, "behind"), (-5, "ahead of")])
def test_a_wrong_clock(well: Project, monkeypatch: pytest.MonkeyPatch, minutes_off: int, word: str) -> None:
    """The API's time says by how much the clock is off."""
    date = format_datetime(datetime.now(timezone.utc) + timedelta(minutes=minutes_off), usegmt=True)
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda *_: date)
    _, (line,) = check(well)
    assert re.match(rf"key the clock is (29\d|30\d) s {word} the API's: set it", line)


def test_pictures_ahead_of_the_clock(well: Project) -> None:
    """A picture later than now is a clock that was wrong."""
    keep(Archive(well.root), minutes.present_minute() + 500 * MINUTE)
    _, (line,) = check(well, "--offline")
    assert line.startswith("clock ") and "ahead of it" in line


def test_a_disk_that_cannot_be_used(well: Project) -> None:
    """A ROOT that cannot be written, and one with little room, are named."""
    well.configure(root="/proc/pictures")
    _, amiss = check(well, "--offline")
    assert "ROOT /proc/pictures cannot be written: /proc: No such file or directory" in amiss
    (well.folder / "away").symlink_to(well.folder / "not mounted")
    well.configure(root="away")
    _, amiss = check(well, "--offline")
    assert f"ROOT {well.folder / 'away'}: No such file or directory" in amiss
    with mounted(well.folder / "small", "-t", "tmpfs", "-o", "size=4m", "none") as small:
        well.configure(root=str(small))
        _, amiss = check(well, "--offline")
        assert [line for line in amiss if line.startswith("ROOT 0.0 GB of 0.0 GB are free: make room")]


def test_a_file_system_that_promises_less(well: Project) -> None:
    """A folder that cannot be locked or flushed is named, with the system's reason."""
    strace = [program("strace"), "-f", "-qq", "-o", os.devnull, "-e", "trace=flock", "-e", "inject=flock:error=ENOLCK"]
    command = [*strace, sys.executable, "-m", "pipeline", "check", "--offline"]
    run = subprocess.run(command, cwd=well.folder, env=well.environment, capture_output=True, text=True)
    if "ptrace" in run.stderr:
        pytest.skip(f"strace: {run.stderr.strip()}")
    assert run.returncode == 1
    assert "BAD  ROOT       data can be written; its folders cannot be locked: No locks available\n" in run.stdout


def test_a_failed_run(project: Project, luigid: Luigid) -> None:
    """A run of the last minutes that failed is named with its reason."""
    archive, now = Archive(project.root), minutes.present_minute()
    archive.put_failure(now - MINUTE, "FetchMetadata: no answer")
    assert check(project, "--offline")[1] == [f"runs one failed, {minutes.name(now - MINUTE)}: FetchMetadata: no answer"]


def test_something_else_at_the_port_of_luigid(well: Project, api: WatchedSandbox) -> None:
    """What answers there and is no luigid is not well; without a scheduler to ask nothing is."""
    well.configure(scheduler_port=api.origin.rpartition(":")[2])
    _, (line,) = check(well, "--offline")
    assert line.startswith(f"luigid does not answer at {api.origin}/: start it")
    path = well.folder / "luigi.cfg"
    path.write_text(path.read_text().replace("[core]\n", "[core]\nlocal_scheduler = true\n"))
    assert check(well, "--offline") == (0, [])
