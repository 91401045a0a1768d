"""The README's pictures of the page. With PICTURES_INTO=docs in the environment they are made anew."""

import io
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.page.conftest import Viewer
from tests.page.looks import wait_for, wait_for_newest
from tests.page.root import MINUTE, NOON, Root, year_of_counts

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif("PICTURES_INTO" not in os.environ, reason="PICTURES_INTO is not set: the README's pictures stay"),
]

MIDNIGHT = NOON - timedelta(hours=12)
NEWEST = NOON + timedelta(hours=9, minutes=12)
MOST_BYTES = 500_000


@pytest.fixture
def year(root: Root) -> Root:
    """A day until the evening with an outage, a pause, two favourites, and 14 months before it."""
    root.store(MIDNIGHT, NEWEST)
    root.fail(MIDNIGHT + 215 * MINUTE, MIDNIGHT + 251 * MINUTE, "FetchMetadata: api.unsplash.com: 503 Service Unavailable")
    root.miss(MIDNIGHT + 820 * MINUTE, MIDNIGHT + 838 * MINUTE)
    root.fail(NEWEST - 13 * MINUTE, reason="StoreImage: images.unsplash.com: Connection refused")
    root.store(NEWEST, width=1600, drawn=62)
    root.keep(NEWEST - 2 * MINUTE, NOON)
    root.calendar = year_of_counts(NOON.date())
    root.write(first="2025-09-24T0000")
    return root


def test_the_newest_picture(viewer: Viewer, year: Root) -> None:
    """docs/page.png: the newest picture and the last hour below it."""
    page = viewer.open(year.address(), NEWEST, (1280, 760))
    wait_for_newest(page, NEWEST)
    page.clock.run_for(2_000)
    save(page, "page", 1280, 1230)


def test_the_day(viewer: Viewer, year: Root) -> None:
    """docs/day.png: the mosaic of a day, with the reason of a minute that failed."""
    page = viewer.open(year.address("#2026-11-23"), NEWEST, (1280, 690))
    wait_for(page, lambda: sum("/thumb/" in address for address in viewer.requests) > 1200)
    page.hover(".cells .failed >> nth=7")
    save(page, "day", 1280, 690)


def test_the_calendar(viewer: Viewer, year: Root) -> None:
    """docs/calendar.png: a year on one screen."""
    page = viewer.open(year.address("#calendar"), NEWEST, (1280, 800))
    wait_for(page, lambda: page.locator(".days a").count() > 400)
    save(page, "calendar", 1280, 780)


def save(page: "Page", name: str, width: int, height: int) -> None:
    """Save what is seen, every image of it, in as few bytes as 256 colours take."""
    page.evaluate("document.querySelectorAll('img').forEach(image => { image.loading = 'eager' })")
    page.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    page.wait_for_timeout(1500)  # for all to have faded in
    clip = {"x": 0, "y": 0, "width": width, "height": height}
    shot = Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip))).convert("RGB")  # type: ignore[arg-type]
    path = Path(os.environ["PICTURES_INTO"]) / f"{name}.png"
    shot.quantize(256, kmeans=3).save(path, optimize=True)
    assert path.stat().st_size <= MOST_BYTES
