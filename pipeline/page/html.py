"""The credit as HTML, and index.html, which shows the newest picture to browsers without JavaScript."""

from datetime import datetime
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from pipeline.errors import line
from pipeline.jpeg import Picture

TEXT_CHARACTERS = 300
LINK_CHARACTERS = 2048


def asset(name: str) -> str:
    """Return the content of a file of the page that ships with the package."""
    return Path(__file__).with_name(name).read_text("utf-8")


def link(address: str, text: str) -> str:
    """Return an HTML link of a text that is cleaned and cut, or the text alone if the address is not of the web."""
    shown = escape(line(text, TEXT_CHARACTERS))
    return f'<a href="{escape(address)}" rel="noopener" target="_blank">{shown}</a>' if is_of_the_web(address) else shown


def is_of_the_web(address: object) -> bool:
    """Tell whether a link may lead there."""
    return isinstance(address, str) and address.startswith(("https://", "http://")) and len(address) < LINK_CHARACTERS


def credit(entry: dict[str, Any]) -> str:
    """Return the credit of a picture with its two links, as HTML."""
    return f"Photo by {link(entry['user'], entry['name'])} on {link(entry['unsplash'], 'Unsplash')}"


def status_line(entry: dict[str, Any], picture: Picture) -> str:
    """Return what luigid's page, which renders HTML, shows of a stored picture."""
    size = f"{picture.width} × {picture.height}, {picture.length / 1000:.0f} kB"
    return f"{credit(entry)} · {size} · {link(entry['photo'], 'photo')}"


def index(minute: datetime | None, entry: dict[str, Any], version: str) -> bytes:
    """Return index.html with the newest picture in it, or the word that there is none."""
    title, figure = "Picture a minute", "<p>No picture yet</p>"
    if minute:
        title, picture = f"{minute:%H:%M} UTC · {title}", f"{minute:%Y-%m-%d/%H%M}.jpg"
        time = f'<time datetime="{minute.isoformat()}Z">{minute:%Y-%m-%d %H:%M} UTC</time>'
        caption = " · ".join(filter(None, (credit(entry), escape(entry["topic"]), time)))
        figure = (
            f'<figure><a href="{picture}"><img src="{picture}" alt="{escape(entry["alt"] or "a picture")}"></a>'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    page = Template(asset("index.html")).substitute(title=title, picture=figure, version=escape(version))
    return page.encode("utf-8", "replace")
