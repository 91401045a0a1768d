"""What a person sees of a page, and waiting for it."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page


def picture(minute: datetime) -> str:
    """Return the address of a picture below ROOT."""
    return f"{minute:%Y-%m-%d/%H%M}.jpg"


def wait_for_newest(page: "Page", minute: datetime) -> None:
    """Return when the newest picture is this one."""
    page.wait_for_selector(f"main .stage .frame img:not(.leaving)[src^='{picture(minute)}?']")


def wait_for_large(page: "Page", minute: datetime) -> None:
    """Return when this picture is large over the page."""
    page.wait_for_selector(f".viewer .frame img:not(.leaving)[src^='{picture(minute)}?']")


def wait_for(page: "Page", holds: Callable[[], bool]) -> None:
    """Return when it holds, and fail if it does not within 20 seconds; the page's policy forbids Playwright's own way."""
    give_up = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < give_up
        page.wait_for_timeout(20)


def pass_minutes(page: "Page", count: int = 1) -> None:
    """Let the page's clock go on, with all that it does meanwhile."""
    for _ in range(count):
        page.clock.run_for(60_000)


def accessibility_violations(page: "Page") -> str:
    """Return what axe-core finds wrong with the page; nothing if it is clean."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed: pip install '.[dev]'"
    ).Axe()
    result = axe.run(page, options={"preload": False})  # the page's policy forbids to fetch its style sheet again
    return str(result.generate_report()) if result.violations_count else ""


def overflow(page: "Page") -> int:
    """Return by how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def box(page: "Page", selector: str) -> Any:
    """Return where the element is in the window."""
    return page.evaluate("selector => document.querySelector(selector).getBoundingClientRect().toJSON()", selector)


def focused(page: "Page", attribute: str) -> Any:
    """Return an attribute of what has the focus."""
    return page.evaluate("name => document.activeElement.getAttribute(name)", attribute)


def count_nodes(page: "Page") -> int:
    """Return how many elements the page has."""
    return int(page.evaluate("document.querySelectorAll('*').length"))
