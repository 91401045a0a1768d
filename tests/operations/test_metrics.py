"""Metrics of the pictures: what `status` writes, what node_exporter hands on, and what the dashboard asks of Prometheus."""

import json
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from pipeline import minutes, unsplash
from pipeline.archive import Archive
from pipeline.minutes import MINUTE
from tests.conftest import REPOSITORY, Project, wait_until
from tests.servers import program
from tests.support.luigid import free_port
from tests.upkeep.stored import keep

pytest.importorskip("prometheus_client", reason="needs the extra `monitor`")

DASHBOARD = json.loads((REPOSITORY / "deploy" / "grafana-dashboard.json").read_text())
ASKED = {(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]}
DAY = datetime(2026, 11, 23)
OUTAGE = range(10 * 60, 13 * 60)
FAILED = range(10 * 60, 11 * 60)


def metrics(project: Project, *prefix: str) -> dict[str, float]:
    """Return the samples of `status --format prometheus`, by their names with labels."""
    command = (*prefix, sys.executable, "-m", "pipeline", "status", "--format", "prometheus")
    run = subprocess.run(command, cwd=project.folder, env=project.environment, capture_output=True, text=True, timeout=60)
    assert run.stderr == ""
    return {name: float(value) for name, value in re.findall(r"(?m)^(pictures_\S+) (\S+)$", run.stdout)}


@contextmanager
def served(url: str, *command: str) -> Iterator[None]:
    """Run a server until the block ends; it answers at the address before the block begins."""

    def answers() -> bool:
        with suppress(OSError):
            return bool(urllib.request.urlopen(url, timeout=5).status == 200)
        return False

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(answers)
            yield
        finally:
            process.kill()


def test_what_is_known_is_told(project: Project) -> None:
    """The metrics say what `status` says; what it does not know, such as the quota, has no sample."""
    archive, now = Archive(project.root), minutes.present_minute()
    keep(archive, now - 3 * MINUTE)
    archive.put_failure(now - MINUTE, "StoreImage: no answer")
    found = metrics(project)
    assert found["pictures_well"] == 1
    assert found["pictures_newest_timestamp_seconds"] == (now - 3 * MINUTE).replace(tzinfo=timezone.utc).timestamp()
    assert (found['pictures_last_day{state="stored"}'], found['pictures_last_day{state="failed"}']) == (1, 1)
    assert found["pictures_last_day_bytes"] > 0
    assert not [name for name in found if "quota" in name]
    archive.put_quota(unsplash.Quota(50, 38))
    assert (metrics(project)["pictures_quota_requests"], metrics(project)["pictures_quota_requests_left"]) == (50, 38)


def test_without_a_picture_there_is_no_newest(project: Project) -> None:
    """Where nothing was ever stored the pipeline is not well, and the newest picture has no sample."""
    found = metrics(project)
    assert found["pictures_well"] == 0
    assert "pictures_newest_timestamp_seconds" not in found


def test_promtool_has_nothing_to_object(project: Project) -> None:
    """The metrics keep Prometheus' rules of naming and writing."""
    keep(Archive(project.root), minutes.present_minute())
    said = project.run("pipeline", "status", "--format", "prometheus").stdout
    run = subprocess.run([program("promtool"), "check", "metrics"], input=said, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_node_exporter_hands_them_on(project: Project) -> None:
    """The file that cron's line replaces is what node_exporter's textfile collector reads; nothing is left beside it."""
    exporter, folder = program("prometheus-node-exporter"), project.folder / "textfile"
    folder.mkdir()
    keep(Archive(project.root), minutes.present_minute())
    (line,) = re.findall(r"(?m)^#\* \* \* \* \* (.*prometheus.*)$", (REPOSITORY / "deploy/crontab").read_text())
    for shipped, here in (
        ("/srv/pictures", project.folder),
        ("/var/lib/prometheus/node-exporter", folder),
        (".venv/bin/python", sys.executable),
    ):
        assert shipped in line
        line = line.replace(shipped, str(here))
    (project.folder / "log").mkdir()
    run = subprocess.run(["sh", "-c", line], env=project.environment, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert [path.name for path in folder.iterdir()] == ["pictures.prom"]
    address = f"127.0.0.1:{free_port()}"
    collect = ("--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={folder}")
    with served(f"http://{address}/", exporter, *collect, f"--web.listen-address={address}"):
        handed_on = urllib.request.urlopen(f"http://{address}/metrics", timeout=60).read().decode()
    assert re.search(r"(?m)^pictures_well 1$", handed_on)
    assert re.search(r"(?m)^node_textfile_scrape_error 0$", handed_on)


@pytest.fixture
def day(project: Project) -> Path:
    """Return what `status` said every hour of a day in which pictures stopped for three hours."""
    archive, samples = Archive(project.root), list[str]()
    project.root.mkdir()
    (project.root / "quota").write_text('{"limit": 50, "remaining": 38, "at": "2026-11-23T12:00:00Z"}')
    for hour in range(1, 25):
        at = DAY + timedelta(hours=hour)
        for number in range(60 * (hour - 1), 60 * hour):
            if number not in OUTAGE:
                keep(archive, DAY + number * MINUTE)
            elif number in FAILED:
                archive.put_failure(DAY + number * MINUTE, "FetchMetadata: no answer")
        found = metrics(project, program("faketime"), "-f", f"@{at:%Y-%m-%d %H:%M:%S}")
        samples += [f"{name} {value} {at.replace(tzinfo=timezone.utc).timestamp():.0f}\n" for name, value in found.items()]
    path = project.folder / "day"
    path.write_text("".join(samples) + "# EOF\n")
    return path


@pytest.fixture
def prometheus(day: Path) -> Iterator[str]:
    """Run a Prometheus that has the day; return its address."""
    data, address = day.with_name("prometheus"), f"127.0.0.1:{free_port()}"
    subprocess.run([program("promtool"), "tsdb", "create-blocks-from", "openmetrics", day, data], check=True, timeout=60)
    day.with_name("prometheus.yml").write_text("")
    options = (f"--config.file={day.with_name('prometheus.yml')}", f"--storage.tsdb.path={data}")
    keeping = (f"--web.listen-address={address}", "--storage.tsdb.retention.time=100y")
    with served(f"http://{address}/-/ready", program("prometheus"), *options, *keeping):
        yield f"http://{address}"


@pytest.mark.ci
def test_what_the_dashboard_asks_is_answered(prometheus: str) -> None:
    """Prometheus answers each query of the dashboard, and the answers tell the day: a gap of three hours, and its end."""

    def value(title: str, hour: int) -> list[float]:
        found = []
        for _, query in sorted(each for each in ASKED if each[0] == title):
            at = (DAY + timedelta(hours=hour)).replace(tzinfo=timezone.utc).timestamp()
            address = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query, 'time': at})}"
            answer = json.load(urllib.request.urlopen(address, timeout=60))
            assert answer["status"] == "success"
            found += [float(each["value"][1]) for each in answer["data"]["result"]]
        return found

    assert all(value(title, 12) for title, _ in ASKED)
    assert (value("Newest picture", 9), value("Newest picture", 12)) == ([60], [2 * 3600 + 60])
    assert [value("Well", hour) for hour in (9, 11, 13, 14)] == [[1], [0], [0], [1]]
    assert value("Missing in the last 24 hours", 24) == [180]
    assert sorted(value("Minutes of the last 24 hours", 24)) == [60, 120, 24 * 60 - 180]
    assert sorted(value("Requests of this hour", 12)) == [38, 50]
    assert value("Room on the disk", 24)[0] > 0
