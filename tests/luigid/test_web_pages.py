"""Web pages of others: what a browser on luigid's machine can be made to ask, and deploy/luigid.nginx, which refuses it."""

import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.conftest import REPOSITORY, Project, wait_until
from tests.processes import MINUTE
from tests.servers import program
from tests.support.luigid import Luigid, free_port, run_minute

ADD_TASK = "/api/add_task?data=%7B%22worker%22%3A%22page%22%2C%22task_id%22%3A%22FromAPage%22%7D"
FOREIGN = [{"Origin": "http://page.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "page.example"}]


@pytest.fixture
def guarded(project: Project, luigid: Luigid) -> Iterator[Luigid]:
    """Return a luigid behind the shipped lines of nginx."""
    guard, folder = Luigid(free_port()), project.folder
    site = (REPOSITORY / "deploy" / "luigid.nginx").read_text()
    site = site.replace("8082", str(guard.port)).replace("http://unix:/run/luigid/socket", luigid.url)
    settings = f"daemon off; pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {site} }}"
    (folder / "nginx.conf").write_text(settings)
    with subprocess.Popen([program("nginx"), "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL) as nginx:
        try:
            wait_until(guard.is_up)
            yield guard
        finally:
            nginx.terminate()


def answer(luigid: Luigid, **headers: str) -> int:
    """Return the status by which luigid answers somebody who adds a task."""
    try:
        return int(urllib.request.urlopen(urllib.request.Request(luigid.url + ADD_TASK, headers=headers), timeout=60).status)
    except urllib.error.HTTPError as error:
        return error.code


def test_luigid_takes_what_a_web_page_sends(luigid: Luigid) -> None:
    """luigid itself asks nobody where he comes from: what the warning in docs/operations.md says is so."""
    assert [answer(luigid, **headers) for headers in FOREIGN] == [200] * len(FOREIGN)


def test_nginx_refuses_what_a_web_page_sends(guarded: Luigid) -> None:
    """Behind nginx a foreign page is refused; luigid's own page is not, nor is a minute's run."""
    assert [answer(guarded, **headers) for headers in FOREIGN] == [403] * len(FOREIGN)
    assert answer(guarded, **{"Origin": guarded.url, "Sec-Fetch-Site": "same-origin"}) == 200


def test_a_run_goes_through_nginx(guarded: Luigid, project: Project) -> None:
    """Luigi's own requests, and what deploy/store-minute asks, reach luigid as before."""
    run = run_minute(project, guarded, MINUTE)
    assert run.returncode == 0, run.stderr
    assert set(guarded.tasks("DONE")) == {"FetchMetadata", "ExtractUrl", "StoreImage"}
    with socket.create_connection(("127.0.0.1", guarded.port)) as asking:
        asking.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
        assert b" 204 " in asking.recv(64)
