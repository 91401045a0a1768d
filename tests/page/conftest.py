"""A real Chromium, what a person does with it, and a ROOT to look at."""

import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.page.root import MINUTE, NOON, Root

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Chromium refuses to run as root with its sandbox, and looks up hosts of its own unless told not to.
CHROMIUM_OPTIONS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")

# A script that the page asks for though it may not be there.
ABSENT = re.compile(r"/(favourites|calendar|newest|\d\d)\.js\?")


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """Run Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    if not (path := shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")):
        pytest.skip("there is no Chromium on this machine")
    with (
        playwright.sync_playwright() as running,
        running.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS) as browser,
    ):
        yield browser


class Viewer:
    """A person's browser: what it was asked to load and what went wrong on its pages is kept."""

    WINDOW = (1280, 800)

    def __init__(self, chromium: "Browser") -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._chromium = chromium

    def open(self, address: str, now: datetime = NOON, size: tuple[int, int] = WINDOW, **options: Any) -> "Page":
        """Open the page in a window of this size, at this time of UTC."""
        options = {"timezone_id": "UTC", "locale": "en-GB", "viewport": {"width": size[0], "height": size[1]}, **options}
        page = self._chromium.new_context(**options).new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)
        page.clock.install(time=f"{now.isoformat()}Z")
        page.goto(address)
        return page

    def close(self) -> None:
        for context in self._chromium.contexts:
            context.close()

    def _note(self, message: Any) -> None:
        if message.type == "error" and not ABSENT.search(message.location["url"]):
            self.errors.append(message.text)


@pytest.fixture
def viewer(chromium: "Browser") -> Iterator[Viewer]:
    """A browser whose pages load nothing from another host, and have no errors."""
    viewer = Viewer(chromium)
    yield viewer
    viewer.close()
    assert viewer.errors == []
    assert [address for address in viewer.requests if not address.startswith(("file:///", "http://127.0.0.1:", "data:,"))] == []


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A ROOT without pictures."""
    return Root(tmp_path / "root")


@pytest.fixture
def hour(root: Root) -> Root:
    """Two hours of pictures up to 12:00, with two gaps in the last one."""
    root.store(NOON - timedelta(hours=2) + MINUTE, NOON)
    root.fail(NOON - 20 * MINUTE, reason="StoreImage: images.unsplash.com: Connection refused")
    root.miss(NOON - 19 * MINUTE)
    root.write()
    return root


@pytest.fixture
def days(root: Root) -> Root:
    """Three days with pictures around midnight, each with some of every topic, and a day without any between the first two."""
    for days_ago in (3, 1, 0):
        midnight = NOON - timedelta(days=days_ago, hours=12)
        root.store(midnight, midnight + 9 * MINUTE)
        if days_ago:
            root.store(midnight + timedelta(hours=23, minutes=50), midnight + timedelta(hours=23, minutes=59))
    root.write()
    return root
