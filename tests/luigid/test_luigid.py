"""luigid as it is run: what its view shows of a minute, and that it waits between tries as luigi.cfg says."""

import itertools
import json
import re
import shutil
import time
from collections.abc import Mapping
from html import escape

import pytest
from PIL import Image

from pipeline import sandbox
from tests.conftest import REPOSITORY, Project
from tests.processes import MINUTE
from tests.support.luigid import Luigid, run_minute, running_luigid


class StrangeSandbox(sandbox.Sandbox):
    """A sandbox that gives every photo the same photographer and link."""

    photographer = """<img src=x onerror="alert('1')"> & Söhne"""
    link = """https://unsplash.com/photos/x"><script>alert(1)</script>"""

    def answer(self, target: str, headers: Mapping[str, str]) -> sandbox.Answer:
        answer = super().answer(target, headers)
        if not target.startswith("/photos/random"):
            return answer
        photos = json.loads(answer.body)
        for photo in photos:
            photo["user"]["name"] = self.photographer
            photo["links"]["html"] = self.link
        body = json.dumps(photos).encode()
        return answer._replace(headers={**answer.headers, "Content-Length": str(len(body))}, body=body)


class FailingSandbox(sandbox.Sandbox):
    """A sandbox whose first three answers are 503; it notes when each request came, in seconds."""

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self.asked_at: list[float] = []

    def answer(self, target: str, headers: Mapping[str, str]) -> sandbox.Answer:
        if not target.startswith("/photos/random"):
            return super().answer(target, headers)
        self.asked_at.append(time.monotonic())
        if len(self.asked_at) <= 3:
            return sandbox.Answer(503, {"Content-Type": "text/html", "Content-Length": "0"}, b"")
        return super().answer(target, headers)


def test_the_three_tasks_of_a_minute_are_seen_done(project: Project, luigid: Luigid) -> None:
    """After a run luigid lists the three tasks as done, and draws them as one chain."""
    run = run_minute(project, luigid, MINUTE)
    assert run.returncode == 0, run.stderr
    done = luigid.tasks("DONE")
    assert set(done) == {"FetchMetadata", "ExtractUrl", "StoreImage"}
    graph = luigid.api("dep_graph", task_id=done["StoreImage"])
    assert {name: graph[task_id]["deps"] for name, task_id in done.items()} == {
        "StoreImage": [done["ExtractUrl"]],
        "ExtractUrl": [done["FetchMetadata"]],
        "FetchMetadata": [],
    }


def test_the_status_of_a_stored_picture_names_and_links_it(project: Project, luigid: Luigid) -> None:
    """StoreImage's status line in luigid holds the credit, the size, the dimensions and a link to the photo's page."""
    run_minute(project, luigid, MINUTE)
    status = luigid.api("get_task_status_message", task_id=luigid.tasks("DONE")["StoreImage"])["statusMessage"]
    photo = json.loads((project.root / "2026-11-23" / "1205.json").read_text())
    jpeg = project.root / "2026-11-23" / "1205.jpg"
    with Image.open(jpeg) as picture:
        width, height = picture.size
    assert escape(photo["user"]["name"]) in status
    assert f'href="{escape(photo["pipeline"]["credit"]["photographer"])}"' in status
    assert f"{width} × {height}, {jpeg.stat().st_size / 1000:.0f} kB" in status
    assert f'href="{escape(photo["links"]["html"])}"' in status


def test_what_comes_from_outside_stays_text_in_the_view(project: Project, server: sandbox.Server, luigid: Luigid) -> None:
    """luigid's view renders a status as HTML: a photographer's name and a link that hold markup arrive escaped."""
    server.sandbox = StrangeSandbox(server.sandbox.origin)
    run = run_minute(project, luigid, MINUTE)
    assert run.returncode == 0, run.stderr
    status = luigid.api("get_task_status_message", task_id=luigid.tasks("DONE")["StoreImage"])["statusMessage"]
    assert escape(StrangeSandbox.photographer) in status
    assert escape(StrangeSandbox.link) in status
    assert "<img" not in status
    assert "<script" not in status


def test_what_comes_from_outside_is_cut_in_the_view(project: Project, server: sandbox.Server, luigid: Luigid) -> None:
    """A name of 100 kB with codes for a terminal reaches luigid, and the page, as a line that can be read, without them."""
    server.sandbox = strange = StrangeSandbox(server.sandbox.origin)
    strange.photographer = "\x1b[2JAda\x07 " + "n" * 100_000
    strange.link = "https://unsplash.com/" + "x" * 50_000
    run = run_minute(project, luigid, MINUTE)
    assert run.returncode == 0, run.stderr
    status = luigid.api("get_task_status_message", task_id=luigid.tasks("DONE")["StoreImage"])["statusMessage"]
    shown = "".join(path.read_text("utf-8") for path in (*project.root.glob("*.js"), *project.root.glob("2*/*.js")))
    for text in (status, (project.root / "index.html").read_text("utf-8"), shown):
        assert not re.search("[\x07\x1b]|n{301}|x{101}", text)
    assert "Ada nnn" in status
    assert len(status) < 1500


def test_a_link_that_runs_a_script_is_no_link(project: Project, server: sandbox.Server, luigid: Luigid) -> None:
    """A photo's page at a `javascript:` address is not linked in luigid's view."""
    server.sandbox = strange = StrangeSandbox(server.sandbox.origin)
    strange.link = "javascript:alert(1)"
    run = run_minute(project, luigid, MINUTE)
    assert run.returncode == 0, run.stderr
    status = luigid.api("get_task_status_message", task_id=luigid.tasks("DONE")["StoreImage"])["statusMessage"]
    assert "javascript:" not in status
    assert escape(StrangeSandbox.photographer) in status


def test_a_failed_request_is_made_again_under_luigid(project: Project, server: sandbox.Server, luigid: Luigid) -> None:
    """Three answers of 503 cost three more requests, each `retry_delay` after the one before; the minute is stored."""
    server.sandbox = failing = FailingSandbox(server.sandbox.origin)
    run = run_minute(project, luigid, MINUTE)
    assert run.returncode == 0, run.stderr
    assert_apart(failing.asked_at, 0.1)
    assert re.findall(r"\((try .*)\)", run.stderr) == [f"try {number} of 11, the next in 0.1 s" for number in (1, 2, 3)]


@pytest.mark.slow
def test_tries_are_15_seconds_apart_with_the_shipped_settings(project: Project, server: sandbox.Server) -> None:
    """luigid and luigi, both with the shipped luigi.cfg as it is, ask again 15 s after a failure and not earlier."""
    shutil.copy(REPOSITORY / "luigi.cfg", project.folder)
    server.sandbox = failing = FailingSandbox(server.sandbox.origin)
    with running_luigid(project.folder, project.environment) as luigid:
        run = run_minute(project, luigid, MINUTE)
    assert run.returncode == 0, run.stderr
    assert_apart(failing.asked_at, 15)


def assert_apart(times: list[float], seconds: float) -> None:
    """Fail unless there are four times, each at least so many seconds after the one before."""
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(gaps) == 3, times
    assert min(gaps) >= seconds, gaps
