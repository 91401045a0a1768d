"""How a picture is shown: its credit, linked as Unsplash asks."""

from html import escape

from pipeline.jpeg import Picture
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
