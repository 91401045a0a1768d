"""The calendar, in a real Chromium."""

from datetime import timedelta

import pytest

from tests.page.conftest import Viewer
from tests.page.looks import accessibility_violations, box, count_nodes, focused, overflow, pass_minutes, wait_for
from tests.page.root import MINUTE, NOON, Root, year_of_counts

pytestmark = pytest.mark.browser

MIDNIGHT = NOON - timedelta(hours=12)


@pytest.fixture
def months(root: Root) -> Root:
    """14 months that the calendar tells of, and a last day with pictures."""
    root.calendar = year_of_counts(NOON.date())
    root.store(MIDNIGHT, MIDNIGHT + 5 * MINUTE)
    root.write(first="2025-09-24T0000")
    return root


def test_fourteen_months(viewer: Viewer, months: Root) -> None:
    """Every day of 14 months has its place in the calendar, the newest month first; a year is on one screen."""
    page = viewer.open(months.address("#calendar"))
    wait_for(page, lambda: page.locator(".days a").count() == 426)
    names = page.locator(".months h2").all_inner_texts()
    assert (len(names), names[0], names[-1]) == (15, "November 2026", "September 2025")
    assert page.locator(".months section").nth(11).locator("h2").inner_text() == "December 2025"
    assert page.locator(".days a").first.inner_text() == "1"
    assert box(page, ".months section:nth-child(12)")["bottom"] <= Viewer.WINDOW[1]
    assert count_nodes(page) < 1000
    left = page.locator(".months section").first.bounding_box()
    assert left is not None
    for monday in ("2026-11-02", "2026-11-09", "2026-11-16", "2026-11-23"):
        assert box(page, f".days a[href='#{monday}']")["x"] == pytest.approx(left["x"], abs=1)
    assert overflow(page) == 0


def test_what_is_wrong_is_seen_at_a_glance(viewer: Viewer, root: Root) -> None:
    """Days that are whole, nearly so, half, less, empty, failed and pruned differ, and are told to who cannot see them."""
    root.calendar = {
        "2026-11-14": [3, 0],
        "2026-11-16": [1440, 0],
        "2026-11-17": [1439, 0],
        "2026-11-18": [1438, 2],
        "2026-11-19": [800, 0],
        "2026-11-20": [20, 1420],
        "2026-11-21": [0, 1440],
    }
    root.store(MIDNIGHT, MIDNIGHT + 5 * MINUTE)
    root.write(first="2026-11-14T0000", pruned="2026-11-16")
    page = viewer.open(root.address("#calendar"))
    wait_for(page, lambda: page.locator(".days a").count() == 10)
    assert [page.locator(f".days a[href='#2026-11-{day}']").get_attribute("class") for day in range(14, 24)] == [
        "pruned",
        "pruned",
        "whole",
        "most",
        "most failed",
        "half",
        "some failed",
        "none failed",
        "none",
        "whole",
    ]
    assert page.locator("a[href='#2026-11-18']").get_attribute("aria-label") == (
        "Wednesday, 18 November 2026: 1,438 pictures · 2 failed"
    )
    assert page.locator("a[href='#2026-11-22']").get_attribute("aria-label") == (
        "Sunday, 22 November 2026: 0 pictures · 1440 missing"
    )
    page.hover("a[href='#2026-11-19']")
    assert page.locator(".card").inner_text() == "Thursday, 19 November 2026: 800 pictures · 640 missing"
    looks = {
        page.locator(f".days a[href='#2026-11-{day}']").evaluate(
            "day => { const {backgroundColor, backgroundImage, boxShadow} = getComputedStyle(day);"
            " return [backgroundColor, backgroundImage, boxShadow, getComputedStyle(day, '::after').content].join() }"
        )
        for day in (15, 16, 17, 18, 19, 20, 21, 22)
    }
    assert len(looks) == 8


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_calendar_is_readable(viewer: Viewer, months: Root, scheme: str) -> None:
    """axe-core finds nothing wrong with 14 months of days of every kind."""
    page = viewer.open(months.address("#calendar"), color_scheme=scheme)
    wait_for(page, lambda: page.locator(".days a").count() == 426)
    assert accessibility_violations(page) == ""


def test_a_click_opens_the_day(viewer: Viewer, months: Root) -> None:
    """The calendar is reached from the newest picture; a day in it opens, and Back leads to the calendar again."""
    page = viewer.open(months.address())
    page.locator("main [aria-label=Calendar]").click()
    page.click(".days a[href='#2026-11-23']")
    wait_for(page, lambda: page.locator(".cells a").count() == 6)
    page.go_back()
    wait_for(page, lambda: page.locator(".days a").count() == 426)


def test_the_calendar_by_keyboard(viewer: Viewer, months: Root) -> None:
    """The calendar is one Tab stop; arrow keys go by days and by weeks; the focus stays when it is renewed."""
    page = viewer.open(months.address("#calendar"))
    wait_for(page, lambda: page.locator(".days a").count() == 426)
    assert page.locator(".months [tabindex='0']").count() == 1
    page.focus("a[href='#2026-11-10']")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert focused(page, "href") == "#2026-11-18"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert focused(page, "href") == "#2026-11-10"
    pass_minutes(page)
    page.wait_for_timeout(200)
    assert focused(page, "href") == "#2026-11-10"


def test_the_calendar_is_renewed(viewer: Viewer, months: Root) -> None:
    """What a catch-up filled in is seen in the calendar a minute later."""
    gap = next(name for number in range(400) if (name := f"{NOON - timedelta(days=number):%Y-%m-%d}") not in months.calendar)
    page = viewer.open(months.address("#calendar"))
    day = page.locator(f"a[href='#{gap}']")
    wait_for(page, lambda: day.get_attribute("class") == "none")
    months.calendar[gap] = [1440, 0]
    months.write()
    pass_minutes(page)
    wait_for(page, lambda: day.get_attribute("class") == "whole")


def test_a_day_of_which_nothing_is_counted_yet(viewer: Viewer, root: Root) -> None:
    """A day that has begun without a picture is not shown as whole, though the calendar has not counted it yet."""
    root.store(MIDNIGHT - 5 * MINUTE, MIDNIGHT - MINUTE)
    root.fail(MIDNIGHT, MIDNIGHT + 3 * MINUTE)
    root.write()
    root.script("calendar", "calendar", {"2026-11-22": [5, 0]})
    page = viewer.open(root.address("#calendar"), MIDNIGHT + 4 * MINUTE)
    wait_for(page, lambda: page.locator(".days a").count() == 2)
    assert page.locator(".days a[href='#2026-11-23']").get_attribute("class") == "none"
    assert page.locator(".days a[href='#2026-11-22']").get_attribute("class") == "whole"
