"""A day's mosaic, in a real Chromium."""

from datetime import timedelta

import pytest

from tests.page.conftest import Viewer
from tests.page.looks import (
    accessibility_violations,
    count_nodes,
    focused,
    pass_minutes,
    wait_for,
    wait_for_large,
    wait_for_newest,
)
from tests.page.root import MINUTE, NOON, Root
from tests.page.server import serving

pytestmark = pytest.mark.browser

MIDNIGHT = NOON - timedelta(hours=12)
TODAY = "#2026-11-23"
PHONE = (375, 740)


def test_a_full_day(viewer: Viewer, root: Root) -> None:
    """1,440 pictures are one page of fewer than 3,000 nodes; each has its place, and all of their thumbnails load."""
    root.store(MIDNIGHT, MIDNIGHT + 1439 * MINUTE)
    root.write()
    page = viewer.open(root.address(TODAY), MIDNIGHT + timedelta(days=1))
    wait_for(page, lambda: page.locator(".cells a").count() == 1440)
    assert count_nodes(page) < 3000
    assert "1,440 pictures" in page.inner_text(".summary")
    assert [cells.locator("a").count() for cells in page.locator(".cells").all()] == [60] * 24
    assert page.locator(".row h2").all_inner_texts() == [f"{hour:02}" for hour in range(24)]
    wait_for(page, lambda: sum("/thumb/" in address for address in viewer.requests) == 1440)
    assert accessibility_violations(page) == ""


def test_a_phone_loads_what_it_shows(viewer: Viewer, root: Root) -> None:
    """On a phone the thumbnails of hours far below are loaded when they come near the window."""
    root.store(MIDNIGHT, MIDNIGHT + 1439 * MINUTE)
    root.write()
    page = viewer.open(root.address(TODAY), MIDNIGHT + timedelta(days=1), PHONE)
    wait_for(page, lambda: any("2026-11-23/thumb/0400.jpg" in address for address in viewer.requests))
    page.wait_for_timeout(1_000)
    assert not any("2026-11-23/thumb/2000.jpg" in address for address in viewer.requests)
    page.locator(".row").last.scroll_into_view_if_needed()
    wait_for(page, lambda: any("2026-11-23/thumb/2300.jpg" in address for address in viewer.requests))


def test_failed_and_missing_differ(viewer: Viewer, hour: Root) -> None:
    """A minute that failed and one that is missing differ by colour and by shape; the reason is told where it is pointed at."""
    hour.fail(NOON - 30 * MINUTE, reason="FetchMetadata: no answer")
    hour.write()
    page = viewer.open(hour.address(TODAY))
    failed, missing = page.locator(".cells .failed"), page.locator(".cells .missing")
    wait_for(page, lambda: (failed.count(), missing.count()) == (2, 1))
    assert page.inner_text(".summary") == "117 pictures · 2 failed · 1 missing · UTC"
    looks = "cell => [getComputedStyle(cell).backgroundImage, getComputedStyle(cell).boxShadow]"
    assert failed.first.evaluate(looks)[0].startswith("linear-gradient")
    assert missing.evaluate(looks)[0] == "none"
    assert missing.evaluate(looks)[1] != "none"
    failed.first.hover()
    assert page.locator(".card").inner_text().split() == ["11:30", "failed", "FetchMetadata:", "no", "answer"]
    assert failed.first.get_attribute("aria-label") == "11:30 failed · FetchMetadata: no answer"
    missing.hover()
    assert page.locator(".card").inner_text() == "11:41 missing"
    assert page.locator(".cells [data-at]").count() == 120
    assert page.locator(".cells i").count() == 1440 - 120


def test_the_topic_of_what_is_pointed_at(viewer: Viewer, hour: Root) -> None:
    """Pointing at a picture shows it as its thumbnail, with time, topic and credit."""
    page = viewer.open(hour.address(TODAY))
    page.hover("a[href='#2026-11-23T1130']")
    entry = hour.minutes[NOON - 30 * MINUTE]
    assert page.locator(".card").inner_text() == f"11:30 {entry['topic']} · Photo by {entry['name']} on Unsplash"
    assert page.locator(".card img").get_attribute("src") == f"2026-11-23/thumb/1130.jpg?{entry['id']}"
    assert accessibility_violations(page) == ""
    page.mouse.move(5, 5)
    assert not page.locator(".card").is_visible()


def test_a_day_is_current_to_the_minute(viewer: Viewer, hour: Root) -> None:
    """The day that is shown gets the pictures of the minutes that pass, and those that a catch-up fills in."""
    page = viewer.open(hour.address(TODAY))
    wait_for(page, lambda: page.locator(".cells a").count() == 118)
    hour.store(NOON + MINUTE)
    hour.fail(NOON + 2 * MINUTE)
    hour.write()
    pass_minutes(page)
    wait_for(page, lambda: page.locator(".cells a").count() == 119)
    assert page.locator(".cells .failed").count() == 2
    hour.store(NOON - 20 * MINUTE, NOON - 19 * MINUTE)
    hour.write()
    pass_minutes(page)
    wait_for(page, lambda: page.locator(".cells a").count() == 121)
    wait_for(page, lambda: "121 pictures" in page.inner_text(".summary"))


def test_the_day_is_filtered_by_topic(viewer: Viewer, days: Root) -> None:
    """A topic's button dims the pictures of the others, and from a large picture the next one is of the topic too."""
    page = viewer.open(days.address(TODAY))
    wait_for(page, lambda: page.locator(".cells a").count() == 10)
    topics = sorted({entry["topic"] for minute, entry in days.minutes.items() if minute >= MIDNIGHT})
    assert [choice.split()[0] for choice in page.locator(".topics button").all_inner_texts()] == ["All", *topics]
    chosen = days.minutes[MIDNIGHT]["topic"]
    others = [minute for minute, entry in days.minutes.items() if minute > MIDNIGHT and entry["topic"] == chosen]
    page.click(f".topics button:has-text('{chosen}')")
    assert page.locator(".topics [aria-pressed=true]").inner_text().startswith(chosen)
    assert page.locator(".cells a:not(.off)").count() == 1 + len(others)
    page.click("a[href='#2026-11-23T0000']")
    wait_for_large(page, MIDNIGHT)
    if others:
        wait_for(page, lambda: page.locator(".side.next").is_enabled())
        page.keyboard.press("ArrowRight")
        wait_for_large(page, others[0])
    page.keyboard.press("Escape")
    page.click("text=All topics")
    assert page.locator(".cells .off").count() == 0


def test_days_are_turned_like_pages(viewer: Viewer, days: Root) -> None:
    """The links lead to the day before and after, past a day that has nothing, and to the newest picture."""
    page = viewer.open(days.address())
    wait_for_newest(page, MIDNIGHT + 9 * MINUTE)
    for text, day in (
        ("The whole day", "2026-11-23"),
        ("← 2026-11-22", "2026-11-22"),
        ("← 2026-11-20", "2026-11-20"),
        ("2026-11-22 →", "2026-11-22"),
        ("2026-11-23 →", "2026-11-23"),
    ):
        page.click(f"text={text}")
        assert page.url == days.address(f"#{day}")
        wait_for(page, lambda day=day: page.title().startswith(day))  # type: ignore[misc]
    assert page.locator(".turns a").all_inner_texts() == ["← 2026-11-22"]
    page.click("[aria-label='The newest picture']")
    wait_for_newest(page, MIDNIGHT + 9 * MINUTE)
    page.go_back()
    wait_for(page, lambda: page.title().startswith("2026-11-23"))


def test_the_day_is_usable_by_keyboard(viewer: Viewer, days: Root) -> None:
    """The mosaic is one Tab stop; arrow keys go along it and across its hours; Enter leads to a picture and its links."""
    page = viewer.open(days.address("#2026-11-22"))
    wait_for(page, lambda: page.locator(".cells a").count() == 20)
    assert page.locator(".mosaic [tabindex='0']").count() == 1
    page.focus("a[href='#2026-11-22T0002']")
    page.keyboard.press("ArrowDown")
    assert focused(page, "aria-label") == "01:02 missing"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    assert focused(page, "href") == "#2026-11-22T0003"
    assert "Photo by" in page.locator(".card").inner_text()
    page.keyboard.press("Enter")
    wait_for_large(page, MIDNIGHT - timedelta(days=1) + 3 * MINUTE)
    for _ in range(9):
        page.keyboard.press("Tab")
        if str(focused(page, "href")).startswith("https://sandbox.invalid/@"):
            break
    else:
        pytest.fail("the photographer's link is not reached by the Tab key")


def test_hours_that_do_not_load_are_not_called_missing(viewer: Viewer, days: Root) -> None:
    """When an hour's data do not come though the calendar knows of pictures, the page says so, and shows them when they do."""
    with serving(days.folder) as server:
        (days.folder / "2026-11-22" / "23.js").rename(days.folder / "away")
        page = viewer.open(server.address(f"/index.html{'#2026-11-22'}"))
        wait_for(page, lambda: page.locator(".cells a").count() == 10)
        assert "some hours did not load" in page.inner_text(".summary")
        assert page.locator(".cells .missing").count() == 0
        assert "missing" not in page.inner_text(".summary")
        (days.folder / "away").rename(days.folder / "2026-11-22" / "23.js")
        pass_minutes(page)
        wait_for(page, lambda: page.locator(".cells a").count() == 20)
        assert "did not load" not in page.inner_text(".summary")
        assert page.locator(".cells .missing").count() == 1420
        page.close()


def test_pruned_and_favourites(viewer: Viewer, days: Root) -> None:
    """Of a day that was pruned the favourites are left, marked as such; the other minutes are pruned, not missing."""
    kept = NOON - timedelta(days=3, hours=12)
    for minute in [minute for minute in days.minutes if minute.day == 20 and minute != kept]:
        days.miss(minute)
    days.keep(kept)
    days.write(pruned="2026-11-21")
    page = viewer.open(days.address("#2026-11-20"))
    wait_for(page, lambda: page.locator(".cells .kept").count() == 1)
    assert page.locator(".cells .missing").count() == 0
    assert page.locator(".cells .pruned").count() == 1439
    assert "1,439 pruned" in page.inner_text(".summary")
    assert page.locator(".kept").get_attribute("aria-label").endswith("a favourite")  # type: ignore[union-attr]


def test_favourites_of_pruned_days_are_reached(viewer: Viewer, days: Root) -> None:
    """A favourite is reached from the days around it, though its day was pruned and the calendar has forgotten it."""
    kept = NOON - timedelta(days=3, hours=12)
    for minute in [minute for minute in days.minutes if minute.day == 20 and minute != kept]:
        days.miss(minute)
    days.keep(kept)
    days.write(pruned="2026-11-21")
    days.script("calendar", "calendar", {day: counts for day, counts in days.calendar.items() if day > "2026-11-21"})
    page = viewer.open(days.address("#2026-11-22"))
    page.click("text=← 2026-11-20")
    wait_for(page, lambda: page.locator(".cells .kept").count() == 1)
    page.goto(days.address("#calendar"))
    wait_for(page, lambda: page.locator("a[href='#2026-11-20']").count() == 1)
    label = page.locator("a[href='#2026-11-20']").get_attribute("aria-label")
    assert label == "Friday, 20 November 2026: 1 picture · pruned"
    page.goto(days.address("#2026-11-22T0000"))
    wait_for(page, lambda: page.locator(".side.previous").is_enabled())
    page.keyboard.press("ArrowLeft")
    wait_for_large(page, kept)
