"""Pictures large over the page, one by one and as a slideshow, in a real Chromium."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.page.conftest import Viewer
from tests.page.looks import focused, pass_minutes, picture, wait_for, wait_for_large, wait_for_newest
from tests.page.root import MINUTE, NOON, Root, name, year_of_counts
from tests.page.server import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

MIDNIGHT = NOON - timedelta(hours=12)
PHONE = (375, 740)


def is_open(page: "Page") -> bool:
    """Tell whether a picture is large over the page."""
    return page.locator(".viewer").is_visible()


def shown(page: "Page") -> str:
    """Return the address of the picture that is large over the page."""
    return str(page.locator(".viewer .frame img:not(.leaving)").get_attribute("src")).partition("?")[0]


def test_a_click_opens_a_picture(viewer: Viewer, hour: Root) -> None:
    """A click on a thumbnail or on the newest picture shows it large, with its credit, topic, time and links."""
    page = viewer.open(hour.address())
    page.click(".hour a[href='#2026-11-23T1130']")
    wait_for_large(page, NOON - 30 * MINUTE)
    entry = hour.minutes[NOON - 30 * MINUTE]
    caption = page.inner_text(".viewer figcaption")
    assert f"Photo by {entry['name']} on Unsplash · {entry['topic']} · 2026-11-23 11:30 UTC" in caption
    assert f"1080 × {entry['height']}, 203 kB" in caption
    links = page.locator(".viewer figcaption a")
    assert [link.get_attribute("href") for link in links.all()] == [
        entry["user"],
        entry["unsplash"],
        entry["photo"],
        picture(NOON - 30 * MINUTE),
    ]
    assert [link.get_attribute("rel") for link in links.all()[:3]] == ["noopener"] * 3
    assert links.last.get_attribute("download") == "2026-11-23T1130.jpg"
    assert page.locator(".viewer .frame img").get_attribute("alt") == entry["alt"]
    wait_for(page, lambda: page.title().startswith("2026-11-23 11:30 UTC"))
    page.keyboard.press("Escape")
    page.click("main .frame")
    wait_for_large(page, NOON)


def test_the_address_can_be_shared_and_back_works(viewer: Viewer, hour: Root) -> None:
    """The address of a large picture opens it; Back leads from it to where it was opened, however many were looked at since."""
    page = viewer.open(hour.address())
    page.click(".hour a[href='#2026-11-23T1130']")
    wait_for_large(page, NOON - 30 * MINUTE)
    for number in (29, 28):
        wait_for(page, lambda: page.locator(".side.next").is_enabled())
        page.click(".side.next")
        wait_for_large(page, NOON - number * MINUTE)
        assert page.url == hour.address(f"#{name(NOON - number * MINUTE)}")
    address = page.url
    page.go_back()
    wait_for(page, lambda: not is_open(page))
    assert page.url == hour.address()
    page.go_forward()
    wait_for_large(page, NOON - 28 * MINUTE)
    other = viewer.open(address)
    wait_for_large(other, NOON - 28 * MINUTE)
    other.keyboard.press("Escape")
    wait_for(other, lambda: other.locator(".cells a").count() == 118)
    assert other.url == hour.address("#2026-11-23")


def test_next_and_previous(viewer: Viewer, days: Root) -> None:
    """Arrow keys and buttons lead to the nearest pictures, over hours and days without any, and end at the first and last."""
    page = viewer.open(days.address("#2026-11-22T0009"))
    day = timedelta(days=1)
    for key, minute in (
        ("ArrowRight", MIDNIGHT - day + timedelta(hours=23, minutes=50)),
        ("ArrowLeft", MIDNIGHT - day + 9 * MINUTE),
    ):
        wait_for(page, lambda: page.locator(".side.next").is_enabled() and page.locator(".side.previous").is_enabled())
        page.keyboard.press(key)
        wait_for_large(page, minute)
    page = viewer.open(days.address("#2026-11-22T0000"))
    wait_for(page, lambda: page.locator(".side.previous").is_enabled())
    page.click(".side.previous")
    wait_for_large(page, MIDNIGHT - 2 * day - MINUTE)
    page = viewer.open(days.address("#2026-11-23T0009"))
    wait_for(page, lambda: page.locator(".side.next").is_disabled())
    page = viewer.open(days.address("#2026-11-20T0000"))
    wait_for(page, lambda: page.locator(".side.previous").is_disabled())


def test_swipes(viewer: Viewer, hour: Root) -> None:
    """A finger that moves to the left brings the next picture, and one that moves down none."""
    page = viewer.open(hour.address("#2026-11-23T1130"), size=PHONE, has_touch=True, is_mobile=True)
    wait_for_large(page, NOON - 30 * MINUTE)
    wait_for(page, lambda: page.locator(".side.next").is_enabled())
    fingers = page.context.new_cdp_session(page)

    def swipe(across: int, down: int) -> None:
        for kind, points in (
            ("touchStart", [{"x": 200, "y": 300}]),
            ("touchMove", [{"x": 200 + across, "y": 300 + down}]),
            ("touchEnd", []),
        ):
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    swipe(0, 90)
    swipe(-90, 5)
    wait_for_large(page, NOON - 29 * MINUTE)
    wait_for(page, lambda: page.locator(".side.previous").is_enabled())
    swipe(90, 5)
    wait_for_large(page, NOON - 30 * MINUTE)


def test_the_focus_comes_back(viewer: Viewer, hour: Root) -> None:
    """While a picture is large nothing below it can be reached; closed, it leaves the focus at the picture seen last."""
    page = viewer.open(hour.address())
    wait_for_newest(page, NOON)
    page.focus(".hour a[href='#2026-11-23T1200']")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    wait_for_large(page, NOON - MINUTE)
    for _ in range(20):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || document.activeElement.closest('.viewer') !== null")
    wait_for(page, lambda: page.locator(".side.previous").is_enabled())
    page.keyboard.press("ArrowLeft")
    wait_for_large(page, NOON - 2 * MINUTE)
    page.keyboard.press("Escape")
    wait_for(page, lambda: not is_open(page))
    assert focused(page, "href") == "#2026-11-23T1158"


def test_a_minute_without_a_picture_says_why(viewer: Viewer, hour: Root) -> None:
    """The address of a minute that failed or is missing tells which, and from it the pictures around are reached."""
    page = viewer.open(hour.address("#2026-11-23T1140"))
    wait_for(page, lambda: "Connection refused" in page.inner_text(".viewer .frame"))
    assert page.inner_text(".viewer .frame") == (
        "2026-11-23 11:40 UTC failed · StoreImage: images.unsplash.com: Connection refused"
    )
    page.keyboard.press("Escape")
    page.goto(hour.address("#2026-11-23T1141"))
    wait_for(page, lambda: "missing" in page.inner_text(".viewer .frame"))
    wait_for(page, lambda: page.locator(".side.next").is_enabled())
    page.keyboard.press("ArrowRight")
    wait_for_large(page, NOON - 18 * MINUTE)


def test_a_picture_whose_file_is_gone(viewer: Viewer, hour: Root) -> None:
    """A picture whose file does not load says so, with nothing of the one before, and the next one can be looked at."""
    (hour.folder / picture(NOON - 30 * MINUTE)).unlink()
    page = viewer.open(hour.address("#2026-11-23T1129"))
    wait_for_large(page, NOON - 31 * MINUTE)
    wait_for(page, lambda: page.locator(".side.next").is_enabled())
    page.keyboard.press("ArrowRight")
    wait_for(page, lambda: "did not load" in page.inner_text(".viewer .frame"))
    assert page.inner_text(".viewer figcaption").strip() == ""
    viewer.errors.clear()
    wait_for(page, lambda: page.locator(".side.next").is_enabled())
    page.keyboard.press("ArrowRight")
    wait_for_large(page, NOON - 29 * MINUTE)


@pytest.mark.parametrize("minute", [NOON + MINUTE, NOON - timedelta(days=3)])
def test_a_minute_out_of_range(viewer: Viewer, hour: Root, minute: datetime) -> None:
    """A minute after the newest, or before the first, is not stored: and not called missing; pictures are on one side of it."""
    page = viewer.open(hour.address(f"#{name(minute)}"))
    wait_for(page, lambda: "not stored" in page.inner_text(".viewer .frame"))
    wait_for(page, lambda: page.locator(".side[aria-disabled=false]").count() == 1)


def test_commands_to_copy(viewer: Viewer, hour: Root) -> None:
    """A large picture offers the commands that keep and ban it; a button copies each; a favourite is shown as one."""
    page = viewer.open(hour.address("#2026-11-23T1130"), permissions=["clipboard-read"])
    page.click("text=Keep or ban")
    commands = ["python -m pipeline keep 2026-11-23T1130", "python -m pipeline ban 2026-11-23T1130"]
    assert page.locator(".viewer code").all_inner_texts() == commands
    page.click("button:has-text('Copy') >> nth=1")
    assert page.inner_text("[role=status]") == "Copied"
    assert page.evaluate("navigator.clipboard.readText()") == commands[1]
    hour.keep(NOON - 30 * MINUTE)
    hour.write(demo=True)
    page.reload()
    wait_for(page, lambda: page.locator(".viewer .star").count() == 1)
    page.click("summary:has-text('Ban')")
    assert page.locator(".viewer code").all_inner_texts() == [f"UNSPLASH_API_KEY=DEMO_KEY {commands[1]}"]


def test_the_last_hour_is_played(viewer: Viewer, hour: Root) -> None:
    """A slideshow begins with the newest picture, changes after the seconds asked for, leaves gaps out, and begins again."""
    page = viewer.open(hour.address("#play=hour&every=60"))
    stored = [minute for minute in hour.minutes if minute > NOON - timedelta(hours=1) and "error" not in hour.minutes[minute]]
    wait_for_large(page, NOON)
    for minute in [*sorted(stored, reverse=True)[1:], NOON]:
        page.clock.run_for(30_000)  # the clock goes on by itself, too
        assert shown(page) != picture(minute)
        page.clock.run_for(30_000)
        wait_for_large(page, minute)
        assert f"{minute:%H:%M} UTC" in page.inner_text(".viewer figcaption")


def test_a_new_picture_is_played(viewer: Viewer, root: Root) -> None:
    """A slideshow of the last hour shows what is stored meanwhile when it begins again."""
    root.store(NOON - MINUTE, NOON)
    root.write()
    page = viewer.open(root.address("#play=hour&every=60"))
    wait_for_large(page, NOON)
    root.store(NOON + MINUTE)
    root.write()
    for _ in range(5):
        pass_minutes(page)
        page.wait_for_timeout(300)
        if shown(page) == picture(NOON + MINUTE):
            break
    else:
        pytest.fail("the new picture is not played")


def test_a_slideshow_is_steered(viewer: Viewer, hour: Root) -> None:
    """The space bar and a button pause, arrow keys and buttons go on and back, Escape closes."""
    page = viewer.open(hour.address())
    page.click("main [aria-label^='Slideshow']")
    wait_for_large(page, NOON)
    page.keyboard.press("ArrowRight")
    wait_for_large(page, NOON - MINUTE)
    page.keyboard.press("ArrowLeft")
    wait_for_large(page, NOON)
    page.keyboard.press(" ")
    page.clock.run_for(60_000)
    page.wait_for_timeout(200)
    assert shown(page) == picture(NOON)
    page.click("[aria-label^='Play']")
    page.clock.run_for(10_000)
    wait_for(page, lambda: shown(page) != picture(NOON))
    page.keyboard.press("Escape")
    wait_for(page, lambda: not is_open(page))
    assert page.url == hour.address()


@pytest.mark.parametrize("what", ["day&day=2026-11-22", "day", "favourites", "all"])
def test_what_is_played(viewer: Viewer, days: Root, what: str) -> None:
    """A day, the favourites or everything is played from the newest picture backwards, over days that have nothing."""
    days.keep(MIDNIGHT, MIDNIGHT - timedelta(days=3), MIDNIGHT - timedelta(days=1))
    days.write()
    pictures = sorted(days.minutes, reverse=True)
    expected = {
        "day&day=2026-11-22": [minute for minute in pictures if minute.day == 22],
        "day": [minute for minute in pictures if minute.day == 23],
        "favourites": sorted(days.kept, reverse=True),
        "all": pictures,
    }[what]
    page = viewer.open(days.address(f"#play={what}&every=5"))
    for minute in [*expected, expected[0]]:
        wait_for_large(page, minute)
        page.clock.run_for(5_000)


@pytest.mark.parametrize("what", ["hour", "day", "favourites", "all"])
def test_shuffled(viewer: Viewer, days: Root, what: str) -> None:
    """Shuffled, a slideshow shows in any order what it would show one after another."""
    days.keep(*[minute for minute in days.minutes if minute.day == 22 and minute.hour == 23])
    days.write()
    stored = {
        "hour": [minute for minute in days.minutes if minute > MIDNIGHT - timedelta(minutes=51)],
        "day": [minute for minute in days.minutes if minute.day == 23],
        "favourites": days.kept,
        "all": list(days.minutes),
    }[what]
    page = viewer.open(days.address(f"#play={what}&every=5&shuffle"))
    page.wait_for_selector(".viewer .frame img:not(.leaving)")
    seen = [shown(page)]
    for _ in stored[1:20]:
        page.clock.run_for(5_000)
        if what == "all":
            page.wait_for_timeout(200)
        else:
            wait_for(page, lambda: shown(page) != seen[-1])
        seen.append(shown(page))
    assert set(seen) <= {picture(minute) for minute in stored}
    assert seen != [picture(minute) for minute in sorted(stored, reverse=True)]
    assert len(set(seen)) >= (5 if what == "all" else min(len(stored), 20))


def test_no_favourites_yet(viewer: Viewer, hour: Root) -> None:
    """A slideshow of favourites says that there are none, and begins when there is one."""
    page = viewer.open(hour.address("#play=favourites"))
    wait_for(page, lambda: "No favourites yet" in page.inner_text(".viewer .frame"))
    hour.keep(NOON - 5 * MINUTE)
    hour.write()
    pass_minutes(page)
    page.wait_for_timeout(300)
    page.clock.run_for(10_000)
    wait_for_large(page, NOON - 5 * MINUTE)


def test_what_is_set_is_in_the_address(viewer: Viewer, hour: Root) -> None:
    """What is chosen while a slideshow runs is in its address, for a kiosk to start with; the clock is the viewer's own."""
    page = viewer.open(hour.address("#play=hour"), timezone_id="Asia/Kolkata")
    wait_for_large(page, NOON)
    assert not page.locator(".clock").is_visible()
    page.select_option("[aria-label='Time for each']", "60")
    page.click("[aria-label=Clock]")
    page.click("[aria-label=Shuffled]")
    page.select_option("[aria-label='What is shown']", "all")
    wait_for(page, lambda: page.url == hour.address("#play=all&every=60&shuffle&clock"))
    assert page.inner_text(".clock") == "17:30"
    page.click("[aria-label=Clock]")
    wait_for(page, lambda: not page.locator(".clock").is_visible())


def test_controls_hide_while_nobody_moves(viewer: Viewer, hour: Root) -> None:
    """In a slideshow the buttons go after three seconds, and come back when the mouse moves; the credit stays."""
    page = viewer.open(hour.address("#play=hour&every=60"), reduced_motion="reduce")
    wait_for_large(page, NOON)
    opacity = "getComputedStyle(document.querySelector('.viewer .icon')).opacity"
    page.clock.run_for(3_000)
    assert page.evaluate(opacity) == "0"
    assert "Photo by" in page.inner_text(".viewer figcaption")
    page.mouse.move(300, 300)
    assert page.evaluate(opacity) == "1"


def test_a_slideshow_goes_on_without_pictures(viewer: Viewer, hour: Root) -> None:
    """A picture that does not load is left out, and the slideshow goes on at its own pace: it does not ask faster."""
    for number in range(1, 4):
        (hour.folder / picture(NOON - number * MINUTE)).unlink()
    page = viewer.open(hour.address("#play=hour&every=10"))
    wait_for_large(page, NOON)
    for _ in range(4):
        page.clock.run_for(10_000)
        page.wait_for_timeout(200)
    wait_for_large(page, NOON - 4 * MINUTE)
    viewer.errors.clear()


def test_a_kiosk_boots_into_a_slideshow(viewer: Viewer, root: Root) -> None:
    """A slideshow whose data do not come yet begins when they do."""
    root.write()
    page = viewer.open(root.address("#play=all&every=30"), datetime(2026, 11, 23, 11, 59))
    root.store(NOON - MINUTE, NOON)
    root.write()
    pass_minutes(page)
    wait_for_large(page, NOON)


def test_another_photo_in_the_same_minute(viewer: Viewer, hour: Root) -> None:
    """A minute whose photo was banned shows its new one, with its credit, though the old picture may be in a cache."""
    page = viewer.open(hour.address("#2026-11-23T1130"))
    wait_for_large(page, NOON - 30 * MINUTE)
    before = page.locator(".viewer .frame img").get_attribute("src")
    hour.tell({**hour.minutes[NOON - 30 * MINUTE], "id": "anotherone1", "name": "Another One"}, NOON - 30 * MINUTE)
    hour.write()
    page.reload()
    wait_for(page, lambda: "Another One" in page.inner_text(".viewer figcaption"))
    assert page.locator(".viewer .frame img").get_attribute("src") != before


def test_a_server_that_is_away_is_not_stormed(viewer: Viewer, days: Root) -> None:
    """While the server is away a slideshow of everything leaves its picture, asks for little, and goes on when it is back."""
    days.calendar = year_of_counts(NOON.date() - timedelta(days=5))
    days.write(first="2025-09-24T0000")
    with serving(days.folder) as server:
        page = viewer.open(server.address("/index.html#play=all&every=20"))
        wait_for_large(page, MIDNIGHT + 9 * MINUTE)
        server.is_away = True
        server.asked.clear()
        for _ in range(24):  # the hours that were loaded have 20
            page.clock.run_for(20_000)
            page.wait_for_timeout(200)
        page.wait_for_timeout(3_000)  # a storm would go on
        assert len(server.asked) < 300
        assert page.locator(".viewer .frame img:not(.leaving)").count() == 1
        server.is_away = False
        before = shown(page)
        for _ in range(6):
            page.clock.run_for(20_000)
            page.wait_for_timeout(300)
        assert shown(page) != before
        page.close()
    viewer.errors = [error for error in viewer.errors if "503" not in error]


def test_the_page_below_is_current_when_it_is_seen_again(viewer: Viewer, hour: Root) -> None:
    """What was stored while a picture was large is on the page below as soon as that is closed."""
    page = viewer.open(hour.address("#2026-11-23"))
    page.click(".cells a[href='#2026-11-23T1130']")
    wait_for_large(page, NOON - 30 * MINUTE)
    hour.store(NOON + MINUTE)
    hour.write()
    pass_minutes(page)
    page.wait_for_timeout(300)
    page.keyboard.press("Escape")
    wait_for(page, lambda: page.locator(".cells a").count() == 119)


def test_the_controls_are_all_in_the_window(viewer: Viewer, hour: Root) -> None:
    """On a phone everything that a slideshow can be steered by is within the window, and nothing lies on something else."""
    page = viewer.open(hour.address("#play=favourites&clock"), size=PHONE)
    wait_for(page, lambda: page.locator(".viewer .controls button").count() == 5)
    boxes = [part.bounding_box() for part in page.locator(".viewer button:visible, .viewer select, .clock").all()]
    assert len(boxes) == 10
    for box in boxes:
        assert box is not None
        assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE[0] and box["y"] >= 0
    for one in boxes:
        for other in boxes:
            assert one is not None and other is not None
            is_beside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
            is_below = one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
            assert one is other or is_beside or is_below


def test_a_button_keeps_the_focus(viewer: Viewer, hour: Root) -> None:
    """Who goes on by pressing Enter at a button goes on and on, and at the last picture is still at the button."""
    page = viewer.open(hour.address("#2026-11-23T1158"))
    wait_for_large(page, NOON - 2 * MINUTE)
    page.focus(".side.next")
    for minute in (NOON - MINUTE, NOON):
        wait_for(page, lambda: page.locator(".side.next").is_enabled())
        page.keyboard.press("Enter")
        wait_for_large(page, minute)
    wait_for(page, lambda: page.locator(".side.next").is_disabled())
    assert "Next" in focused(page, "aria-label")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    wait_for_large(page, NOON - MINUTE)


def test_nothing_is_left_of_the_picture_before(viewer: Viewer, hour: Root) -> None:
    """What is opened next does not begin with the picture that was looked at last, nor with its credit."""
    page = viewer.open(hour.address())
    page.click(".hour a[href='#2026-11-23T1130']")
    wait_for_large(page, NOON - 30 * MINUTE)
    page.keyboard.press("Escape")
    wait_for(page, lambda: not is_open(page))
    page.goto(hour.address("#play=favourites"))
    wait_for(page, lambda: page.inner_text(".viewer .frame :not(.leaving)") == "No favourites yet")
    assert page.inner_text(".viewer figcaption").strip() == ""
