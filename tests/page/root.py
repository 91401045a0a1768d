"""A ROOT as the page finds it: pictures, and the small scripts that tell of them; the pictures are the sandbox's drawings."""

import json
import string
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from functools import cache
from html import escape
from pathlib import Path
from random import Random
from typing import Any

from pipeline import page, sandbox

PAGE = Path(page.__file__).parent
MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 11, 23, 12)
TOPICS = ("history", "life", "wisdom", "art", "office", "nature")
DRAWINGS = 96
MINUTELY = "setTimeout(tick, MINUTE)"


class Root:
    """A folder that is filled minute by minute; `write` writes the scripts and index.html."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.minutes: dict[datetime, dict[str, Any]] = {}
        self.kept: list[datetime] = []
        self.newest: dict[str, Any] = {}
        self.calendar: dict[str, list[int]] = {}
        self.renews_every_second = False
        self._changed: set[datetime] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def store(
        self, first: datetime, last: datetime | None = None, *, width: int = 240, drawn: int | None = None, **other: Any
    ) -> None:
        """Store a picture of each minute from `first` to `last`; `other` replaces parts of what is told of it."""
        for minute in minutes(first, last or first):
            number = _which(minute) if drawn is None else drawn
            entry = {**_entry(number), **other}
            self._put(minute, entry)
            self._file(f"{minute:%Y-%m-%d/%H%M}.jpg", drawing(number, width))
            if entry["thumb"]:
                self._file(f"{minute:%Y-%m-%d/thumb/%H%M}.jpg", drawing(number, 240))

    def fail(self, first: datetime, last: datetime | None = None, reason: str = "FetchMetadata: no answer") -> None:
        """Let each minute from `first` to `last` fail."""
        for minute in minutes(first, last or first):
            self._put(minute, {"error": reason, "at": f"{minute.isoformat()}Z"})

    def tell(self, entry: dict[str, Any], *minutes: datetime) -> None:
        """Tell something else of pictures that are stored."""
        for minute in minutes:
            self._put(minute, entry)

    def miss(self, first: datetime, last: datetime | None = None) -> None:
        """Leave no trace of each minute from `first` to `last`."""
        for minute in minutes(first, last or first):
            del self.minutes[minute]
            self._changed.add(minute.replace(minute=0))

    def keep(self, *kept: datetime) -> None:
        """Make pictures favourites."""
        self.kept += kept

    def write(self, **newest: Any) -> None:
        """Write what has changed, as a run does; `newest` replaces parts of newest.js."""
        for hour in sorted(self._changed):
            told = {
                f"{minute:%M}": self.minutes[minute] for minute in minutes(hour, hour + 59 * MINUTE) if minute in self.minutes
            }
            self.script(f"{hour:%Y-%m-%d/%H}", f"{hour:%Y-%m-%dT%H}", told)
        self._changed.clear()
        pictures = sorted(minute for minute, entry in self.minutes.items() if "error" not in entry)
        counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        for minute, entry in self.minutes.items():
            counts[minute.date().isoformat()]["error" in entry] += 1
        self.calendar.update(sorted(counts.items()))
        self.script("calendar", "calendar", self.calendar)
        if self.kept:
            self.script("favourites", "favourites", [name(minute) for minute in sorted(self.kept)])
        if pictures:
            self.newest = {
                "minute": name(pictures[-1]),
                "first": name(min(self.minutes)),
                "pruned": None,
                "demo": False,
                **self.newest,
            }
            self.newest.update({"minute": name(pictures[-1])}, **newest)
            self.script("newest", "newest", self.newest)
        self._write_page(pictures[-1:])

    def script(self, path: str, what: str, data: Any) -> None:
        """Write a script that hands over data."""
        self._file(f"{path}.js", f"pictureAMinute({json.dumps(what)}, {json.dumps(data)})\n".encode())

    def address(self, fragment: str = "") -> str:
        """Return where a browser finds the page without a server."""
        return (self.folder / "index.html").as_uri() + fragment

    def _put(self, minute: datetime, entry: dict[str, Any]) -> None:
        self.minutes[minute] = entry
        self._changed.add(minute.replace(minute=0))

    def _file(self, path: str, content: bytes) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}.new")
        new.write_bytes(content)
        new.replace(file)

    def _write_page(self, newest: Iterable[datetime]) -> None:
        picture, title = "<p>No picture yet</p>", "Picture a minute"
        for minute in newest:
            entry = {key: escape(str(self.minutes[minute].get(key, ""))) for key in ("alt", "name", "topic")}
            picture = (
                f'<figure><a href="{minute:%Y-%m-%d/%H%M}.jpg"><img src="{minute:%Y-%m-%d/%H%M}.jpg" alt="{entry["alt"]}"></a>'
                f"<figcaption>Photo by {entry['name']} on Unsplash · {entry['topic']} · "
                f'<time datetime="{minute.isoformat()}Z">{minute:%Y-%m-%d %H:%M} UTC</time></figcaption></figure>'
            )
            title = f"{minute:%H:%M} UTC · Picture a minute"
        template = string.Template((PAGE / "index.html").read_text())
        self._file("index.html", template.substitute(title=title, picture=picture, version="1.1.0").encode())
        self._file("page.css", (PAGE / "page.css").read_bytes())
        script = (PAGE / "page.js").read_text()
        if self.renews_every_second:
            assert MINUTELY in script
            script = script.replace(MINUTELY, "setTimeout(tick, 1000)")
        self._file("page.js", script.encode())


def minutes(first: datetime, last: datetime) -> list[datetime]:
    """Return the minutes from the first to the last."""
    return [first + number * MINUTE for number in range((last - first) // MINUTE + 1)]


def name(minute: datetime) -> str:
    """Return a minute's name, such as 2026-11-23T1205."""
    return f"{minute:%Y-%m-%dT%H%M}"


def year_of_counts(newest: date, days: int = 425) -> dict[str, list[int]]:
    """Return a calendar of so many days up to the newest, most of them whole, some with gaps and failures."""
    drawn = Random(7)
    counts = {}
    for number in range(days):
        day = newest - timedelta(days=days - number)
        fate = drawn.random()
        failed = 0 if fate < 0.75 else drawn.randrange(1, 9) if fate < 0.9 else drawn.randrange(20, 600) if fate < 0.94 else 0
        missing = 0 if fate < 0.92 else drawn.randrange(1, 60) if fate < 0.97 else drawn.randrange(100, 1200)
        if not (60 < number < 66 or number == 200):
            counts[day.isoformat()] = [max(0, 1440 - failed - missing), failed]
    return counts


def _which(minute: datetime) -> int:
    """Return the number of the minute's drawing: none comes twice before all have been there."""
    round_, place = divmod((minute - datetime(2020, 1, 1)) // MINUTE, DRAWINGS)
    return Random(round_).sample(range(DRAWINGS), DRAWINGS)[place]


@cache
def drawing(number: int, width: int) -> bytes:
    """Return one of the drawings."""
    return sandbox.drawing(_photo_id(number), width)


def _photo_id(number: int) -> str:
    return sandbox.random_id(None, Random(number))


def _entry(number: int) -> dict[str, Any]:
    sample, topic = sandbox.Sample(_photo_id(number)), TOPICS[number % len(TOPICS)]
    return {
        "id": sample.id,
        "topic": topic,
        "alt": f"a sample drawing for “{topic}”",
        "name": sample.name,
        "user": f"{sandbox.ORIGIN}/@{sample.username}?utm_source=picture_a_minute&utm_medium=referral",
        "photo": f"{sandbox.ORIGIN}/@{sample.username}/{sample.id}",
        "unsplash": "https://unsplash.com/?utm_source=picture_a_minute&utm_medium=referral",
        "width": 1080,
        "height": round(1080 * sample.height / sample.width),
        "bytes": 203_000,
        "color": sample.colours[0],
        "thumb": True,
    }
