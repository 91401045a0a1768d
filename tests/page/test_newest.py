"""The newest picture and the last hour, in a real Chromium."""

from datetime import datetime, timedelta

import pytest

from tests.page.conftest import Viewer
from tests.page.looks import (
    accessibility_violations,
    box,
    focused,
    overflow,
    pass_minutes,
    picture,
    wait_for,
    wait_for_newest,
)
from tests.page.root import MINUTE, NOON, Root
from tests.page.server import serving

pytestmark = pytest.mark.browser

WINDOW = Viewer.WINDOW
PHONE = (375, 740)
FOUR_K = (3840, 2160)


def test_no_picture_yet(viewer: Viewer, root: Root) -> None:
    """Without pictures the page says so, and shows the first one when there is one."""
    root.write()
    page = viewer.open(root.address())
    assert page.locator("main p").inner_text() == "No picture yet"
    assert accessibility_violations(page) == ""
    root.store(NOON)
    root.write()
    pass_minutes(page)
    wait_for_newest(page, NOON)


def test_one_picture(viewer: Viewer, root: Root) -> None:
    """A first picture is shown large, and is the only one of the last hour: there are no gaps before it."""
    root.store(NOON)
    root.write()
    page = viewer.open(root.address())
    wait_for_newest(page, NOON)
    assert page.locator(".hour li").count() == 1
    assert page.evaluate("document.querySelector('.frame img').naturalWidth") > 0
    assert accessibility_violations(page) == ""


def test_sixty_minutes_with_gaps(viewer: Viewer, hour: Root) -> None:
    """The last hour has 60 places, the newest first; each picture in it loads, and a gap says why it is one."""
    page = viewer.open(hour.address())
    wait_for_newest(page, NOON)
    assert page.locator(".hour li b").all_inner_texts() == [f"{NOON - number * MINUTE:%H:%M}" for number in range(60)]
    gaps = page.locator(".gap").all_inner_texts()
    assert [gap.split() for gap in gaps] == [
        ["11:41", "missing"],
        ["11:40", "failed", "StoreImage:", "images.unsplash.com:", "Connection", "refused"],
    ]
    page.evaluate("document.querySelectorAll('img').forEach(image => { image.loading = 'eager' })")
    page.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    assert page.locator(".hour img").count() == 58


def test_thumbnails_weigh_more_than_their_captions(viewer: Viewer, hour: Root) -> None:
    """In the last hour a thumbnail is three times as high as what is written below it, on a phone too."""
    for size in (WINDOW, PHONE):
        page = viewer.open(hour.address(), size=size)
        wait_for_newest(page, NOON)
        assert box(page, ".hour .thumbnail")["height"] > 3 * box(page, ".hour .words")["height"]


def test_failures_after_the_newest_picture_are_seen(viewer: Viewer, hour: Root) -> None:
    """Minutes that failed since the newest picture stand before it in the last hour, in the next hour too."""
    hour.fail(NOON + MINUTE, NOON + timedelta(hours=1, minutes=2), "FetchMetadata: no answer")
    hour.write()
    page = viewer.open(hour.address(), NOON + timedelta(hours=1, minutes=3))
    wait_for_newest(page, NOON)
    assert page.locator(".hour li b").first.inner_text() == "13:02"
    assert "No picture since 2026-11-23 12:00 UTC" in page.inner_text("figcaption")


@pytest.mark.parametrize("size", [(1920, 1080), (800, 600), WINDOW])
def test_the_picture_fills_the_window(viewer: Viewer, root: Root, size: tuple[int, int]) -> None:
    """In a window that is wider than high, picture and caption take its whole height and width, and nothing else is seen."""
    root.store(NOON, width=1080)
    root.write()
    page = viewer.open(root.address(), size=size)
    wait_for_newest(page, NOON)
    shown, caption = box(page, ".frame img"), box(page, "figcaption")
    assert (shown["x"], shown["y"], shown["width"]) == (0, 0, size[0])
    assert shown["bottom"] == pytest.approx(caption["top"])
    assert caption["bottom"] == pytest.approx(size[1])
    assert caption["height"] < 60


def test_the_picture_is_never_cropped(viewer: Viewer, root: Root) -> None:
    """A picture of any shape is seen whole, and its blurred self fills what it leaves free."""
    for minute, height in enumerate((1620, 720, 1080)):
        root.store(NOON + minute * MINUTE, width=1080, height=height)
        root.write()
        page = viewer.open(root.address())
        wait_for_newest(page, NOON + minute * MINUTE)
        assert page.evaluate("getComputedStyle(document.querySelector('.frame img')).objectFit") == "contain"
        fill = box(page, ".fills img")
        assert fill["x"] <= 0 and fill["width"] >= WINDOW[0] and fill["height"] >= WINDOW[1]


def test_on_a_phone_the_picture_takes_the_width(viewer: Viewer, root: Root) -> None:
    """In a window that is higher than wide the picture is as wide as the window, and all of it is seen."""
    root.store(NOON, width=1080)
    root.write()
    page = viewer.open(root.address(), size=PHONE)
    wait_for_newest(page, NOON)
    shown = box(page, ".frame img")
    assert (shown["x"], shown["width"]) == (0, PHONE[0])
    assert box(page, "figcaption")["bottom"] <= PHONE[1]


def test_the_caption_is_as_large_as_the_screen_wants(viewer: Viewer, root: Root) -> None:
    """On a 4K screen the caption can be read from 3 m; on a phone it is no larger than text is there."""
    root.store(NOON)
    root.write()
    sizes = {}
    for size in (PHONE, WINDOW, FOUR_K):
        page = viewer.open(root.address(), size=size)
        wait_for_newest(page, NOON)
        sizes[size] = float(page.evaluate("parseFloat(getComputedStyle(document.querySelector('figcaption')).fontSize)"))
    assert sizes[FOUR_K] > 44
    assert 14 < sizes[PHONE] < 17
    assert 16 < sizes[WINDOW] < 20


@pytest.mark.parametrize("served", [False, True], ids=["file", "server"])
def test_the_page_renews_itself(viewer: Viewer, root: Root, served: bool) -> None:
    """A minute after a new picture is stored the page shows it, without being loaded anew, from a file and from a server."""
    root.store(NOON)
    root.write()
    with serving(root.folder) as server:
        page = viewer.open(server.address("/") if served else root.address())
        wait_for_newest(page, NOON)
        page.evaluate("window.same = true")
        root.store(NOON + MINUTE)
        root.write()
        pass_minutes(page)
        wait_for_newest(page, NOON + MINUTE)
        wait_for(page, lambda: page.title().startswith("12:01 UTC"))
        assert page.locator(".hour li").count() == 2
        root.store(NOON + 2 * MINUTE)
        root.write()
        pass_minutes(page)
        wait_for_newest(page, NOON + 2 * MINUTE)
        assert page.evaluate("window.same")
        page.clock.run_for(3000)
        assert page.locator(".frame img, .fills img").count() == 2
        page.close()


def test_the_next_hour_is_followed(viewer: Viewer, root: Root) -> None:
    """Whether newest.js names the hour that has begun or not yet, the page goes on to it."""
    newest = datetime(2026, 11, 23, 12, 59)
    root.store(newest)
    root.write()
    page = viewer.open(root.address(), newest)
    wait_for_newest(page, newest)
    root.store(newest + MINUTE)
    root.write(minute="2026-11-23T1259")
    pass_minutes(page)
    wait_for_newest(page, newest + MINUTE)
    root.store(newest + 2 * MINUTE)
    root.write(minute="2026-11-23T1300")
    pass_minutes(page)
    wait_for_newest(page, newest + 2 * MINUTE)
    root.store(newest + 90 * MINUTE)
    root.write()
    pass_minutes(page)
    wait_for_newest(page, newest + 90 * MINUTE)


def test_a_newest_picture_that_goes_is_replaced_by_the_one_before(viewer: Viewer, root: Root) -> None:
    """A newest picture that is banned leaves the page, and so does one that a wrong clock put into the future."""
    root.store(NOON, NOON + 2 * MINUTE)
    root.store(NOON + timedelta(days=365))
    root.write()
    page = viewer.open(root.address())
    wait_for_newest(page, NOON + timedelta(days=365))
    root.miss(NOON + timedelta(days=365))
    root.write()
    pass_minutes(page)
    wait_for_newest(page, NOON + 2 * MINUTE)
    root.miss(NOON + 2 * MINUTE)
    root.write(minute="2026-11-23T1200")
    pass_minutes(page)
    wait_for_newest(page, NOON + MINUTE)


@pytest.mark.parametrize("stop", ["a[href='#2026-11-23T1200']", "a[href='#calendar']", "a[href='#2026-11-23']"])
def test_the_focus_survives_a_renewal(viewer: Viewer, root: Root, stop: str) -> None:
    """Who is at a picture of the last hour or at a button with the keyboard is still there when the page has renewed itself."""
    root.store(NOON, NOON + MINUTE)
    root.write()
    page = viewer.open(root.address())
    wait_for_newest(page, NOON + MINUTE)
    page.locator(stop).last.focus()
    address = focused(page, "href")
    root.store(NOON + 2 * MINUTE)
    root.write()
    pass_minutes(page)
    wait_for_newest(page, NOON + 2 * MINUTE)
    assert focused(page, "href") == address


def test_a_server_that_is_away_leaves_the_picture_on_the_screen(viewer: Viewer, root: Root) -> None:
    """A page that cannot be renewed stays as it is, and renews itself when the server is back."""
    root.store(NOON)
    root.write()
    with serving(root.folder) as server:
        page = viewer.open(server.address())
        wait_for_newest(page, NOON)
        server.is_away = True
        with page.expect_response(lambda response: response.status == 503):
            pass_minutes(page)
        wait_for_newest(page, NOON)
        assert page.locator(".hour li").count() == 1
        server.is_away = False
        root.store(NOON + MINUTE)
        root.write()
        pass_minutes(page)
        wait_for_newest(page, NOON + MINUTE)
        page.close()


def test_a_server_that_is_away_when_the_page_opens(viewer: Viewer, root: Root) -> None:
    """A page whose data do not come shows the picture that Python wrote into it, and the rest when they do."""
    root.store(NOON)
    root.write()
    (root.folder / "newest.js").rename(root.folder / "away")
    page = viewer.open(root.address())
    assert page.locator("figure img").get_attribute("src") == picture(NOON)
    assert "Photo by" in page.inner_text("figcaption")
    (root.folder / "away").rename(root.folder / "newest.js")
    pass_minutes(page)
    wait_for_newest(page, NOON)


def test_a_picture_that_is_not_there_leaves_the_one_before(viewer: Viewer, root: Root) -> None:
    """A newest picture whose file does not load is not shown: the one before stays, and nothing is blank."""
    root.store(NOON)
    root.write()
    page = viewer.open(root.address())
    wait_for_newest(page, NOON)
    root.store(NOON + MINUTE)
    (root.folder / picture(NOON + MINUTE)).unlink()
    root.write()
    with page.expect_event("requestfailed", lambda request: picture(NOON + MINUTE) in request.url):
        pass_minutes(page)
    wait_for_newest(page, NOON)
    assert "12:00 UTC" in page.inner_text("figcaption")
    wait_for(page, lambda: "net::ERR_FILE_NOT_FOUND" in str(viewer.errors))
    viewer.errors.clear()


def test_the_page_says_since_when_no_picture_has_come(viewer: Viewer, root: Root) -> None:
    """Five minutes after the newest picture the page says so, though nothing has written it anew."""
    root.store(NOON)
    root.write()
    page = viewer.open(root.address(), NOON + MINUTE)
    wait_for_newest(page, NOON)
    assert not page.locator(".stale").is_visible()
    pass_minutes(page, 5)
    wait_for(page, page.locator(".stale").is_visible)
    assert "No picture since 2026-11-23 12:00 UTC" in page.inner_text("figcaption")
    assert accessibility_violations(page) == ""


@pytest.mark.parametrize("year", [2016, 2036])
def test_a_clock_that_is_years_off(viewer: Viewer, root: Root, year: int) -> None:
    """A tablet whose clock is years off shows the newest picture, and still tells when pictures stop coming."""
    root.store(NOON)
    root.write()
    page = viewer.open(root.address(), datetime(year, 1, 1))
    wait_for_newest(page, NOON)
    assert page.locator(".stale").is_visible() == (year == 2036)
    root.store(NOON + MINUTE)
    root.write()
    pass_minutes(page)
    wait_for_newest(page, NOON + MINUTE)
    wait_for(page, lambda: not page.locator(".stale").is_visible())
    pass_minutes(page, 7)
    wait_for(page, page.locator(".stale").is_visible)


def test_the_time_is_shown_in_the_viewers_own_too(viewer: Viewer, root: Root) -> None:
    """A viewer whose clock is not UTC reads the time twice."""
    root.store(NOON)
    root.write()
    page = viewer.open(root.address(), timezone_id="Asia/Kolkata")
    wait_for_newest(page, NOON)
    assert "2026-11-23 12:00 UTC (17:30 here)" in page.inner_text("figcaption")


def test_the_next_picture_fades_in(viewer: Viewer, root: Root) -> None:
    """A new picture fades in over the one before; where motion is to be reduced it is there at once."""
    root.store(NOON)
    root.write()
    for motion, duration in (("no-preference", "1.2s"), ("reduce", "0s")):
        page = viewer.open(root.address(), reduced_motion=motion)
        wait_for_newest(page, NOON)
        looks = "(({animationName, animationDuration}) => animationName === 'appear' ? animationDuration : '0s')"
        assert page.evaluate(f"{looks}(getComputedStyle(document.querySelector('.frame img')))") == duration


def test_full_screen_by_key_and_button(viewer: Viewer, root: Root) -> None:
    """The F key and a button show the page full-screen and back; full-screen it is dark."""
    root.store(NOON)
    root.write()
    page = viewer.open(root.address(), color_scheme="light")
    wait_for_newest(page, NOON)
    page.keyboard.press("f")
    wait_for(page, lambda: bool(page.evaluate("document.fullscreenElement !== null")))
    ground = "getComputedStyle(document.body).backgroundColor"
    wait_for(page, lambda: page.evaluate(ground) == "rgb(18, 18, 17)")
    page.locator("main [aria-label^='Full screen']").click()
    wait_for(page, lambda: bool(page.evaluate("document.fullscreenElement === null")))
    wait_for(page, lambda: page.evaluate(ground) == "rgb(246, 245, 242)")


def test_the_last_hour_is_one_tab_stop(viewer: Viewer, hour: Root) -> None:
    """Tab reaches the last hour once; arrow keys go along it and up and down, gaps included."""
    page = viewer.open(hour.address())
    wait_for_newest(page, NOON)
    assert page.locator(".hour [tabindex='0']").count() == 1
    page.locator(".below header a").focus()
    page.keyboard.press("Tab")
    assert focused(page, "href") == "#2026-11-23T1200"
    page.keyboard.press("ArrowRight")
    assert focused(page, "href") == "#2026-11-23T1159"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert focused(page, "href") == "#2026-11-23T1159"
    page.keyboard.press("End")
    assert focused(page, "href") == "#2026-11-23T1101"
    page.keyboard.press("Home")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert "failed" in focused(page, "class")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.hour')") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WINDOW, PHONE])
@pytest.mark.parametrize(
    "fragment", ["", "#2026-11-23", "#calendar", "#2026-11-23T1159", "#2026-11-23T1140", "#play=hour&clock"]
)
def test_contrast_and_alternative_texts(viewer: Viewer, hour: Root, fragment: str, size: tuple[int, int], scheme: str) -> None:
    """axe-core finds nothing wrong with any view, in light and dark, in a window and on a phone; none scrolls sideways."""
    hour.keep(NOON - MINUTE)
    hour.write()
    page = viewer.open(hour.address(fragment), size=size, color_scheme=scheme, reduced_motion="reduce")
    page.wait_for_selector(".viewer:not([hidden]) .frame > *" if "T" in fragment or "play" in fragment else "main h1")
    page.wait_for_selector("main .stage img, .cells a, .days a, .viewer .frame > *")
    assert accessibility_violations(page) == ""
    assert overflow(page) == 0
