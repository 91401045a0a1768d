"""The archive's rules: which files a minute has and when one may be replaced. Disk and Bucket do the storing.

A minute has its photo's metadata, the address of the picture, and the picture; each counts only if the one before it is its
own. The first photo that is filed for a minute stays, unless it cannot be had. An empty file counts as absent.
"""

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from luigi.target import FileSystemTarget

from pipeline import log
from pipeline.archive import given, names
from pipeline.archive.days import Days
from pipeline.archive.disk import Change, Disk
from pipeline.archive.names import file_name
from pipeline.errors import BadSettings, NameTaken, PhotoReplaced, RootUnusable
from pipeline.minutes import minute_in, now_in_words
from pipeline.unsplash import Photo, Quota

PHOTO_BYTES = 2**13  # what a photo's metadata takes of a disk, and more


class Failure(NamedTuple):
    """When a minute failed last, as `2026-11-23T12:05:31Z`, and why."""

    at: str
    reason: str


class Archive(Days):
    """The files under one ROOT: a folder, or `s3://BUCKET/PREFIX`. A folder that `must_exist` is never made."""

    def __init__(self, root: str | Path, must_exist: str = "") -> None:
        if not str(root).startswith("s3:"):  # one slash short is no folder
            super().__init__(Disk(str(root), must_exist))
        else:
            try:
                from pipeline.archive.bucket import Bucket
            except ModuleNotFoundError:
                raise RootUnusable("[storage] root is on S3, which needs boto3: pip install '.[s3]'") from None
            super().__init__(Bucket(str(root)))
        self._quota: Quota | None = None
        # What was asked for and is not filed yet, by the minute that asked: a topic, its photos, and those given to minutes.
        self.unfiled: dict[datetime, tuple[str, list[Photo], dict[datetime, Photo]]] = {}

    @property
    def root(self) -> str:
        """Return ROOT's path, or its address."""
        return self.files.path("")

    def metadata_target(self, minute: datetime, topics: Sequence[str]) -> FileSystemTarget:
        """Return the minute's photo as Luigi's target, which wants it to be of one of the topics while it is not stored."""
        return self.files.target(file_name(minute, ".json"), lambda: self.has_photo(minute, topics))

    def address_target(self, minute: datetime) -> FileSystemTarget:
        """Return the address of the minute's picture as Luigi's target."""
        return self.files.target(file_name(minute, ".txt"), lambda: bool(self.address(minute)))

    def picture_target(self, minute: datetime) -> FileSystemTarget:
        """Return the minute's picture as Luigi's target."""
        return self.files.target(file_name(minute, ".jpg"), lambda: self.has_picture(minute))

    def content(self, minute: datetime, suffix: str) -> bytes | None:
        """Return the content of one of the minute's files; None if there is none."""
        return self.files.get(file_name(minute, suffix))

    def photo(self, minute: datetime) -> Photo:
        """Return the minute's photo as it was filed; nothing if there is none that can be read."""
        return read_photo(self.content(minute, ".json"))

    def has_photo(self, minute: datetime, topics: Sequence[str]) -> bool:
        """Tell whether a photo is filed for the minute, of one of the topics unless its picture is stored."""
        photo = self.photo(minute)
        return bool(photo) and (photo["pipeline"].get("topic") in topics or self.has_picture(minute))

    def address(self, minute: datetime) -> str:
        """Return the address of the minute's picture; nothing if there is none that is one of its photo."""
        address = (self.content(minute, ".txt") or b"").decode("ascii", "replace").rstrip("\n")
        return address if address and address in self.photo(minute).get("urls", {}).values() else ""

    def has_picture(self, minute: datetime) -> bool:
        """Tell whether the minute's picture is stored."""
        return bool(self.files.size(file_name(minute, ".jpg")))

    def local_path(self, minute: datetime | None) -> Path:
        """Return where the minute's picture is on this machine, by default the newest; RootUnusable in a bucket."""
        path = self.files.path(file_name(minute, ".jpg") if minute else names.LATEST)
        if path.startswith("s3:"):
            raise RootUnusable(f"{path} is no file of a disk: fetch it from there to look at it")
        return Path(path)

    def open_minutes(self, asked: Iterable[datetime], topics: Sequence[str]) -> Iterator[datetime]:
        """Give those of the minutes, in order, that still want a photo of the topics: they have none, and no picture."""
        for _, of_day in groupby(asked, key=datetime.date):
            minutes = list(of_day)
            stored = set(self.minutes_with(".jpg", minutes[0], minutes[-1]))
            yield from (minute for minute in minutes if minute not in stored and not self.has_photo(minute, topics))

    def try_filing(self, minute: datetime, photos: int) -> None:
        """Raise what would keep so many photos from being filed, the first under this minute."""
        self.files.try_writing(file_name(minute, ".json"), photos * PHOTO_BYTES)

    def give(self, photo_ids: Sequence[str], minutes: Sequence[datetime], no_repeat_days: int) -> dict[datetime, str]:
        """Choose a photo for each of the minutes, of those that no minute within so many days was given; note it."""
        banned = self.banned()
        allowed = [photo_id for photo_id in photo_ids if photo_id not in banned]
        return given.give(self.files, allowed, minutes, no_repeat_days) if minutes and allowed else {}

    def file_photos(self, photos: Mapping[datetime, Photo], topics: Sequence[str]) -> None:
        """File each photo under its minute, unless the minute has one of the topics by now: the first answer wins."""

        def is_open(minute: datetime) -> bool:
            return not (self.has_photo(minute, topics) or self.has_picture(minute))

        for minute, photo in photos.items():
            content = json.dumps(photo).encode() + b"\n"
            self.files.put(file_name(minute, ".json"), content, functools.partial(is_open, minute))

    def put_address(self, minute: datetime, address: str) -> None:
        """Store the address of the minute's picture."""
        self.files.put(file_name(minute, ".txt"), f"{address}\n".encode("ascii"))

    def put_picture(self, minute: datetime, photo: Photo, content: bytes) -> None:
        """Store the minute's picture; PhotoReplaced if another photo is the minute's by now."""
        if not self.files.put(file_name(minute, ".jpg"), content, lambda: self.photo(minute).get("id") == photo["id"]):
            raise PhotoReplaced

    def thumbnail(self, minute: datetime) -> bytes | None:
        """Return the minute's thumbnail; None if there is none."""
        return self.files.get(names.thumbnail_name(minute))

    def put_thumbnail(self, minute: datetime, content: bytes) -> None:
        """Store the minute's thumbnail."""
        self.files.put(names.thumbnail_name(minute), content)

    def drop_photo(self, minute: datetime, photo_id: str) -> None:
        """Remove the minute's photo if it still is that one and not stored; the minute is open again."""

        def drop(content: bytes | None) -> bytes | None:
            if read_photo(content).get("id") != photo_id or self.has_picture(minute):
                return content
            self.files.delete([file_name(minute, ".txt")])
            return None

        self.files.update(file_name(minute, ".json"), drop)

    def put_failure(self, minute: datetime, reason: str) -> None:
        """Keep why the minute failed, as `StoreImage: why`, with the time, unless it is stored by now."""
        line = f"{now_in_words()} {' '.join(reason.split())}\n".encode("utf-8", "replace")
        self.files.put(file_name(minute, ".error"), line, only_if=lambda: not self.has_picture(minute))

    def forget_failure(self, minute: datetime) -> None:
        """Remove the reason of the minute's failure, if there is one."""
        if self.files.size(file_name(minute, ".error")) is not None:
            self.files.delete([file_name(minute, ".error")])

    def failures(self, first: datetime, last: datetime) -> dict[datetime, Failure]:
        """Return when and why the minutes from the first to the last that have a failure failed last."""
        failed = self.minutes_with(".error", first, last)
        lines = ((self.content(minute, ".error") or b"").decode("utf-8", "replace") for minute in failed)
        return {minute: Failure(line[:20], line[21:].strip()) for minute, line in zip(failed, lines, strict=True)}

    def chosen(self, choice: str) -> dict[str, str]:
        """Return what the user chose, favourites (KEPT) or photos never to be given again (BANNED): ids by names of minutes."""
        return dict(self._choices(choice, self.files.get(choice)))

    def banned(self) -> set[str]:
        """Return the ids of the photos that are never to be given again."""
        return {photo_id for _, photo_id in self._choices(names.BANNED, self.files.get(names.BANNED))}

    def choose(self, choice: str, minute: str, photo_id: str | None) -> None:
        """Note the user's choice of the minute's photo; None takes back what was chosen of that minute."""

        def change(content: bytes | None) -> bytes:
            chosen = self._choices(choice, content)
            chosen = [*chosen, (minute, photo_id)] if photo_id else [each for each in chosen if each[0] != minute]
            return "".join(f"{name} {each}\n" for name, each in sorted(set(chosen))).encode("ascii")

        self.files.update(choice, change)

    def _choices(self, choice: str, content: bytes | None) -> list[tuple[str, str]]:
        """Return the lines of what the user chose: RootUnusable for what cannot be read, as none would undo every choice."""
        try:
            lines = [line.split() for line in (content or b"").decode("ascii").splitlines() if line.strip()]
            if content is None and self.files.size(choice) is not None:
                raise ValueError
            return [(minute, photo_id) for minute, photo_id in lines if minute_in(minute)]
        except (ValueError, BadSettings):
            raise RootUnusable(f"{self.files.path(choice)} cannot be read: a line is a minute and the id of a photo") from None

    def while_choices_stand(self) -> AbstractContextManager[None]:
        """Keep other runs from changing what the user chose."""
        return self.files.lock("")

    def publish_latest(self, minute: datetime, content: bytes) -> bool:
        """Make the minute's picture ROOT/latest.jpg if it is the newest that is not later than now; tell whether it is."""
        return self.files.put(names.LATEST, content, only_if=lambda: self.is_newest(minute))

    def remove_failing(self, minute: datetime, failing: Callable[[], tuple[list[str], str]]) -> tuple[bool, str]:
        """Remove the files whose suffixes `failing` returns while no run writes; return if there was a picture, and why."""
        with self.files.lock(f"{minute.date()}"):
            suffixes, reason = failing()
            had_picture = self.has_picture(minute)
            doomed = [file_name(minute, suffix) for suffix in suffixes]
            for name in doomed:
                if self.files.get(name) is None and self.files.size(name) is not None:
                    raise NameTaken(f"{self.files.path(name)}: what has this name is no file")
            self.files.delete([*doomed[:1], names.thumbnail_name(minute), *doomed[1:]] if doomed else [])
        return had_picture, reason

    def put_quota(self, quota: Quota | None) -> None:
        """Keep what the last answer of the API said of the quota."""
        if quota and quota != self._quota:
            self._quota = quota
            self.files.put(names.QUOTA, json.dumps(quota._replace(at=now_in_words())._asdict()).encode() + b"\n")

    def quota(self) -> Quota | None:
        """Return what is known of the quota of this hour: it is counted by the clock hour, so older figures say nothing."""
        try:
            kept = json.loads(self.files.get(names.QUOTA) or b"")
            is_of_this_hour = kept["at"][:13] == now_in_words()[:13]
            return Quota(int(kept["limit"]), int(kept["remaining"]), kept["at"]) if is_of_this_hour else None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None

    def warn_of_conditions(self) -> None:
        """Say in the log what is wrong with the conditions of a bucket's store."""
        if problem := self.conditions():
            log.logger.warning("%s: of two hosts that write a file at once, the last one wins", problem)

    def conditions(self) -> str:
        """Return what is wrong with the conditions of a bucket's store; nothing if all is well."""
        return self.files.conditions()

    def usage(self) -> dict[str, int] | None:
        """Return the total, used and free bytes of the disk; None where there is no such limit."""
        return self.files.usage()

    def page_file(self, name: str) -> bytes | None:
        """Return the content of a file of the web page; None if there is none."""
        return self.files.get(name)

    def put_page_file(self, name: str, content: bytes) -> None:
        """Store a file of the web page."""
        self.files.put(name, content)

    def update_page_file(self, name: str, change: Change) -> None:
        """Replace a file of the web page by what `change` returns for its content."""
        self.files.update(name, change)

    def try_out(self) -> None:
        """Write a file in ROOT as a run does, and remove it."""
        self.files.try_writing("check", 1)

    def remove(self, doomed: Iterable[str]) -> None:
        """Remove files by their names below ROOT."""
        self.files.delete(doomed)

    def is_outside(self, day: date) -> bool:
        """Tell whether a link leads from the day's folder, or that of its thumbnails, out of ROOT."""
        return any(self.files.is_outside(folder) for folder in (f"{day}", f"{day}/thumb"))

    def leftovers(self) -> dict[str, int]:
        """Return the sizes of what killed runs left, by its name below ROOT."""
        folders = ["", *(f"{day}{folder}" for day in self.days() for folder in ("", "/thumb") if not self.is_outside(day))]
        found = ((folder, self.files.sizes(folder, ".", "/")) for folder in folders)  # "/" comes after "."
        return {f"{folder}/{name}": sizes[name] for folder, sizes in found for name in sizes if names.is_leftover(name)}

    def remove_empty(self, day: date) -> None:
        """Remove the day's folders if they are empty."""
        for folder in (f"{day}/thumb", f"{day}"):
            self.files.remove_folder(folder)


@functools.lru_cache(maxsize=32)
def read_photo(content: bytes | None) -> Photo:
    """Return the photo that a metadata file holds; nothing if it cannot be read. A run looks at it several times."""
    try:
        photo: Photo = json.loads(content or b"")
        return photo if photo["id"] and photo["urls"].values() and photo["pipeline"]["credit"]["text"] else {}
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return {}
