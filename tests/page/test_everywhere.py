"""The page from files and servers, with and without scripts, in Chromium, in Firefox, and in a browser of 2018."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.page import firefox
from tests.page.conftest import Viewer
from tests.page.looks import pass_minutes, picture, wait_for, wait_for_large, wait_for_newest
from tests.page.root import MINUTE, NOON, Root
from tests.page.server import serving

pytestmark = pytest.mark.browser

QTWEBKIT = "import PyQt5.QtWebKitWidgets"
NEWEST = "main .stage .frame img:not(.leaving)[src^='{}?']"
LARGE = ".viewer:not([hidden]) .frame img:not(.leaving)[src^='{}?']"


@pytest.mark.parametrize("path", ["/index.html", "/", "//index.html"])
def test_under_a_server_that_forbids_frames(viewer: Viewer, hour: Root, path: str) -> None:
    """The page renews itself and opens pictures whatever a server says of frames, and where its path begins with //."""
    headers = {"X-Frame-Options": "DENY", "Content-Security-Policy": "frame-ancestors 'none'"}
    with serving(hour.folder, headers) as server:
        page = viewer.open(server.address(path))
        wait_for_newest(page, NOON)
        hour.store(NOON + MINUTE)
        hour.write()
        pass_minutes(page)
        wait_for_newest(page, NOON + MINUTE)
        page.click(".hour a[href='#2026-11-23T1200']")
        wait_for_large(page, NOON)
        page.keyboard.press("Escape")
        wait_for(page, lambda: not page.locator(".viewer").is_visible())
        page.click("text=The whole day")
        wait_for(page, lambda: page.locator(".cells a").count() == 119)
        page.close()


def test_in_a_sandboxed_frame(viewer: Viewer, hour: Root) -> None:
    """In a frame that may only run scripts, whose origin is none, the page renews itself, opens pictures and goes back."""
    outer = "<!doctype html><link rel=icon href='data:,'><iframe sandbox='allow-scripts' src='index.html' width=900 height=600>"
    (hour.folder / "frame.html").write_text(outer)
    with serving(hour.folder) as server:
        page = viewer.open(server.address("/frame.html"))
        frame = page.frame_locator("iframe")
        frame.locator(NEWEST.format(picture(NOON))).wait_for()
        hour.store(NOON + MINUTE)
        hour.write()
        pass_minutes(page)
        frame.locator(NEWEST.format(picture(NOON + MINUTE))).wait_for()
        frame.locator(".hour a[href='#2026-11-23T1200']").click()
        frame.locator(LARGE.format(picture(NOON))).wait_for()
        frame.locator("[aria-label^=Close]").click()
        frame.locator(".viewer").wait_for(state="hidden")
        page.close()


@pytest.mark.parametrize("stored", [False, True])
def test_without_scripts(viewer: Viewer, root: Root, stored: bool) -> None:
    """Without JavaScript the newest picture is there with its credit, seen whole, and the page loads itself anew."""
    if stored:
        root.store(NOON, width=1080)
    root.write()
    page = viewer.open(root.address(), java_script_enabled=False)
    if stored:
        image = page.locator("main figure a img")
        assert image.get_attribute("src") == picture(NOON)
        box = image.bounding_box()
        assert box is not None and box["y"] >= 0 and box["y"] + box["height"] <= Viewer.WINDOW[1]
        caption = page.locator("figcaption")
        assert f"Photo by {root.minutes[NOON]['name']} on Unsplash" in caption.inner_text()
        assert caption.bounding_box()["y"] < Viewer.WINDOW[1] - 30  # type: ignore[index]
    else:
        assert page.inner_text("main p") == "No picture yet"
    assert page.locator("noscript meta").get_attribute("http-equiv") == "refresh"
    assert page.locator("noscript meta").get_attribute("content") == "60"


def test_the_policy_of_the_page(viewer: Viewer, root: Root) -> None:
    """A script or style that is written into the page does not run, and nothing is loaded from another host."""
    root.store(NOON)
    root.write()
    index = root.folder / "index.html"
    index.write_text(
        index.read_text().replace(
            "<main>",
            "<main><script>document.title = 'hurt'</script><img src='http://127.0.0.2:9/x.png'>"
            "<script src='http://127.0.0.2:9/x.js'></script><p style='color: red' id='styled'>x</p>",
        )
    )
    page = viewer.open(root.address())
    wait_for_newest(page, NOON)
    refused = [error for error in viewer.errors if "Content Security Policy" in error or "violates" in error]
    assert len(refused) == 4
    assert "hurt" not in page.title()
    viewer.errors.clear()
    viewer.requests[:] = [address for address in viewer.requests if "127.0.0.2" not in address]


@pytest.mark.parametrize("served", [False, True], ids=["file", "server"])
def test_firefox(tmp_path: Path, hour: Root, served: bool) -> None:
    """Firefox shows the newest picture and renews it, opens a picture and goes back, shows a day and the calendar."""
    if not firefox.path():
        pytest.skip("there is no Firefox on this machine")
    hour.renews_every_second = True
    hour.write()
    with serving(hour.folder, {"X-Frame-Options": "DENY"}) as server, firefox.Firefox(tmp_path / "profile") as browser:
        browser.open(server.address() if served else hour.address())
        browser.wait_for(there(NEWEST.format(picture(NOON))))
        hour.store(NOON + MINUTE)
        hour.write()
        browser.wait_for(there(NEWEST.format(picture(NOON + MINUTE))))
        browser.wait_for("document.querySelectorAll('.hour li').length === 60")
        browser.run("document.querySelector(\".hour a[href='#2026-11-23T1130']\").click()")
        browser.wait_for(there(LARGE.format(picture(NOON - 30 * MINUTE))))
        browser.wait_for("document.querySelector('.side.next').getAttribute('aria-disabled') === 'false'")
        browser.run("document.querySelector('.side.next').click()")
        browser.wait_for(there(LARGE.format(picture(NOON - 29 * MINUTE))))
        browser.run("history.back()")
        browser.wait_for("document.querySelector('.viewer').hidden")
        assert browser.run("return location.hash") == ""
        browser.run("location.hash = '#2026-11-23'")
        browser.wait_for("document.querySelectorAll('.cells a').length === 119")
        browser.wait_for("document.querySelector('.cells a').style.backgroundImage.includes('thumb/1001.jpg')")
        browser.run("location.hash = '#calendar'")
        browser.wait_for("document.querySelectorAll('.days a').length === 1")
        browser.run("location.hash = '#play=hour&every=1'")
        browser.wait_for(there(LARGE.format(picture(NOON))))


def test_a_browser_of_2018(hour: Root) -> None:
    """QtWebKit, which knows neither grids nor async functions, shows the newest picture, renews it, and opens a picture."""
    hour.renews_every_second = True
    hour.write()
    scripts = [
        there(NEWEST.format(picture(NOON))),
        there(NEWEST.format(picture(NOON + MINUTE))),
        "location.hash = '#2026-11-23T1130'",
        there(LARGE.format(picture(NOON - 30 * MINUTE))),
    ]
    with subprocess.Popen(
        [*qtwebkit(), hour.address(), *scripts],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(hour.folder)},
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) is True
        hour.store(NOON + MINUTE)
        hour.write()
        out, err = process.communicate(timeout=90)
    assert [json.loads(line) for line in out.splitlines()] == [True, "#2026-11-23T1130", True], err
    assert "Error" not in err


def qtwebkit() -> list[str]:
    """Return the command that opens a page in QtWebKit, with whichever Python has it."""
    for python in (sys.executable, "/usr/bin/python3"):
        if Path(python).exists() and not subprocess.run([python, "-c", QTWEBKIT], capture_output=True).returncode:
            return [python, str(Path(__file__).with_name("qtwebkit.py"))]
    pytest.skip("there is no QtWebKit on this machine: apt-get install python3-pyqt5.qtwebkit")


def there(selector: str) -> str:
    """Return an expression that is true when the page has such an element."""
    return f"document.querySelector({json.dumps(selector)}) !== null"
