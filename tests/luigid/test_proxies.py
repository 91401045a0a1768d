"""luigid is asked itself, whatever proxy the environment names for the API and its pictures."""

import pytest
from requests.utils import get_environ_proxies

from pipeline import luigid
from tests.conftest import Project, WatchedSandbox
from tests.processes import MINUTE
from tests.servers import Proxy
from tests.support.luigid import free_port, running_luigid

STOP = "2026-11-23T1206"
HOST = "luigi.company.test"
URL = f"http://{HOST}:8082/"


@pytest.fixture
def proxied(project: Project, api: WatchedSandbox, proxy: Proxy) -> Project:
    """Return the project with an API that only a proxy knows, which passes all on to the sandbox."""
    proxy.host = ("127.0.0.1", int(api.origin.rpartition(":")[2]))
    api.origin = "http://api.test"
    for name in ("no_proxy", "NO_PROXY"):
        project.environment.pop(name, None)
    project.environment |= {"UNSPLASH_API_URL": api.origin, "http_proxy": proxy.url, "https_proxy": proxy.url}
    return project


@pytest.mark.one_in(3)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
@pytest.mark.parametrize(
    "command",
    [
        f"luigi --module pipeline StoreImage --timestamp {MINUTE}",
        f"luigi --module pipeline RangeByMinutes --of StoreImage --start {MINUTE} --stop {STOP} --minutes-back 1000000",
        f"pipeline catch-up --shared --start {MINUTE} --stop {STOP}",
    ],
    ids=["luigi", "RangeByMinutes", "catch-up --shared"],
)
def test_luigid_is_not_asked_through_a_proxy(
    command: str, host: str, proxied: Project, api: WatchedSandbox, proxy: Proxy
) -> None:
    """With a proxy and no exception from it, luigid gives out the work, and the API and the pictures come through the proxy."""
    port = free_port()
    proxied.configure(scheduler_host=host, scheduler_port=str(port))
    with running_luigid(proxied.folder, proxied.environment, port) as running:
        run = proxied.run(*command.split(), PYTHONWARNINGS="ignore")  # Luigi warns of its own RangeByMinutes
        assert run.returncode == 0, run.stderr
        assert running.tasks("DONE")
    assert (proxied.root / "2026-11-23" / "1205.jpg").exists()
    assert proxy.asked == [f"http://api.test{target}" for target in api.asked]


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_what_else_is_excepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment excepts stays so, and what it does not goes to the proxy, though it is of luigid's domain."""
    for each in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("no_proxy", "")  # so that it is as it was after the test
    monkeypatch.setenv(name, "intern.test, 10.0.0.1")
    for _ in range(2):
        luigid.go_past_proxies(URL)
    for address in (URL, "http://www.intern.test/", "http://10.0.0.1/", "http://localhost:1/", "http://127.0.0.1/"):
        assert get_environ_proxies(address, None) == {}, address
    for address in ("http://api.test/", f"http://api.{HOST}/", f"http://{HOST}/", "http://10.0.0.10/"):
        assert get_environ_proxies(address, None)["http"] == "http://proxy.test:3128", address


@pytest.mark.parametrize(
    ("url", "excepted"),
    [
        ("http://10.0.0.2:8082/", "http://10.0.0.2:8082/"),
        ("http://[fd00::2]:8082", "http://[fd00::2]:8082/"),
        ("http://name:secret@luigi.test:8082/path", "http://luigi.test:8082/"),
        ("http://luigi.test", "http://luigi.test/"),
    ],
)
def test_forms_of_an_address(url: str, excepted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number, a name with a password before it, an address of IPv6: each is excepted."""
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("no_proxy", "")
    assert get_environ_proxies(excepted, None)
    luigid.go_past_proxies(url)
    assert get_environ_proxies(excepted, None) == {}
