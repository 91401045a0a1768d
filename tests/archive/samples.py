"""What tests of the archive put into it."""

from datetime import datetime

from pipeline.archive import Archive

MIDDAY = datetime(2026, 11, 23, 12, 5)
TOPICS = ("art", "sea")


def put_picture(archive: Archive, minute: datetime, content: bytes = b"a picture") -> None:
    """Put a picture there by its name, whatever the minute's photo is."""
    archive.files.put(f"{minute:%Y-%m-%d/%H%M}.jpg", content)
