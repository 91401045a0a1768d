"""Which minutes have what: by one listing a day, however many minutes are asked for."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, Union

from pipeline.archive import names
from pipeline.archive.disk import Disk
from pipeline.errors import RootUnusable
from pipeline.minutes import MINUTE, present_minute

if TYPE_CHECKING:
    from pipeline.archive.bucket import Bucket

Files = Union[Disk, "Bucket"]

_DAY = timedelta(days=1)


class DayFile(NamedTuple):
    """A file of ours in a day's folder: its name below ROOT, its bytes, what it is, and its minute if it is of one."""

    name: str
    size: int
    kind: str
    minute: datetime | None


class Days:
    """The days of an archive, and the minutes of a day that have a picture, or the reason of a failure."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def days(self) -> list[date]:
        """Return the days that have a folder, in order."""
        return names.days_of(self.files.folders())

    def files_of(self, day: date, beginning: str = "") -> Iterator[DayFile]:
        """Give the files of ours in the day's folder whose names begin so; those of the user's are passed over."""
        for folder in (f"{day}", f"{day}/thumb"):
            for name, size in self.files.sizes(folder, beginning, beginning + names.LAST).items():
                if kind := names.kind_of(day, folder, name):
                    yield DayFile(f"{folder}/{name}", size, kind, names.minute_of(day, name))

    def minutes_with(self, suffix: str, first: datetime, last: datetime) -> list[datetime]:
        """Return the minutes from the first to the last that have such a file, which is not empty, in order."""
        found, length = list[datetime](), (last.date() - first.date()).days + 1
        days = (first.date() + number * _DAY for number in range(length))
        if length > 2:  # a listing of ROOT costs less than looking at each day
            days = (day for day in self.days() if first.date() <= day <= last.date())
        for day in days:
            after = f"{first:%H%M}" if day == first.date() else ""
            before = f"{last:%H%M}{names.LAST}" if day == last.date() else names.LAST
            sizes = self.files.sizes(f"{day}", after, before, suffix)
            found += filter(None, (names.minute_of(day, name) for name in sorted(sizes) if sizes[name]))
        return found

    def outcomes_of(self, day: date) -> tuple[list[datetime], list[datetime]]:
        """Return the day's minutes that have a picture, and those that failed and have none, in order."""
        stored, failed = self._of_day(day), self._of_day(day, ".error")
        return stored, sorted(set(failed).difference(stored))

    def missing(self, start: datetime, stop: datetime) -> list[datetime]:
        """Return the minutes from start to before stop that have no picture, as far as they were not pruned."""
        start, missing = max(start, self.pruned_before()), []
        minutes = (start + number * MINUTE for number in range(-((start - stop) // MINUTE)))
        for day, of_day in groupby(minutes, key=datetime.date):
            asked = [(minute, f"{minute.hour:02}{minute.minute:02}.jpg") for minute in of_day]
            sizes = self.files.sizes(f"{day}", asked[0][1][:4], asked[-1][1] + names.LAST, ".jpg")
            missing += [minute for minute, name in asked if not sizes.get(name)]
        return missing

    def complete(self, asked: Iterable[datetime]) -> list[datetime]:
        """Return those of the minutes that RangeByMinutes leaves alone: stored, pruned, or later than now."""
        minutes, now = list(asked), present_minute()
        missing = set(self.missing(min(minutes), max(minutes) + MINUTE)) if minutes else ()
        return [minute for minute in minutes if minute > now or minute not in missing]

    def first(self) -> datetime | None:
        """Return the first minute that has a picture, or had one, and was not to be pruned: what lacks one since is missing."""
        pruned_before, days = self.pruned_before(), self.days()
        if days and days[0] < pruned_before.date() and self.newest():
            return pruned_before
        return next((minute for day in days for minute in self._of_day(day)), None)

    def newest(self) -> datetime | None:
        """Return the last minute that has a picture and is not later than now."""
        now = present_minute()
        days = (day for day in reversed(self.days()) if day <= now.date())
        return next((minute for day in days for minute in reversed(self._of_day(day)) if minute <= now), None)

    def is_newest(self, minute: datetime) -> bool:
        """Tell whether no later minute has a picture, up to now; a minute later than now is not the newest."""
        now = present_minute()
        if minute < now - _DAY:  # to look at every day since takes long
            return (self.newest() or minute) <= minute
        return minute <= now and not self.minutes_with(".jpg", minute + MINUTE, now)

    def ahead(self) -> list[datetime]:
        """Return the minutes later than now that have a picture: the clock was wrong, then or now."""
        return self.minutes_with(".jpg", present_minute() + MINUTE, datetime.max)

    def pruned_before(self) -> datetime:
        """Return the minute before which pictures were pruned: what is missing there stays missing."""
        if (content := self.files.get(names.PRUNED_BEFORE)) is None:
            return datetime.min
        path = self.files.path(names.PRUNED_BEFORE)
        try:
            day = datetime.combine(date.fromisoformat(content.decode("ascii").strip()), time_of_day.min)
        except ValueError as error:
            raise RootUnusable(f"{path} names no day, such as 2026-11-23, before which pictures were pruned") from error
        if day > present_minute():
            raise RootUnusable(f"{path} names {day.date()}, which is to come: the clock is wrong, or was; write the right day")
        return day

    def put_pruned_before(self, day: date) -> None:
        """Write down that what is missing before the day stays missing, unless a later day stands there."""
        if self.pruned_before().date() < day:
            self.files.put(names.PRUNED_BEFORE, f"{day}\n".encode())

    def _of_day(self, day: date, suffix: str = ".jpg") -> list[datetime]:
        return self.minutes_with(suffix, datetime.combine(day, time_of_day.min), datetime.combine(day, time_of_day.max))
