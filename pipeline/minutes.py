"""Time, in minutes of UTC: the tasks' parameter, the topic of a minute, and the minutes that share a topic.

Time is cut into rounds of as many minutes as there are topics. A round is a shuffle of the topics: random to look at, each
topic once a round, and the same on every machine and at every run.
"""

import functools
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import luigi

from pipeline import log
from pipeline.errors import BadSettings

MINUTE = timedelta(minutes=1)
REACH = timedelta(days=7)
EPOCH = datetime(1970, 1, 1)


class MinuteParameter(luigi.DateMinuteParameter):
    """A minute of UTC; the present one, read when the task is made, unless another is given."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"default": None, "description": "minute in UTC, as 2026-11-23T1205", **options})

    def parse(self, text: str) -> datetime:
        """Return the minute that the text names, or raise BadSettings; Luigi's own parser takes 2026-11-23T04 for 00:04."""
        log.set_up()  # if no task is made, no event of a task will
        minute = minute_in(text)
        if minute > present_minute():
            raise BadSettings(f"{text} is later than now, {name(present_minute())} in UTC: is the clock right?")
        return minute

    def normalize(self, minute: datetime | None) -> datetime:
        """Return the minute without seconds; None is the present."""
        return present_minute() if minute is None else minute.replace(second=0, microsecond=0)


def minute_in(text: str) -> datetime:
    """Return the minute that the text names, BadSettings if it names none."""
    with suppress(ValueError):
        if re.fullmatch(r"\d{4}-\d\d-\d\dT\d{4}", text, re.ASCII):
            return datetime.strptime(text, luigi.DateMinuteParameter.date_format)
    raise BadSettings(f"{text!r} is no minute: write it in UTC as YYYY-MM-DDThhmm, for example 2026-11-23T1205")


def present_minute() -> datetime:
    """Return the present minute in UTC, without a time zone, as Luigi wants it."""
    return datetime.now(timezone.utc).replace(second=0, microsecond=0, tzinfo=None)


def now_in_words() -> str:
    """Return the present second in UTC, as 2026-11-23T12:05:31Z."""
    return f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def name(minute: datetime) -> str:
    """Return the minute as people type it: 2026-11-23T1205."""
    return f"{minute.isoformat()[:13]}{minute:%M}"


@functools.lru_cache(maxsize=1024)
def _round(number: int, topics: tuple[str, ...]) -> list[str]:
    return sorted(topics, key=lambda topic: hashlib.sha256(f"{number} {topic}".encode()).digest())


def topics_of_round(minute: datetime, topics: Sequence[str]) -> list[str]:
    """Return the topics in the order of the minute's round, beginning with the minute's own."""
    number, place = divmod((minute - EPOCH) // MINUTE, len(topics))
    shuffled = _round(number, tuple(topics))
    return shuffled[place:] + shuffled[:place]


def topic_of(minute: datetime, topics: Sequence[str]) -> str:
    """Return the topic whose turn the minute is."""
    return topics_of_round(minute, topics)[0]


def minutes_of_same_topic(minute: datetime, topics: Sequence[str]) -> Iterator[datetime]:
    """Give the minute, then the later ones of its topic, one a round, as far as the REACH of one answer."""
    topic, later = topic_of(minute, topics), (minute + number * MINUTE for number in range(REACH // MINUTE))
    return (each for each in later if topic_of(each, topics) == topic)
