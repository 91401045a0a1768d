"""What cron is given: the script of every minute in cron's bare environment, and four real minutes of Debian's cron daemon."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline import minutes
from tests import servers
from tests.conftest import KEY, REPOSITORY, Project, WatchedSandbox, status, wait_until
from tests.support.luigid import free_port, running_luigid

WAIT_SECONDS = 200

# Everything that cron reads and writes is laid over with empty folders that this process alone sees: no crontab of the
# machine is read or changed, and what would be mailed goes to a file.
OWN_CRON = """set -e
mount -t tmpfs none /var/spool/cron
install -d -m 1730 -g crontab /var/spool/cron/crontabs
mount -t tmpfs none /etc/cron.d
mount --bind /dev/null /etc/crontab
mount -t tmpfs none /run
mkdir /run/upper /run/work
install -m 755 sendmail /run/upper/sendmail
mount -t overlay overlay -o lowerdir=/usr/sbin,upperdir=/run/upper,workdir=/run/work /usr/sbin
crontab crontab
exec cron -f
"""

NEEDED = ("unshare", "cron", "crontab")

# All that cron sets.
BARE_ENVIRONMENT = {"HOME": "/", "LOGNAME": "pictures", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}


@pytest.fixture
def installed(project: Project, api: WatchedSandbox) -> Project:
    """The project as docs/operations.md installs it, with a port for luigid on which there is none yet."""
    project.configure(scheduler_port=str(free_port()))
    shutil.copytree(REPOSITORY / "deploy", project.folder / "deploy")
    (project.folder / ".venv").symlink_to(sys.prefix)
    (project.folder / ".env").write_text(f"UNSPLASH_API_KEY={KEY}\nUNSPLASH_API_URL={api.origin}\n")
    (project.folder / "log").mkdir()
    return project


def port(project: Project) -> int:
    """Return the port on which the project looks for luigid."""
    return int(re.findall(r"(?m)^scheduler_port = (\d+)$", (project.folder / "luigi.cfg").read_text())[0])


def store_minute(project: Project, script: Path | None = None, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the script as cron does."""
    return subprocess.run(
        [script or project.folder / "deploy" / "store-minute"],
        cwd="/",
        env={**BARE_ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )


def pictures(project: Project) -> list[str]:
    """Return the minutes that are stored."""
    return [f"{path.parent.name}T{path.stem}" for path in sorted(project.root.glob("????-??-??/????.jpg"))]


def test_the_minute_is_stored_through_luigid(installed: Project) -> None:
    """In cron's bare environment the script stores the minute in which it starts, and luigid sees it."""
    before = minutes.name(minutes.present_minute())
    with running_luigid(installed.folder, installed.environment, port(installed)) as luigid:
        run = store_minute(installed)
        assert run.returncode == 0, run.stderr
        assert set(luigid.tasks("DONE")) == {"FetchMetadata", "ExtractUrl", "StoreImage"}
    assert pictures(installed) in ([before], [minutes.name(minutes.present_minute())])
    assert "luigid" not in run.stderr


def test_the_minute_is_stored_without_luigid(installed: Project) -> None:
    """With luigid down the script stores the minute all the same, and says so in one line."""
    run = store_minute(installed)
    assert run.returncode == 0, run.stderr
    (minute,) = pictures(installed)
    assert re.findall(r"(?m)^.*luigid.*$", run.stderr) == [run.stderr.splitlines()[0]]
    assert run.stderr.splitlines()[0].endswith(
        f"Z luigid does not answer at http://127.0.0.1:{port(installed)}/: minute {minute} runs without it"
    )


@pytest.mark.ci
def test_the_minute_is_stored_with_a_luigid_that_hangs(installed: Project) -> None:
    """A luigid that takes the connection and never answers is as good as none."""
    with socket.create_server(("127.0.0.1", port(installed))):
        run = store_minute(installed)
    assert run.returncode == 0, run.stderr
    assert "luigid does not answer" in run.stderr
    assert len(pictures(installed)) == 1


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    "fault",
    [
        servers.answers(500),
        servers.answers(204),
        servers.answers(200, b"<html>the company's proxy</html>"),
        servers.redirects("http://127.0.0.1:1/login"),
        servers.sends(b"\xff\0 garbage\r\n\r\n"),
        servers.hangs_inside_head,
        servers.hangs_inside_body,
        servers.resets,
    ],
    ids=["500", "204", "a page", "a redirect", "garbage", "hangs inside its head", "hangs inside its body", "resets"],
)
def test_the_minute_is_stored_with_something_else_in_the_place_of_luigid(
    fault: servers.Fault, installed: Project, faulty: servers.Server
) -> None:
    """What does not answer as luigid does is as good as none, though it answers."""
    installed.configure(scheduler_port=str(faulty.server_port))
    faulty.breaks("picture", fault)  # what is neither photos nor an event
    run = store_minute(installed)
    assert run.returncode == 0, run.stderr
    assert "luigid does not answer" in run.stderr
    assert len(pictures(installed)) == 1
    assert len(faulty.requests) == 1


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("scheduler_host = ", "scheduler_host:").replace("scheduler_port = ", "scheduler_port: "),
        lambda text: re.sub(r"(?m)^(?=\w)", "    ", text),
        lambda text: text.replace("scheduler_host = 127.0.0.1", "scheduler_host = ${LOGNAME}"),
    ],
    ids=["line ends of Windows", "colons", "indented", "a variable"],
)
def test_luigi_cfg_is_read_as_luigi_reads_it(change: Callable[[str], str], installed: Project) -> None:
    """However the settings are written, the script asks the luigid that luigi asks."""
    path = installed.folder / "luigi.cfg"
    path.write_text(change(path.read_text()), newline="")
    number = int(re.findall(r"scheduler_port\s*[=:]\s*(\d+)", path.read_text())[0])
    with running_luigid(installed.folder, {**installed.environment, "LOGNAME": "localhost"}, number) as luigid:
        run = store_minute(installed, LOGNAME="localhost")
        assert run.returncode == 0, run.stderr
        assert set(luigid.tasks("DONE")) == {"FetchMetadata", "ExtractUrl", "StoreImage"}


def test_luigi_cfg_elsewhere(installed: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What LUIGI_CONFIG_PATH names counts for the script too."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "other.cfg"
    elsewhere.write_text(f"[core]\nscheduler_port = {free_port()}\n")
    number = int(elsewhere.read_text().split()[-1])
    with running_luigid(installed.folder, installed.environment, number) as luigid:
        run = store_minute(installed, LUIGI_CONFIG_PATH=str(elsewhere))
        assert run.returncode == 0, run.stderr
        assert set(luigid.tasks("DONE")) == {"FetchMetadata", "ExtractUrl", "StoreImage"}


def test_a_link_to_the_script(installed: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A link to the script stores the minute of the project that the script is in, through links to links."""
    folder = tmp_path_factory.mktemp("a folder with blanks")
    (folder / "first").symlink_to(installed.folder / "deploy" / "store-minute")
    (folder / "second").symlink_to("first")
    run = store_minute(installed, folder / "second")
    assert run.returncode == 0, run.stderr
    assert len(pictures(installed)) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_luigid_is_not_asked_through_a_proxy(host: str, installed: Project, proxy: servers.Proxy) -> None:
    """A proxy of the environment is for the API and its pictures: luigid, wherever it is, is asked itself."""
    installed.configure(scheduler_host=host)
    with running_luigid(installed.folder, installed.environment, port(installed)) as luigid:
        run = store_minute(installed, http_proxy=proxy.url, https_proxy=proxy.url)
        assert run.returncode == 0, run.stderr
        assert set(luigid.tasks("DONE")) == {"FetchMetadata", "ExtractUrl", "StoreImage"}
    assert proxy.asked == []
    assert len(pictures(installed)) == 1


def test_the_line_ends_of_the_script(tmp_path: Path) -> None:
    """A clone made with Windows's line ends has the scripts, and the page's files, as they are."""
    git = servers.program("git")
    clone = (git, "-c", "core.autocrlf=true", "clone", "-q", str(REPOSITORY), str(tmp_path / "clone"))
    if not (REPOSITORY / ".git").exists() or subprocess.run(clone, capture_output=True).returncode:
        pytest.skip("no repository to clone")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=tmp_path / "clone", capture_output=True, text=True, check=True)
    assert [
        name
        for name in listed.stdout.split("\0")
        if name and not name.endswith(".png") and b"\r\n" in (tmp_path / "clone" / name).read_bytes()
    ] == []


def test_a_failed_run_is_not_run_again(installed: Project, api: WatchedSandbox) -> None:
    """The tries of a failing minute are Luigi's 11; the script hands on their exit code and makes no more."""
    api.instead = lambda target: status(503)
    run = store_minute(installed)
    assert run.returncode == 30, run.stderr
    assert len(api.requests("/photos/random")) == 11


def test_the_crontab_needs_no_escapes() -> None:
    """cron turns a bare % into a line break: the lines, those behind a # as well, have none, and each writes to a log."""
    text = (REPOSITORY / "deploy" / "crontab").read_text()
    lines = re.findall(r"(?m)^#?([*\d].*)$", text)
    assert (len(lines), len(re.findall(r"(?m)^[*\d]", text))) == (6, 3)
    for line in lines:
        assert "%" not in line
        assert re.fullmatch(r"(\S+ ){5}cd /srv/pictures && \S+.* >> log/[a-z-]+\.log 2>&1", line)


@contextmanager
def running_cron(folder: Path, crontab: str) -> Iterator[None]:
    """Run cron with this crontab and no other; what it mails is appended to `mail` in the folder."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("no mounts of one's own here")
    (folder / "crontab").write_text(crontab)
    (folder / "sendmail").write_text(f"#!/bin/sh\ncat >> {folder}/mail\n")
    command = ["unshare", "--mount", "sh", "-c", OWN_CRON]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        yield
        assert process.poll() is None, process.communicate()[1]
    finally:
        process.terminate()
        process.communicate(timeout=WAIT_SECONDS)


def jobs(folder: Path) -> list[str]:
    """Return the processes that work in the folder, cron aside."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "comm").read_text().strip()
            if (process / "cwd").samefile(folder) and name not in ("cron", "unshare"):
                found.append(name)
        except OSError:
            continue
    return found


@pytest.mark.ci
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_container_s_loop_stores_a_minute_and_stops(installed: Project) -> None:
    """Where there is no cron the loop starts the minute's script when a minute begins; SIGTERM ends all of it at once."""
    script = installed.folder / "deploy" / "every-minute"
    with subprocess.Popen([script], env=BARE_ENVIRONMENT, stderr=subprocess.PIPE, start_new_session=True) as loop:
        wait_until(lambda: len(pictures(installed)) == 1, WAIT_SECONDS)
        loop.terminate()
        loop.wait(10)
    assert loop.returncode == 0
    wait_until(lambda: not jobs(installed.folder))


@pytest.mark.cron
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs Linux, and root to lay out a cron of its own")
@pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason="needs Debian's package cron")
def test_cron_stores_every_minute_with_and_without_luigid(installed: Project) -> None:
    """The shipped crontab stores every minute, luigid up or not; nothing is mailed, and the log says what it should."""
    folder = installed.folder
    crontab = (REPOSITORY / "deploy" / "crontab").read_text().replace("/srv/pictures", str(folder))
    # The line that prints shows that a mail would be seen.
    with running_cron(folder, f"{crontab}* * * * * echo printed\n"):
        with running_luigid(folder, installed.environment, port(installed)) as luigid:
            wait_until(lambda: len(pictures(installed)) == 2 and not set(jobs(folder)) - {"luigid"}, WAIT_SECONDS)
            assert len(luigid.api("task_list", status="DONE", upstream_status="")) == 6
        wait_until(lambda: len(pictures(installed)) == 4 and not jobs(folder), WAIT_SECONDS)
        wait_until(lambda: (folder / "mail").exists(), WAIT_SECONDS)

    log = (folder / "log" / "minute.log").read_text()
    stored = pictures(installed)
    assert re.findall(r"(?m)^\S+Z StoreImage (\S+) done in [0-9.]+ s$", log) == stored
    without = rf"(?m)^\S+Z luigid does not answer at http://127\.0\.0\.1:{port(installed)}/: minute (\S+) runs without it$"
    assert re.findall(without, log) == stored[2:]
    task = r"(FetchMetadata|ExtractUrl|StoreImage) \S+ (started|done in [0-9.]+ s)"
    expected = re.compile(rf"\S+Z ({task}|luigid does not answer .*|the first picture is .*)")
    assert [line for line in log.splitlines() if not expected.fullmatch(line)] == []
    assert set(re.findall("(?m)^Subject: .*$", (folder / "mail").read_text())) == {
        f"Subject: Cron <root@{os.uname().nodename}> echo printed"
    }
