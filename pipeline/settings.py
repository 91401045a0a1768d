"""The knobs of luigi.cfg, read when they are needed and never while a module loads."""

import functools
import os
from collections.abc import Sequence
from typing import TypeVar

import luigi
from luigi.parameter import ParameterException

from pipeline import unsplash as api
from pipeline.archive import Archive
from pipeline.errors import BadSettings

Section = TypeVar("Section", bound=luigi.Config)

ALLOWED: dict[str, range | tuple[str, ...]] = {
    "orientation": ("", "landscape", "portrait", "squarish"),
    "content_filter": ("low", "high"),
    "size": api.SIZES,
    "photos_per_request": range(1, 31),
    "no_repeat_days": range(0, 366),
    "requests_reserved": range(0, 5001),
}


class TopicsParameter(luigi.Parameter):
    """Words between commas; blanks, quotes and repeats are dropped."""

    def parse(self, text: str) -> tuple[str, ...]:
        words = (part.strip(" \t\r\n[]\"'") for part in text.split(","))
        return tuple(dict.fromkeys(word for word in words if word))

    def serialize(self, topics: Sequence[str]) -> str:
        return ", ".join(topics)


class unsplash(luigi.Config):
    """The section [unsplash]: what is asked of the API."""

    topics = TopicsParameter(default=("history", "life", "wisdom", "art", "office", "nature"))  # type: ignore[arg-type]
    photos_per_request = luigi.IntParameter(default=30)
    orientation = luigi.Parameter(default="")
    content_filter = luigi.Parameter(default="low")
    size = luigi.Parameter(default="regular")
    no_repeat_days = luigi.IntParameter(default=30)
    report_downloads = luigi.BoolParameter(default=True, parsing=luigi.BoolParameter.EXPLICIT_PARSING)
    requests_reserved = luigi.IntParameter(default=5)
    app_name = luigi.Parameter(default="picture_a_minute")
    answer_seconds = luigi.FloatParameter(default=60.0)


class storage(luigi.Config):
    """The section [storage]: where the pictures are kept."""

    root = luigi.Parameter(default="data")
    keep_days = luigi.OptionalIntParameter(default=None)


@functools.cache
def unsplash_settings() -> unsplash:
    """Return the section [unsplash], checked; BadSettings names the knob and what it may be."""
    section = _read(unsplash)
    if not section.topics:
        raise BadSettings("[unsplash] topics is empty: name at least one, such as nature")
    if not 0 < section.answer_seconds <= 3600:
        raise BadSettings(f"[unsplash] answer_seconds is {section.answer_seconds:g}: use more than 0, up to 3600")
    for knob, allowed in ALLOWED.items():
        if getattr(section, knob) not in allowed:
            choices = (
                f"{allowed[0]} to {allowed[-1]}"
                if isinstance(allowed, range)
                else ", ".join(word or "nothing" for word in allowed)
            )
            raise BadSettings(f"[unsplash] {knob} is {getattr(section, knob)!r}: use {choices}")
    return section


def storage_settings() -> storage:
    """Return the section [storage]; BadSettings if it cannot be read."""
    return _read(storage)


def _read(section: type[Section]) -> Section:
    try:
        return section()
    except (ValueError, ParameterException) as error:
        raise BadSettings(f"[{section.__name__}]: {str(error).rpartition(': ')[2]}: {error.__cause__}") from None


@functools.cache
def archive() -> Archive:
    """Return the archive under ROOT; samples of the sandbox have a ROOT of their own below it and never pass for photos."""
    root = os.path.expanduser(storage_settings().root)
    return Archive(f"{root.rstrip('/')}/demo" if api.is_demo() else root)
