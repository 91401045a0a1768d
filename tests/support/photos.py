"""Photos as they are filed."""

from typing import Any


def photo(photo_id: str, topic: str = "art") -> dict[str, Any]:
    """Return what is filed for a photo, as far as the archive looks at it."""
    address = f"https://images.unsplash.com/photo-{photo_id}"
    known = {"topic": topic, "credit": {"text": "Photo by A on Unsplash"}}
    return {"id": photo_id, "urls": {"regular": address}, "pipeline": known}
