"""How a picture is shown: its credit as Unsplash asks, its thumbnail, and the web pages of the newest picture and of each day.

The pages are files that need no server and nothing from another host. `index.html` renews itself: once a minute it opens itself
in a hidden frame, which hands its content over. Nothing flickers, a page that is away for a moment leaves the old one on the
screen, and it works from `file://` too, where a page may show another file but not read it.
"""

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from datetime import time as time_of_day
from html import escape
from itertools import groupby
from typing import Any

from pipeline.errors import PhotoReplaced
from pipeline.jpeg import Picture
from pipeline.minutes import MINUTE
from pipeline.storage import Store
from pipeline.unsplash import Photo


def credit_html(photo: Photo) -> str:
    """Return the credit with its two links; everything from outside is escaped."""
    credit, name = photo["pipeline"]["credit"], photo["user"]["name"]
    return f"Photo by {link(credit['photographer'], name)} on {link(credit['unsplash'], 'Unsplash')}"


def status_line(photo: Photo, picture: Picture) -> str:
    """Return what luigid's page shows of a stored picture: it renders HTML."""
    size = f"{picture.width} × {picture.height}, {picture.length / 1000:.0f} kB"
    return f"{credit_html(photo)} · {size} · {link(photo['links']['html'], 'photo')}"


def link(address: str, text: str) -> str:
    """Return an HTML link, or the text alone if the address is not of the web."""
    if not address.startswith(("https://", "http://")):
        return escape(text)
    return f'<a href="{escape(address)}" rel="noopener" target="_blank">{escape(text)}</a>'


def thumbnail_name(minute: datetime) -> str:
    """Return the name of the minute's thumbnail below ROOT."""
    return f"{minute.date().isoformat()}/thumb/{minute:%H%M}.jpg"


def publish(store: Store, minute: datetime, picture: Picture) -> None:
    """Show a picture that was stored: its thumbnail, the pages, and ROOT/latest.jpg.

    Inside `Store.written_together` the thumbnail waits for its end, and the rest for a call of `write_pages`.
    """
    store.write_soon(thumbnail_name(minute), picture.thumbnail)
    if not store.is_writing_together:
        write_pages(store, [minute])


def write_pages(store: Store, changed: Iterable[datetime]) -> None:
    """Write index.html, latest.jpg, and the pages of days in which these minutes begin an hour or change one that is over."""
    minutes = list(changed)
    newest = max(minutes, default=datetime.max)
    if shown := _write(store, "index.html", lambda: _last_hour(store, newest), lambda shown: _index(store, shown)):
        store.publish_latest(shown[-1])
        hour = shown[-1].replace(minute=0)
        begins_hour = next(minute for minute in shown if minute >= hour)
        days = {minute.date() for minute in minutes if minute < hour or minute == begins_hour}
        for day, earlier, later in _with_neighbours(store, days) if days else ():
            _write_day(store, day, earlier, later)


def _last_hour(store: Store, stored: datetime) -> list[datetime]:
    """Return the minutes that have a picture, of the hour that ends with the newest one, most likely the one just stored."""
    if not (newest := store.newest_minute(stored)):
        return []
    return store.stored([newest - number * MINUTE for number in reversed(range(60))])


def _with_neighbours(store: Store, days: set[date]) -> list[tuple[date, date | None, date | None]]:
    """Return each day that wants its page written, with the nearest days before and after that have one.

    A new page changes its neighbours' links: they are written too, and so is yesterday's last hour when a day begins.
    """
    all_days = store.days()
    written = days.intersection(all_days)

    def has_page(day: date) -> bool:
        return day in written or is_there(day)

    def is_there(day: date) -> bool:
        return store.files.size(f"{day.isoformat()}/index.html") is not None

    def beside(day: date) -> tuple[date | None, date | None]:
        place = all_days.index(day)
        return next(filter(has_page, all_days[:place][::-1]), None), next(filter(has_page, all_days[place + 1 :]), None)

    neighbours = {other for day in written if not is_there(day) for other in beside(day) if other}
    return [(day, *beside(day)) for day in sorted(written | neighbours)]


def _write_day(store: Store, day: date, earlier: date | None, later: date | None) -> None:
    _write(
        store,
        f"{day.isoformat()}/index.html",
        lambda: sorted(store.stored_names(day)),
        lambda stored: _day(store, day, set(stored), earlier, later),
    )


def _write(store: Store, name: str, stored: Callable[[], list[Any]], page: Callable[[list[Any]], str]) -> list[Any]:
    """Write a page of what is stored, and return that; if it is more by now, the run that stored more writes the page."""
    shown = stored()
    with contextlib.suppress(PhotoReplaced):
        store.write(name, page(shown).encode("utf-8", "replace"), only_if=lambda: stored() == shown)
    return shown


def _index(store: Store, shown: Sequence[datetime]) -> str:
    if not shown:
        return _page("Picture a minute", "<h1>No picture yet</h1>", script=_SCRIPT)
    newest = shown[-1]
    photos, thumbnails = store.photos(shown), _thumbnails(store, shown)
    photo = photos[newest]
    day = newest.date().isoformat()
    first = newest - 59 * MINUTE
    if first not in shown:
        first = max(first, store.oldest_minute() or first)
    span = [first + number * MINUTE for number in range((newest - first) // MINUTE + 1)]
    reasons = store.reasons([minute for minute in span if minute not in photos])
    cells = "\n".join(
        _cell(minute, photos[minute], minute in thumbnails, f"{minute.date()}/")
        if minute in photos
        else _gap(minute, reasons.get(minute, ""))
        for minute in span
    )
    about = [_credit(photo), escape(_topic(photo)), _moment(newest)]
    return _page(
        f"{newest:%H:%M} UTC · Picture a minute",
        f"""<h1 class="unseen">The newest picture</h1>
<figure>
<a href="{day}/{newest:%H%M}.jpg"><img src="{day}/{newest:%H%M}.jpg" alt="{escape(_description(photo))}" decoding="sync"></a>
<figcaption>{" · ".join(filter(None, about))}</figcaption>
</figure>
<section class="hour">
<header><h2>The last hour</h2><a href="{day}/index.html">The whole day</a></header>
<ol>
{cells}
</ol>
</section>""",
        script=_SCRIPT,
    )


def _moment(minute: datetime) -> str:
    """Return the time, with what the script shows when it is long ago, and in the viewer's own time."""
    shown = f'<time datetime="{minute.isoformat()}Z">{minute:%Y-%m-%d %H:%M} UTC</time>'
    return f'<span class="stale" hidden>No picture since</span> {shown} <span class="here"></span>'


def _day(store: Store, day: date, stored: set[str], earlier: date | None, later: date | None) -> str:
    newest, oldest = store.newest_minute(), store.oldest_minute()
    whole_day = [datetime.combine(day, time_of_day(hour, number)) for hour in range(24) for number in range(60)]
    past = [minute for minute in whole_day if oldest is not None and newest is not None and oldest <= minute <= newest]
    shown = [minute for minute in past if f"{minute:%H%M}" in stored]
    photos, thumbnails = store.photos(shown), _thumbnails(store, shown)
    reasons = store.reasons([minute for minute in past if minute not in photos])
    rows = []
    for hour in range(24):
        cells = []
        for minute in whole_day[60 * hour : 60 * hour + 60]:
            if minute in photos:
                cells.append(_cell(minute, photos[minute], minute in thumbnails, ""))
            else:
                is_past = bool(past) and past[0] <= minute <= past[-1]
                cells.append(_gap(minute, reasons.get(minute, "")) if is_past else "<li></li>")
        rows.append(f'<section class="row"><h2>{hour:02}</h2><ol>{"".join(cells)}</ol></section>\n')
    links = [
        f'<a href="../{other}/index.html" rel="{rel}">{text}</a>' if other else "<span></span>"
        for other, rel, text in ((earlier, "prev", f"← {earlier}"), (later, "next", f"{later} →"))
    ]
    count = f"{len(stored):,} picture{'s' if len(stored) != 1 else ''}"
    return _page(
        f"{day} · Picture a minute",
        f"""<header class="day">{links[0]}
<div><h1>{day}</h1><p>{count}, UTC · <a href="../index.html">The newest</a></p></div>
{links[1]}</header>
{"".join(rows)}""",
    )


def _thumbnails(store: Store, minutes: Sequence[datetime]) -> set[datetime]:
    """Return those of the minutes, in order, that have a thumbnail."""
    found: set[datetime] = set()
    for day, of_day in groupby(minutes, key=datetime.date):
        first, *others = of_day
        names = store.files.listing(f"{day.isoformat()}/thumb", after=f"{first:%H%M}")
        found.update(minute for minute in (first, *others) if f"{minute:%H%M}.jpg" in names)
    return found


def _cell(minute: datetime, photo: Photo, has_thumbnail: bool, folder: str) -> str:
    """Return a picture's place in a list: its thumbnail with its credit."""
    name = f"{minute:%H%M}.jpg"
    thumbnail = f"thumb/{name}" if has_thumbnail else name
    return (
        f'<li><div><a href="{folder}{name}">'
        f'<img src="{folder}{thumbnail}" alt="{minute:%H:%M} {escape(_description(photo))}" loading="lazy"></a>'
        f"<p><b>{minute:%H:%M}</b> {_credit(photo)}</p></div></li>"
    )


def _gap(minute: datetime, reason: str) -> str:
    return f'<li class="gap"><div><p><b>{minute:%H:%M}</b> no picture<br>{escape(reason)}</p></div></li>'


def _credit(photo: Photo) -> str:
    """Return the credit; nothing for a picture whose metadata was lost or damaged."""
    try:
        return credit_html(photo)
    except (LookupError, TypeError, AttributeError):
        return ""


def _topic(photo: Photo) -> str:
    return str(photo.get("pipeline", {}).get("topic", ""))


def _description(photo: Photo) -> str:
    """Return what the picture shows, in the photographer's words if there are any."""
    said = (photo.get("alt_description"), photo.get("description"), _topic(photo))
    return next((" ".join(words.split()) for words in said if isinstance(words, str) and words.strip()), "a picture")


def _page(title: str, main: str, script: str = "") -> str:
    """Return a whole page that may load nothing but files beside it, whatever is written in it."""
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'; "
        f"img-src 'self' file: data:; frame-src 'self' file:; script-src 'sha256-{script_hash}'"
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{escape(title)}</title>
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
{'<noscript><meta http-equiv="refresh" content="60"></noscript>' if script else ""}
<style>{_STYLE}</style>
</head>
<body>
<main>
{main}
</main>
{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""


_STYLE = """
:root { --ground: #f6f5f2; --ink: #262522; --quiet: #66635d; --line: #cfccc4; --alarm: #a03a10 }
@media (prefers-color-scheme: dark) {
  :root { --ground: #121211; --ink: #e6e4de; --quiet: #a09d95; --line: #3d3b37; --alarm: #f2a272 }
}
* { box-sizing: border-box; margin: 0; padding: 0 }
body { background: var(--ground); color: var(--quiet); font: 0.875rem/1.4 system-ui, sans-serif; overflow-wrap: anywhere }
a { color: inherit; text-underline-offset: 0.15em; text-decoration-color: var(--line) }
a:hover { color: var(--ink); text-decoration-color: currentcolor }
a:focus-visible { outline: 2px solid var(--ink); outline-offset: 2px }
h1, h2 { color: var(--ink); font-size: 1rem; font-weight: 500 }
ol { list-style: none; display: grid }
img { display: block; width: 100%; object-fit: cover }
main > h1:only-child { display: grid; place-content: center; min-height: 100dvh; color: var(--quiet) }
.unseen { position: absolute; clip-path: inset(50%) }
.stale { color: var(--alarm); font-weight: 500 }

figure { display: flex; flex-direction: column }
figure > a { min-height: 0 }
figure img { height: auto; max-height: calc(100dvh - 3.5rem); object-fit: contain }
figcaption { padding: 0.7rem 1rem 0.9rem; text-align: center }
@media (orientation: landscape) {
  figure { height: 100dvh }
  figure > a { flex: 1 }
  figure img { height: 100%; max-height: none }
}
@media (display-mode: fullscreen) { html { scrollbar-width: none } }

.hour { padding: 1.5rem 1rem 3rem; max-width: 90rem; margin: auto }
.hour header { display: flex; justify-content: space-between; align-items: baseline; margin-bottom: 0.8rem }
.hour ol { grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: 1rem 0.6rem }
.hour img, .hour .gap div { aspect-ratio: 3 / 2 }
.hour .gap div { border: 1px dashed var(--line); padding: 0.3rem 0.5rem }
li p { font-size: 0.75rem; padding-top: 0.2rem }
b { color: var(--ink); font-weight: 500 }

.day { display: grid; grid-template-columns: 1fr auto 1fr; gap: 1rem; padding: 1.2rem 1rem; text-align: center }
.day > a { white-space: nowrap }
.day > :first-child { justify-self: start }
.day > :last-child { justify-self: end }
.row { display: flex; gap: 0.5rem; padding: 0 1rem 0.5rem }
.row h2 { width: 1.5rem; font-size: 0.75rem; color: var(--quiet) }
.row ol { flex: 1; grid-template-columns: repeat(12, minmax(0, 1fr)); gap: 1px }
.row li { position: relative; aspect-ratio: 1 }
.row img { aspect-ratio: 1 }
.row .gap { background: var(--line) }
.row p { position: absolute; width: 1px; height: 1px; overflow: hidden }
.row li:is(:hover, :focus-within) > div {
  position: fixed; inset: auto 0 0; z-index: 1; width: 15rem; margin: auto;
  background: var(--ground); box-shadow: 0 0 1rem #0006;
}
.row li:is(:hover, :focus-within) img { aspect-ratio: auto }
.row li:is(:hover, :focus-within) p { position: static; width: auto; height: auto; padding: 0.4rem 0.6rem }
.row:last-child { padding-bottom: 18rem }
@media (min-width: 40rem) { .row ol { grid-template-columns: repeat(30, minmax(0, 1fr)) } }
@media (min-width: 60rem) {
  .row { padding-bottom: 1px }
  .row ol { grid-template-columns: repeat(60, minmax(0, 1fr)) }
  .row li:is(:hover, :focus-within) > div { position: absolute; inset: 0 auto auto 0 }
  .row li:nth-child(n + 31):is(:hover, :focus-within) > div { inset: 0 0 auto auto }
}
"""

_SCRIPT = """
"use strict";
const MINUTE = 60000;
const ASKED = "?renewed=";
const main = () => document.querySelector("main");
const trusted = location.protocol === "file:" ? "*" : location.origin;

function tellTime() {
  const time = document.querySelector("time");
  if (!time) return;
  const taken = new Date(time.dateTime);
  document.querySelector(".stale").hidden = Date.now() - taken < 5 * MINUTE;
  if (taken.getTimezoneOffset()) {
    const here = taken.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    document.querySelector(".here").textContent = `(${here} here)`;
  }
}

if (location.search.startsWith(ASKED)) {
  parent.postMessage({ title: document.title, main: main().outerHTML }, trusted);
} else {
  let shown = main().outerHTML;
  let frame = null;
  setInterval(() => {
    tellTime();
    frame?.remove();
    frame = document.createElement("iframe");
    frame.hidden = true;
    frame.src = location.pathname + ASKED + Date.now();
    document.body.append(frame);
  }, MINUTE);
  addEventListener("message", async ({ source, data }) => {
    if (source !== frame?.contentWindow || data.main === shown) return;
    shown = data.main;
    const next = document.createElement("template");
    next.innerHTML = shown;
    const photo = new Image();
    photo.src = next.content.querySelector("img")?.getAttribute("src") ?? "";
    await photo.decode().catch(() => {});
    const focused = document.activeElement?.getAttribute("href");
    main().replaceWith(next.content);
    document.title = data.title;
    tellTime();
    if (focused) document.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  });
  tellTime();
}
"""
