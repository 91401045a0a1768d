"""What the files of a minute mean, and when one may take another's place; where they lie is the disk's or the bucket's part."""

import contextlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from datetime import time as time_of_day
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

from luigi.target import FileSystemTarget

from pipeline import log
from pipeline.disk import Disk
from pipeline.errors import PhotoGone, PhotoReplaced, PipelineError, RootUnusable
from pipeline.minutes import MINUTE

_NAMES = [f"{hour:02}{minute:02}" for hour in range(24) for minute in range(60)]
_PICTURE = re.compile(r"([01]\d|2[0-3])[0-5]\d\.jpg", re.ASCII)

Result = TypeVar("Result")
Kind = TypeVar("Kind", bound="StoredFile")


class Files(Protocol):
    """Files below a ROOT, wherever that is, by their names relative to it: `2026-11-23/1205.jpg`; "" is ROOT itself.

    StorageFailed where another try may help, RootUnusable where none can.
    """

    @property
    def target(self) -> type[FileSystemTarget]:
        """Return the class of Luigi's targets for such files."""

    @property
    def target_options(self) -> Mapping[str, Any]:
        """Return what that class wants to know besides the path."""

    def path(self, name: str) -> str:
        """Return the file's path, or its address."""

    def local_path(self, name: str) -> Path:
        """Return the file's path on this machine; RootUnusable if it has none."""

    def size(self, name: str) -> int | None:
        """Return the size of the file in bytes, 0 for what is no file, None if nothing has the name."""

    def read(self, name: str) -> bytes:
        """Return what is in the file; nothing if there is none, or none that may be read."""

    def read_surely(self, name: str) -> bytes | None:
        """Return what is in the file; None if there is none."""

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return what is in each of the files, as `read` does."""

    def opened(self, name: str) -> contextlib.AbstractContextManager[IO[bytes] | None]:
        """Lend the file to read; None if there is none."""

    def folders(self) -> list[str]:
        """Return the names of the folders in ROOT."""

    def listing(self, folder: str, after: str = "") -> Mapping[str, int]:
        """Return the sizes of the files in the folder by their names in it, of those that come after a name."""

    def listing_below(self, folder: str) -> Mapping[str, int]:
        """Return the sizes of the files in the folder and in those below it, by their names relative to it."""

    def exclusively(self, folder: str, work: Callable[[], Result]) -> Result:
        """Do what reads files of the folder and then writes them, as if no other run wrote there meanwhile.

        The work may be done more than once, and only its last time counts.
        """

    def replace(self, contents: Mapping[str, bytes], which: Callable[[Collection[str]], Collection[str]]) -> int:
        """Give the files new contents, for good, and return how many got them.

        `which` returns those of the names that may be replaced; it is asked for each folder, exclusively.
        """

    def replacing(self, name: str, only_if: Callable[[], bool]) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Lend a file that takes the name for good when the block ends well; PhotoReplaced unless `only_if` holds."""

    def flushed_together(self) -> contextlib.AbstractContextManager[None]:
        """Have what the block writes survive a power cut from its end on; until then a file is whole or not there."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove the files, in this order, as far as they are there."""

    def show(self, source: str, target: str, moment: datetime) -> None:
        """Give a copy of the source the target's name unless that shows a later moment."""

    def usage(self) -> dict[str, int] | None:
        """Return the total, used and free bytes of the disk; None where there is no such limit."""

    def litter(self) -> Mapping[str, int]:
        """Return the sizes of the leftovers of killed runs by their names."""

    def remove_empty(self, folder: str, at_once: bool) -> None:
        """Remove the folder if it is empty; unless `at_once`, only if no run can have made it just now."""


class Store:
    """The files under one ROOT: a folder, or `s3://BUCKET/PREFIX`."""

    def __init__(self, root: str | Path) -> None:
        self.files = _files(str(root))
        self._waiting: dict[str, tuple[bytes, Callable[[], bool]]] | None = None

    def metadata(self, minute: datetime) -> "Metadata":
        """Return the minute's photo."""
        return self._file(Metadata, minute, ".json")

    def address(self, minute: datetime) -> "Address":
        """Return the address of the minute's picture."""
        return self._file(Address, minute, ".txt")

    def picture(self, minute: datetime) -> "StoredFile":
        """Return the minute's picture, as it was served."""
        return self._file(StoredFile, minute, ".jpg")

    def failure(self, minute: datetime) -> "StoredFile":
        """Return the time and reason of the minute's last failure, one line."""
        return self._file(StoredFile, minute, ".error")

    def _file(self, kind: Callable[..., Kind], minute: datetime, suffix: str) -> Kind:
        file: Kind = _target_class(kind, self.files.target)(self, minute, suffix)
        return file

    def keep_failure(self, minute: datetime, reason: str) -> None:
        """Keep why the minute failed, as `StoreImage: why`, with the time; PhotoReplaced if it is stored by now."""
        line = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} {' '.join(reason.split())}\n"
        self.failure(minute).write(line, only_if=lambda: not self.picture(minute).exists())

    def forget_failure(self, minute: datetime) -> None:
        """Remove the minute's reason of a failure, if there is one."""
        self.files.remove([_name(minute, ".error")])

    def reason(self, minute: datetime) -> str:
        """Return why the minute failed last, without the time; nothing if it did not."""
        return _reason(self.files.read(_name(minute, ".error")))

    def failed(self, minutes: Sequence[datetime]) -> list[datetime]:
        """Return those of the minutes that have a reason of a failure."""
        return self._listed(minutes, ".error")

    def reasons(self, minutes: Sequence[datetime]) -> dict[datetime, str]:
        """Return the reason of each of the minutes that failed."""
        failed = {minute: _name(minute, ".error") for minute in self.failed(minutes)}
        contents = self.files.read_many(failed.values())
        return {minute: _reason(contents[name]) for minute, name in failed.items()}

    def photos(self, minutes: Iterable[datetime]) -> dict[datetime, dict[str, Any]]:
        """Return each minute's photo; nothing where there is none that can be read."""
        names = {minute: _name(minute, ".json") for minute in minutes}
        contents = self.files.read_many(names.values())
        return {minute: _readable_photo(contents[name]) for minute, name in names.items()}

    def filed(self, minutes: Sequence[datetime]) -> list[datetime]:
        """Return those of the minutes that have a photo."""
        return [minute for minute, photo in self.photos(self._listed(minutes, ".json")).items() if photo]

    def stored(self, minutes: Sequence[datetime]) -> list[datetime]:
        """Return those of the minutes that have a picture."""
        return self._listed(minutes, ".jpg")

    def _listed(self, minutes: Sequence[datetime], suffix: str) -> list[datetime]:
        """Return those of the minutes that have such a file, by one listing a day."""
        found: list[datetime] = []
        for day, of_day in groupby(sorted(minutes), key=datetime.date):
            first, *others = of_day
            sizes = self.files.listing(day.isoformat(), after=f"{first:%H%M}")
            found += [minute for minute in (first, *others) if sizes.get(f"{minute:%H%M}{suffix}")]
        return found

    def stored_names(self, day: date) -> set[str]:
        """Return the day's minutes that have a picture, as `1205`."""
        sizes = self.files.listing(day.isoformat())
        return {name[:4] for name in sizes if name[4:] == ".jpg" and sizes[name]}

    def missing_minutes(self, start: datetime, stop: datetime) -> list[datetime]:
        """Return the minutes from start to before stop that have no picture: one listing a day, however many there are."""
        start, missing = max(start, self.pruned_before()), []
        for day in range((stop - start).days + 2):
            midnight = datetime.combine(start.date(), time_of_day.min) + timedelta(days=day)
            if midnight < stop:
                stored = self.stored_names(midnight.date())
                first, last = max(start, midnight), min(stop, midnight + timedelta(days=1))
                begin, end = (first - midnight) // MINUTE, -((midnight - last) // MINUTE)
                missing += [midnight + number * MINUTE for number in range(begin, end) if _NAMES[number] not in stored]
        return missing

    def complete(self, asked: Iterable[datetime]) -> list[datetime]:
        """Return those of the minutes that have a picture, or had one before it was let go."""
        minutes, pruned_before = list(asked), self.pruned_before()
        stored = set(self.stored(minutes))
        return [minute for minute in minutes if minute < pruned_before or minute in stored]

    def days(self) -> list[date]:
        """Return the days that have a folder, in order."""
        days = []
        for name in self.files.folders():
            with contextlib.suppress(ValueError):
                # fromisoformat reads other forms too, which are no folders of ours.
                if (day := date.fromisoformat(name)).isoformat() == name:
                    days.append(day)
        return sorted(days)

    def oldest_minute(self) -> datetime | None:
        """Return the first minute that has a picture and was not to be let go."""
        for day in self.days():
            if day >= self.pruned_before().date() and (minute := next(self._pictures(day), None)):
                return minute
        return None

    def newest_minute(self, after: datetime = datetime.max) -> datetime | None:
        """Return the last minute that has a picture; one that is expected `after` some minute is looked for there first."""
        for day in reversed(self.days()):
            for start in (f"{after:%H%M}", "") if day == after.date() else ("",):
                if minute := next(self._pictures(day, start, newest_first=True), None):
                    return minute
        return None

    def _pictures(self, day: date, after: str = "", newest_first: bool = False) -> Iterator[datetime]:
        """Give the day's minutes that have a picture, in order."""
        sizes = self.files.listing(day.isoformat(), after)
        for name in sorted((name for name in sizes if _PICTURE.fullmatch(name)), reverse=newest_first):
            if sizes[name]:
                yield datetime.combine(day, time_of_day(int(name[:2]), int(name[2:4])))

    def pruned_before(self) -> datetime:
        """Return the minute before which pictures were let go: what is missing there stays missing."""
        content = self.files.read_surely("pruned-before")
        if content is None:
            return datetime.min
        try:
            return datetime.fromisoformat(content.decode("ascii").strip())
        except ValueError as error:
            path = self.files.path("pruned-before")
            raise RootUnusable(f"{path} names no day, such as 2026-11-23, before which pictures were let go") from error

    def open_minutes(self, asked: Iterable[datetime]) -> Iterator[datetime]:
        """Give those of the minutes that still want a photo: none is filed for them, and they have no picture."""
        for day, of_day in groupby(asked, key=datetime.date):
            sizes: Mapping[str, int] | None = None
            for minute in of_day:
                name = f"{minute:%H%M}"
                if sizes is None:
                    sizes = self.files.listing(day.isoformat(), after=name)
                if not (sizes.get(f"{name}.jpg") or (sizes.get(f"{name}.json") and self.metadata(minute).exists())):
                    yield minute

    def file_photos(self, photos: Mapping[datetime, Any]) -> None:
        """File each photo under its minute, unless the minute has one by now: the first answer wins."""
        minutes = {_name(minute, ".json"): minute for minute in sorted(photos)}

        def still_open(names: Collection[str]) -> list[str]:
            return [_name(minute, ".json") for minute in self.open_minutes(minutes[name] for name in names)]

        contents = {name: json.dumps(photos[minute]).encode() + b"\n" for name, minute in minutes.items()}
        self.files.replace(contents, still_open)

    def given_photos(self, photo_ids: Collection[str], minute: datetime, days: int) -> set[str]:
        """Return those of the photos that were given to any minute within so many days of this one; none for 0 days."""
        near = {str(minute.date() + timedelta(days=distance)) for distance in range(-days, days + 1)} if days > 0 else set()
        contents = self.files.read_many(f"{day}/given" for day in self.files.folders() if day in near)
        asked = frozenset(photo_ids)
        return {
            each for content in contents.values() for each in asked.intersection(content.decode("ascii", "replace").split())
        }

    def note_given(self, photo_ids: Mapping[datetime, str]) -> None:
        """Remember which photo a minute was given, a line each in a file a day: looking back costs the same for ever."""
        for day, entries in groupby(photo_ids.items(), key=lambda entry: entry[0].date()):
            name = f"{day.isoformat()}/given"
            before = self.files.read_surely(name) or b""
            self.write(name, before + "".join(f"{minute:%H%M} {photo_id}\n" for minute, photo_id in entries).encode())

    @contextlib.contextmanager
    def dropping_if_gone(self, minute: datetime, photo: Mapping[str, Any]) -> Iterator[None]:
        """Drop the minute's photo if the block finds that it cannot be had."""
        try:
            yield
        except PhotoGone:
            self.drop_photo(minute, photo["id"])
            raise

    def drop_photo(self, minute: datetime, photo_id: str) -> None:
        """Remove the minute's photo if it still is that one and not stored; the minute is open again."""

        def drop() -> None:
            if self.metadata(minute).read().get("id") == photo_id and not self.picture(minute).exists():
                self.files.remove([_name(minute, ".txt"), _name(minute, ".json")])

        self.files.exclusively(minute.date().isoformat(), drop)

    def publish_latest(self, minute: datetime) -> None:
        """Make the minute's picture ROOT/latest.jpg unless a later one is there."""
        self.files.show(_name(minute, ".jpg"), "latest.jpg", minute)

    def replacing(self, name: str, only_if: Callable[[], bool] = lambda: True) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Lend a file that takes the name for good when the block ends well; PhotoReplaced unless `only_if` holds."""
        return self.files.replacing(name, only_if)

    def write(self, name: str, content: bytes, only_if: Callable[[], bool] = lambda: True) -> None:
        """Give the file this content for good; PhotoReplaced unless `only_if` holds."""
        if not self.files.replace({name: content}, lambda names: names if only_if() else ()):
            raise PhotoReplaced

    def write_soon(self, name: str, content: bytes, only_if: Callable[[], bool] = lambda: True) -> None:
        """Do what `write` does, or leave it to the block of `written_together`, where what may not have its name is let go."""
        if self._waiting is None:
            self.write(name, content, only_if)
        else:
            self._waiting[name] = content, only_if

    @property
    def is_writing_together(self) -> bool:
        """Tell whether a block of `written_together` is open."""
        return self._waiting is not None

    @contextlib.contextmanager
    def written_together(self) -> Iterator[Callable[[], None]]:
        """Have many files wait for the disk once: what `write_soon` was given is written when the block ends.

        What cannot be written then is said in the log. Lends a function that writes at once what waits, or raises.
        """
        waiting = self._waiting = dict[str, tuple[bytes, Callable[[], bool]]]()

        def write_waiting() -> None:
            held = dict(waiting)
            waiting.clear()
            if held:
                contents = {name: content for name, (content, _) in held.items()}
                self.files.replace(contents, lambda names: [name for name in names if held[name][1]()])

        with self.files.flushed_together():
            try:
                yield write_waiting
            finally:
                self._waiting = None
                try:
                    write_waiting()
                except PipelineError as error:
                    log.logger.warning("%s", error)


class StoredFile(FileSystemTarget):
    """A file of a minute; an empty one counts as absent."""

    def __init__(self, store: Store, minute: datetime, suffix: str) -> None:
        self.store = store
        self.name = _name(minute, suffix)
        super().__init__(store.files.path(self.name), **store.files.target_options)

    def exists(self) -> bool:
        return bool(self.store.files.size(self.name))

    def replacing(self, only_if: Callable[[], bool] = lambda: True) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Lend a file that takes this one's place, as Store.replacing does."""
        return self.store.replacing(self.name, only_if)

    def write(self, text: str, only_if: Callable[[], bool] = lambda: True) -> None:
        """Replace the content, as Store.write does."""
        self.store.write(self.name, text.encode(), only_if)


class Metadata(StoredFile):
    """A photo as the API gave it, and what this project knows of it under the key `pipeline`; unreadable counts as absent."""

    def exists(self) -> bool:
        return bool(self.read())

    def photo(self) -> dict[str, Any]:
        """Return the photo; PhotoReplaced if it is gone since the task was begun."""
        if not (photo := self.read()):
            raise PhotoReplaced
        return photo

    def read(self) -> dict[str, Any]:
        """Return the photo; nothing if there is none that can be read."""
        return _readable_photo(self.store.files.read(self.name))


class Address(StoredFile):
    """One line, the address of the picture; it counts as absent unless it is one of the minute's photo."""

    def __init__(self, store: Store, minute: datetime, suffix: str) -> None:
        super().__init__(store, minute, suffix)
        self._metadata = store.metadata(minute)

    def exists(self) -> bool:
        return bool(self.read())

    def write(self, text: str, only_if: Callable[[], bool] = lambda: True) -> None:
        """Replace the content, as Store.write_soon does."""
        self.store.write_soon(self.name, text.encode(), only_if)

    def line(self) -> str:
        """Return the address; PhotoReplaced if it is gone since the task was begun."""
        if not (line := self.read()):
            raise PhotoReplaced
        return line

    def read(self) -> str:
        """Return the address; nothing if there is none that can be read."""
        try:
            line = self.store.files.read(self.name).decode("ascii").rstrip("\n")
        except ValueError:
            return ""
        return line if line and line in self._metadata.read().get("urls", {}).values() else ""


def _files(root: str) -> Files:
    if not root.startswith("s3:"):  # one slash short is no folder
        return Disk(root)
    try:
        from pipeline.bucket import Bucket
    except ModuleNotFoundError:
        raise RootUnusable("[storage] root is on S3, which needs boto3: pip install '.[s3]'") from None
    return Bucket(root)


@cache
def _target_class(kind: Any, target: type[FileSystemTarget]) -> Any:
    """Return the kind of file as one of Luigi's own targets, for a disk or for a bucket."""
    return type(kind.__name__, (kind, target), {})


def _name(minute: datetime, suffix: str) -> str:
    written = minute.isoformat()
    return f"{written[:10]}/{written[11:13]}{written[14:16]}{suffix}"


def _reason(content: bytes) -> str:
    return content.decode("utf-8", "replace").partition(" ")[2].strip()


def _readable_photo(content: bytes) -> dict[str, Any]:
    try:
        return _photo(content)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return {}


@lru_cache(maxsize=32)
def _photo(content: bytes) -> dict[str, Any]:
    """Return the photo, kept in mind: a run looks at it nine times."""
    photo: dict[str, Any] = json.loads(content)
    return photo if photo["id"] and photo["urls"].values() and photo["pipeline"]["credit"]["text"] else {}
