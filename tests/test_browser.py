"""The pages in a real Chromium, and luigid's view of a minute.

With PICTURES_INTO=docs in the environment the pictures of the README are made anew.
"""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import gallery
from pipeline.minutes import MINUTE
from pipeline.storage import Store
from tests.conftest import Project
from tests.test_gallery import HOSTILE, NOON, fail, fill, publish
from tests.test_luigid import run_minute, running_luigid

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

# Chromium refuses to run as root with its sandbox, and looks up hosts of its own unless told not to.
CHROMIUM_OPTIONS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")
WINDOW = (1280, 800)
PHONE = (375, 740)
CHAIN = ("StoreImage", "ExtractUrl", "FetchMetadata")
LARGE = "figure img[src='{}']"


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """Run Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")
    if not (path := shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")):
        pytest.skip("there is no Chromium on this machine")
    with (
        playwright.sync_playwright() as running,
        running.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS) as browser,
    ):
        yield browser


class Viewer:
    """A person's browser: what it was asked to load and what went wrong on its pages is kept."""

    def __init__(self, chromium: "Browser") -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._chromium = chromium

    def open(self, address: str, now: datetime, size: tuple[int, int] = WINDOW, **options: Any) -> "Page":
        """Open the page in a window of this size at a time of UTC that stands still until the test moves it."""
        options = {"timezone_id": "UTC", "locale": "en-GB", "viewport": {"width": size[0], "height": size[1]}, **options}
        page = self._chromium.new_context(**options).new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.clock.install(time=f"{now.isoformat()}Z")
        page.goto(address)
        return page

    def close(self) -> None:
        for context in self._chromium.contexts:
            context.close()


@pytest.fixture
def viewer(chromium: "Browser") -> Iterator[Viewer]:
    """A browser whose pages load nothing from another host, and have no errors."""
    viewer = Viewer(chromium)
    yield viewer
    viewer.close()
    assert viewer.errors == []
    assert [address for address in viewer.requests if not address.startswith(("file:///", "http://127.0.0.1:", "data:,"))] == []


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "gallery")


@pytest.fixture
def hour(store: Store) -> Store:
    """Two hours of pictures to 12:59, with two gaps in the last one."""
    fill(store, NOON - timedelta(hours=1), NOON + timedelta(hours=1))
    for number, reason in ((20, "StoreImage: images.unsplash.com: Connection refused"), (21, "")):
        minute = NOON + number * MINUTE
        Path(store.picture(minute).path).unlink()
        if reason:
            fail(store, minute, reason)
    gallery.write_pages(store, [NOON - MINUTE])
    return store


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """Serve the folder as a static web server does; give its address."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def file_address(store: Store, path: str = "index.html") -> str:
    """Return where a browser finds a page of the store without a server."""
    return (store.files.local_path("") / path).as_uri()


def accessibility_violations(page: "Page") -> str:
    """Return what axe-core finds wrong with the page; nothing if it is clean."""
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

    result = Axe().run(page)
    return str(result.generate_report()) if result.violations_count else ""


def overflow(page: "Page") -> int:
    """Return by how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def box(page: "Page", selector: str) -> Any:
    """Return where the element is in the window."""
    return page.evaluate("selector => document.querySelector(selector).getBoundingClientRect().toJSON()", selector)


def test_no_picture_yet(viewer: Viewer, store: Store) -> None:
    """Without pictures the page says so, and shows the first one when there is one."""
    store.files.local_path("").mkdir()
    gallery.write_pages(store, [])
    page = viewer.open(file_address(store), NOON)
    assert page.inner_text("main") == "No picture yet"
    assert accessibility_violations(page) == ""
    publish(store, NOON)
    page.clock.fast_forward(60_000)
    page.wait_for_selector(LARGE.format("2026-11-23/1200.jpg"))


def test_one_picture(viewer: Viewer, store: Store) -> None:
    """A first picture is shown large, and is the only one of the last hour: there are no gaps before it."""
    publish(store, NOON)
    page = viewer.open(file_address(store), NOON)
    assert page.locator(".hour li").count() == 1
    assert page.evaluate("document.querySelector('figure img').naturalWidth") > 0
    assert accessibility_violations(page) == ""


def test_sixty_minutes_with_gaps(viewer: Viewer, hour: Store) -> None:
    """The last hour has 60 places in order; each picture in it loads, and a gap says why it is one."""
    page = viewer.open(file_address(hour), NOON + timedelta(hours=1))
    assert page.locator(".hour li b").all_inner_texts() == [f"12:{number:02}" for number in range(60)]
    assert page.locator(".gap").all_inner_texts() == [
        "12:20 no picture\nStoreImage: images.unsplash.com: Connection refused",
        "12:21 no picture\n",
    ]
    page.evaluate("document.querySelectorAll('img').forEach(image => { image.loading = 'eager' })")
    page.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    assert page.locator(".hour img").count() == 58


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WINDOW, PHONE])
@pytest.mark.parametrize("path", ["index.html", "2026-11-23/index.html"])
def test_contrast_and_alternative_texts(viewer: Viewer, hour: Store, path: str, size: tuple[int, int], scheme: str) -> None:
    """axe-core finds nothing wrong with the pages, in light and dark, in a window and on a phone; none scrolls sideways."""
    page = viewer.open(file_address(hour, path), NOON + timedelta(days=1), size, color_scheme=scheme)
    assert accessibility_violations(page) == ""
    assert overflow(page) == 0


@pytest.mark.parametrize("size", [(1920, 1080), (800, 600), WINDOW])
def test_the_picture_fills_the_window(viewer: Viewer, store: Store, size: tuple[int, int]) -> None:
    """In a window that is wider than high, picture and caption take its whole height and width, and nothing else is seen."""
    publish(store, NOON, width=1080)
    page = viewer.open(file_address(store), NOON, size)
    picture, caption = box(page, "figure img"), box(page, "figcaption")
    assert (picture["x"], picture["y"], picture["width"]) == (0, 0, size[0])
    assert picture["bottom"] == pytest.approx(caption["top"])
    assert caption["bottom"] == pytest.approx(size[1])
    assert caption["height"] < 60


def test_on_a_phone_the_picture_takes_the_width(viewer: Viewer, store: Store) -> None:
    """In a window that is higher than wide the picture is as wide as the window, and all of it is seen."""
    publish(store, NOON, width=1080)
    page = viewer.open(file_address(store), NOON, PHONE)
    picture = box(page, "figure img")
    assert (picture["x"], picture["width"]) == (0, PHONE[0])
    assert box(page, "figcaption")["bottom"] <= PHONE[1]


def test_hostile_names_and_links_do_nothing(viewer: Viewer, store: Store) -> None:
    """Markup in a name is shown as text, and a `javascript:` address is no link."""
    user = {"name": HOSTILE, "username": "x", "links": {"html": "javascript:document.title='hurt'"}}
    publish(store, NOON, user=user, alt_description=HOSTILE, description=HOSTILE)
    for path in ("index.html", "2026-11-23/index.html"):
        page = viewer.open(file_address(store, path), NOON)
        assert "<script>document.title='hurt'</script>' & ?" in page.locator("main").inner_text()
        assert page.locator("a[href^=javascript]").count() == 0
        assert page.locator("img[alt*=onerror]").count() > 0
        assert page.locator("[onerror], main script").count() == 0
        assert "hurt" not in page.title()


@pytest.mark.parametrize("served", [False, True], ids=["file", "server"])
def test_the_page_renews_itself(viewer: Viewer, store: Store, served: bool) -> None:
    """A minute after a new picture is stored the page shows it, without being loaded anew, from a file and from a server."""
    publish(store, NOON)
    with web_server(store.files.local_path("")) as address:
        page = viewer.open(address if served else file_address(store), NOON)
        page.evaluate("window.same = true")
        publish(store, NOON + MINUTE)
        page.clock.fast_forward(60_000)
        page.wait_for_selector(LARGE.format("2026-11-23/1201.jpg"))
        assert page.evaluate("window.same")
        assert page.title().startswith("12:01 UTC")
        assert page.locator(".hour li").count() == 2
        publish(store, NOON + 2 * MINUTE)
        page.clock.fast_forward(60_000)
        page.wait_for_selector(LARGE.format("2026-11-23/1202.jpg"))
        assert len(page.frames) <= 2
        page.close()


def test_the_focus_survives_a_renewal(viewer: Viewer, store: Store) -> None:
    """Who is at a picture of the last hour with the keyboard is still there when the page has renewed itself."""
    publish(store, NOON, NOON + MINUTE)
    page = viewer.open(file_address(store), NOON)
    page.focus(".hour a[href='2026-11-23/1200.jpg']")
    publish(store, NOON + 2 * MINUTE)
    page.clock.fast_forward(60_000)
    page.wait_for_selector(LARGE.format("2026-11-23/1202.jpg"))
    assert page.evaluate("document.activeElement.getAttribute('href')") == "2026-11-23/1200.jpg"


def test_a_server_that_is_away_leaves_the_picture_on_the_screen(viewer: Viewer, store: Store) -> None:
    """A page that cannot be renewed stays as it is, and renews itself when the server is back."""
    publish(store, NOON)
    with web_server(store.files.local_path("")) as address:
        page = viewer.open(f"{address}index.html", NOON)
        (store.files.local_path("") / "index.html").rename(store.files.local_path("") / "away")
        with page.expect_response(lambda response: response.status == 404):
            page.clock.fast_forward(60_000)
        assert page.locator("figure img").get_attribute("src") == "2026-11-23/1200.jpg"
        publish(store, NOON + MINUTE)
        page.clock.fast_forward(60_000)
        page.wait_for_selector(LARGE.format("2026-11-23/1201.jpg"))
        page.close()
    viewer.errors = [error for error in viewer.errors if "404" not in error]


def test_the_page_says_since_when_no_picture_has_come(viewer: Viewer, store: Store) -> None:
    """Five minutes after the newest picture the page says so, though nothing has written it anew."""
    publish(store, NOON)
    page = viewer.open(file_address(store), NOON + MINUTE)
    assert not page.locator(".stale").is_visible()
    page.clock.run_for(5 * 60_000)
    assert "No picture since 2026-11-23 12:00 UTC" in page.inner_text("figcaption")
    assert accessibility_violations(page) == ""


def test_the_time_is_shown_in_the_viewers_own_too(viewer: Viewer, store: Store) -> None:
    """A viewer whose clock is not UTC reads the time twice."""
    publish(store, NOON)
    page = viewer.open(file_address(store), NOON, timezone_id="Asia/Kolkata")
    assert "2026-11-23 12:00 UTC (17:30 here)" in page.inner_text("figcaption")


def test_the_day_is_usable_by_keyboard(viewer: Viewer, hour: Store) -> None:
    """On the day's page the Tab key goes from a picture to its credit's links, which it makes visible."""
    page = viewer.open(file_address(hour, "2026-11-23/index.html"), NOON + timedelta(days=1))
    page.focus("a[href='1100.jpg']")
    seen = page.locator("li:has(a[href='1100.jpg']) p")
    assert seen.bounding_box()["width"] > 100  # type: ignore[index]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.href").startswith("https://sandbox.invalid/@")


def test_days_are_turned_like_pages(viewer: Viewer, store: Store) -> None:
    """The links of the days lead to the day before and after, and to the newest picture."""
    fill(store, NOON, NOON + MINUTE)
    fill(store, NOON + timedelta(days=1), NOON + timedelta(days=1, minutes=1))
    page = viewer.open(file_address(store), NOON)
    for text, address in (("The whole day", "2026-11-24/"), ("← 2026-11-23", "2026-11-23/"), ("2026-11-24 →", "2026-11-24/")):
        page.click(f"text={text}")
        assert page.url == file_address(store, f"{address}index.html")
    page.click("text=The newest")
    assert page.url == file_address(store)


@contextmanager
def luigids_view(chromium: "Browser", project: Project) -> Iterator[tuple["Page", str]]:
    """Run a minute under luigid; give a page, and the address of luigid's view. Its font, at another host, stays away."""
    with running_luigid(project.folder, project.environment) as luigid:
        run = run_minute(project, luigid)
        assert run.returncode == 0, run.stderr
        with chromium.new_page(viewport={"width": 1280, "height": 620}) as page:
            page.route(lambda address: not address.startswith(luigid.url), lambda route: route.abort())
            yield page, f"{luigid.url}/static/visualiser/index.html"


def show_task_list(page: "Page", address: str) -> None:
    """Open luigid's list of tasks."""
    page.goto(address)
    page.wait_for_selector("#taskTable td:text-is('StoreImage')")


def show_graph(page: "Page", address: str) -> None:
    """Go on from the list to the drawing of what StoreImage depends on, tasks that are done included."""
    link = page.locator("tr:has(td:text-is('StoreImage')) a[title='View graph']").get_attribute("href") or ""
    page.goto("about:blank")
    page.goto(address + link.replace("&hideDone=1", ""))
    page.wait_for_selector("#graphPlaceholder svg a")


def test_luigid_shows_the_minute(chromium: "Browser", project: Project) -> None:
    """luigid's view lists the three tasks as done, and draws each on top of the one that it requires."""
    with luigids_view(chromium, project) as (page, address):
        show_task_list(page, address)
        rows = page.locator("#taskTable tbody tr").all_inner_texts()
        assert {tuple(row.split()[:2]) for row in rows} == {("DONE", name) for name in CHAIN}
        show_graph(page, address)
        assert tuple(page.locator("#graphPlaceholder svg a").all_text_contents()) == CHAIN
        assert page.locator("#graphPlaceholder svg line").count() == 2


def test_luigids_status_links_the_photo(chromium: "Browser", project: Project) -> None:
    """StoreImage's status opens in luigid's view, with the credit and a link that leads to the photo's page."""
    with luigids_view(chromium, project) as (page, address):
        show_task_list(page, address)
        page.click(".statusMessage")
        page.wait_for_selector(".modal-body pre a")
        credit = page.locator(".modal-body pre")
        assert credit.inner_text().startswith("Photo by ")
        assert credit.locator("a").count() == 3
        with page.expect_popup() as popup:
            credit.locator("a:text-is('photo')").click()
        assert popup.value.url == json.loads((project.root / "2026-11-23" / "1205.json").read_text())["links"]["html"]


@pytest.mark.skipif("PICTURES_INTO" not in os.environ, reason="PICTURES_INTO is not set: the README's pictures stay")
def test_pictures_for_the_readme(chromium: "Browser", viewer: Viewer, store: Store, project: Project) -> None:
    """The README's pictures are of pages that are whole: every image in them has loaded."""
    folder = Path(os.environ["PICTURES_INTO"])
    newest = NOON + timedelta(minutes=70)
    stored = fill(store, NOON - timedelta(hours=12), newest)
    for minute in (NOON + 20 * MINUTE, NOON + 21 * MINUTE, *stored[200:230]):
        Path(store.picture(minute).path).unlink()
        fail(store, minute, "StoreImage: images.unsplash.com: Connection refused")
    publish(store, newest, width=1600)
    gallery.write_pages(store, stored)
    for name, path, height in (("page", "index.html", 1275), ("day", "2026-11-23/index.html", 590)):
        page = viewer.open(file_address(store, path), newest, (1280, 720))
        page.evaluate("document.querySelectorAll('img').forEach(image => { image.loading = 'eager' })")
        page.evaluate("Promise.all([...document.images].map(image => image.decode()))")
        page.screenshot(path=folder / f"{name}.png", full_page=True, clip={"x": 0, "y": 0, "width": 1280, "height": height})
    with luigids_view(chromium, project) as (page, address):
        show_task_list(page, address)
        page.screenshot(path=folder / "luigid.png")
        show_graph(page, address)
        page.screenshot(path=folder / "luigid-graph.png")
