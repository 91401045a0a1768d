"""Texts from strangers, in a real Chromium: they are shown as letters, and do nothing."""

import pytest

from tests.page.conftest import Viewer
from tests.page.looks import overflow, wait_for, wait_for_large, wait_for_newest
from tests.page.root import MINUTE, NOON, Root

pytestmark = pytest.mark.browser

PHONE = (375, 740)
MARKUP = "</script><img src=x onerror=document.title='hurt'><script>document.title='hurt'</script>' & \" `${1}` \u2028 \u202e ?"
TEXTS = ("id", "topic", "alt", "name")
LINKS = ("user", "photo", "unsplash")
VIEWS = ("", "#2026-11-23", "#2026-11-23T1200", "#play=hour", "#calendar")


@pytest.mark.parametrize("fragment", VIEWS)
@pytest.mark.parametrize("size", [Viewer.WINDOW, PHONE])
def test_markup_is_shown_as_letters(viewer: Viewer, root: Root, fragment: str, size: tuple[int, int]) -> None:
    """Markup in every field is shown as text, a `javascript:` address is no link, and nothing is wider than the window."""
    hostile = {**dict.fromkeys(TEXTS, MARKUP * 20), **dict.fromkeys(LINKS, "javascript:document.title='hurt'")}
    root.store(NOON - MINUTE, NOON)
    numbers = dict.fromkeys(("width", "height", "bytes"), MARKUP)
    root.tell({**hostile, **numbers, "color": "red;}*{display:none", "thumb": True}, NOON - MINUTE, NOON)
    root.fail(NOON + MINUTE, reason=MARKUP * 20)
    root.write()
    page = viewer.open(root.address(fragment), size=size)
    if fragment.endswith("T1200") or "play" in fragment:
        wait_for_large(page, NOON)
        page.locator(".viewer").hover()
    elif "calendar" in fragment:
        wait_for(page, lambda: page.locator(".days a").count() == 1)
    elif fragment:
        wait_for(page, lambda: page.locator(".cells a").count() == 2)
        page.locator(".cells .failed").hover()
        assert MARKUP.split()[0] in page.inner_text(".card")
        page.locator(".cells a").last.hover()
        assert "</script><img src=x onerror=document.title='hurt'>" in page.inner_text(".card")
    else:
        wait_for_newest(page, NOON)
        assert "</script><img src=x onerror=document.title='hurt'>" in page.inner_text("figcaption")
        assert "</script><img src=x onerror=document.title='hurt'>" in page.inner_text(".gap")
    assert page.locator("a[href^=javascript], [onerror], body script, img[src=x]").count() == 0
    assert overflow(page) == 0
    assert "hurt" not in page.title().split("<")[0]


@pytest.mark.parametrize("fragment", VIEWS)
def test_entries_without_their_parts(viewer: Viewer, root: Root, fragment: str) -> None:
    """A picture of which nothing is told, or nothing of the right kind, is shown all the same, without a credit."""
    root.store(NOON - MINUTE, NOON)
    root.tell({}, NOON)
    root.tell(dict.fromkeys((*TEXTS, *LINKS, "width", "height", "bytes", "color"), 7), NOON - MINUTE)
    root.write()
    page = viewer.open(root.address(fragment))
    if fragment.endswith("T1200") or "play" in fragment:
        wait_for_large(page, NOON)
        assert "2026-11-23 12:00 UTC" in page.inner_text(".viewer figcaption")
    elif fragment == "":
        wait_for_newest(page, NOON)
        assert page.locator(".hour img").count() == 2
        assert "Photo by" not in page.inner_text("figcaption")
    else:
        wait_for(page, lambda: page.locator(".cells a, .days a").count() > 0)


@pytest.mark.parametrize(
    "fragment", ["#%", "#2026-99-99", "#2026-11-23T9999", "#play=", "#play=x&every=y", "#<script>", "#1900-01-01"]
)
def test_addresses_that_mean_nothing(viewer: Viewer, root: Root, fragment: str) -> None:
    """An address that means nothing leads to a page all the same: the newest picture, or an empty day."""
    root.store(NOON)
    root.write()
    page = viewer.open(root.address(fragment))
    wait_for(page, lambda: page.locator("main h1").count() == 1)
    if "1900" not in fragment:
        wait_for_newest(page, NOON)


@pytest.mark.parametrize("every", ["0", "-5", "1e99", "NaN"])
def test_a_slideshow_has_a_reasonable_pace(viewer: Viewer, root: Root, every: str) -> None:
    """Whatever pace its address asks for, a slideshow shows at most one picture a second, and at least one a day."""
    root.store(NOON - 9 * MINUTE, NOON)
    root.write()
    page = viewer.open(root.address(f"#play=hour&every={every}"))
    wait_for_large(page, NOON)
    seconds = int(page.locator("[aria-label='Time for each']").input_value())
    assert 1 <= seconds <= 86400
