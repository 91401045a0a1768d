"""How long the page takes to show what it has, in headless Chromium, from files: medians of fresh windows.

    python benchmarks/page.py [--runs 7] [--chromium /usr/bin/chromium]

The folder has a day of 1,440 pictures and a calendar of 14 months. A view is shown when a frame with all of its cells has been
painted, in their colours; the thumbnails of the day, 1,440 files, come after that.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.page.root import MINUTE, Root, year_of_counts

DAY = datetime(2026, 11, 23)


class View(NamedTuple):
    """A view of the page: its address, and how many of what it has when it is whole."""

    name: str
    fragment: str
    cells: str
    count: int


VIEWS = (
    View("newest picture, last hour", "", ".hour li", 60),
    View("a full day", "#2026-11-23", ".cells a", 1440),
    View("calendar of 14 months", "#calendar", ".days a", 426),
)

SHOWN = """([selector, count]) => new Promise(resolve => {
  const look = () => {
    if (document.querySelectorAll(selector).length < count) setTimeout(look, 5);
    else requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() / 1000)));
  };
  look();
})"""

LOADED = """() => new Promise(resolve => {
  const cells = Array.from(document.querySelectorAll(".cells a"));
  const look = () => {
    const addresses = cells.map(cell => cell.style.backgroundImage.slice(5, -2));
    if (!addresses.every(Boolean)) return setTimeout(look, 5);
    const load = address => new Promise(done => Object.assign(new Image(), { src: address, onload: done }));
    Promise.all(addresses.map(load)).then(() => resolve(performance.now() / 1000));
  };
  look();
})"""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="windows of each view (7)")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="where Chromium is")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = Root(Path(folder) / "root")
        root.store(DAY, DAY + 1439 * MINUTE)
        root.calendar = year_of_counts(DAY.date())
        root.write(first=f"{DAY - timedelta(days=425):%Y-%m-%dT%H%M}")
        options = ("--no-sandbox", "--disable-background-networking")
        with playwright.chromium.launch(executable_path=arguments.chromium, args=options) as browser:
            for view in VIEWS:
                print_figures(browser, root, view, arguments.runs)


def print_figures(browser: Browser, root: Root, view: View, runs: int) -> None:
    """Open the view in fresh windows and print the medians."""
    shown, loaded, nodes = [], [], 0
    for _ in range(runs):
        with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
            page = context.new_page()
            page.goto(root.address(view.fragment), wait_until="commit")
            shown.append(page.evaluate(SHOWN, [view.cells, view.count]))
            if view.cells == ".cells a":
                loaded.append(page.evaluate(LOADED))
            nodes = page.evaluate("document.querySelectorAll('*').length")
    thumbnails = f", all thumbnails {statistics.median(loaded):.2f} s" if loaded else ""
    print(f"{view.name}: {statistics.median(shown):.2f} s, {nodes:,} nodes{thumbnails}")


if __name__ == "__main__":
    main()
