"""Where a minute's files live, and how they are written so that they survive a kill and a power cut.

A file is written under another name in ROOT/.tmp, flushed to the disk, and renamed: under its own name it is whole or not
there. Whether it may still take its place is decided under a lock of its folder, so that the files of a minute speak of one
photo however many runs work on it. Where there are no such locks (Windows, some network mounts) the last of two runs at the
same moment wins, with a whole file; where a folder cannot be flushed (Windows) a power cut may take back the last rename.
"""

import contextlib
import errno
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from datetime import time as time_of_day
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import IO, Any, NamedTuple

import luigi

from pipeline.errors import PhotoGone, PhotoReplaced, RootUnusable, StorageFailed
from pipeline.minutes import MINUTE

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LITTER_SECONDS = 3600

_REPLACED = "another run gave the minute another photo meanwhile"

_NAMES = [f"{hour:02}{minute:02}" for hour in range(24) for minute in range(60)]
_MAY_PASS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBUSY)


class _Move(NamedTuple):
    """A written file, the path whose place it takes, and the condition that must hold then."""

    file: IO[bytes]
    path: Path
    only_if: Callable[[], bool]


class Store:
    """The files under one ROOT."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._is_swept = False

    def metadata(self, minute: datetime) -> "Metadata":
        """Return the minute's photo."""
        return Metadata(self, minute, ".json")

    def address(self, minute: datetime) -> "Address":
        """Return the address of the minute's picture."""
        return Address(self, minute, ".txt")

    def picture(self, minute: datetime) -> "StoredFile":
        """Return the minute's picture, as it was served."""
        return StoredFile(self, minute, ".jpg")

    def failure(self, minute: datetime) -> "StoredFile":
        """Return the time and reason of the minute's last failure, one line."""
        return StoredFile(self, minute, ".error")

    def forget_failure(self, minute: datetime) -> None:
        """Remove the minute's reason of a failure, if there is one."""
        with failing_clearly():
            Path(self.failure(minute).path).unlink(missing_ok=True)

    def reason(self, minute: datetime) -> str:
        """Return why the minute failed last, without the time; nothing if it did not."""
        try:
            return Path(self.failure(minute).path).read_text("utf-8", "replace").partition(" ")[2].strip()
        except OSError:
            return ""

    def stored_names(self, day: date) -> set[str]:
        """Return the day's minutes that have a picture, as `1205`."""
        try:
            with os.scandir(self.root / day.isoformat()) as entries:
                return {entry.name[:4] for entry in entries if entry.name[4:] == ".jpg" and _is_filled(entry)}
        except OSError:
            return set()

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
        pruned_before = self.pruned_before()
        days: dict[date, set[str]] = {}
        complete = []
        for minute in asked:
            day = minute.date()
            if day not in days:
                days[day] = self.stored_names(day)
            if minute < pruned_before or _NAMES[minute.hour * 60 + minute.minute] in days[day]:
                complete.append(minute)
        return complete

    def days(self) -> list[date]:
        """Return the days that have a folder, in order."""
        days = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self.root) as entries:
            for entry in entries:
                with contextlib.suppress(ValueError):
                    # fromisoformat reads other forms too, which are no folders of ours.
                    if (day := date.fromisoformat(entry.name)).isoformat() == entry.name and entry.is_dir():
                        days.append(day)
        return sorted(days)

    def oldest_minute(self) -> datetime | None:
        """Return the first minute that has a picture and was not to be let go."""
        for day in self.days():
            if day >= self.pruned_before().date():
                names = sorted(name[:4] for name in os.listdir(self.root / day.isoformat()) if name[4:] == ".jpg")
                for name in names:
                    with contextlib.suppress(ValueError):
                        minute = datetime.combine(day, datetime.strptime(name, "%H%M").time())
                        if self.picture(minute).exists():
                            return minute
        return None

    def pruned_before(self) -> datetime:
        """Return the minute before which pictures were let go: what is missing there stays missing."""
        path = self.root / "pruned-before"
        with failing_clearly():
            try:
                return datetime.fromisoformat(path.read_text("ascii").strip())
            except FileNotFoundError:
                return datetime.min
            except ValueError as error:
                raise RootUnusable(f"{path} names no day, such as 2026-11-23, before which pictures were let go") from error

    def is_open(self, minute: datetime) -> bool:
        """Tell whether the minute still wants a photo: none is filed for it, and it has no picture."""
        return not (self.picture(minute).exists() or self.metadata(minute).exists())

    def file_photos(self, photos: Mapping[datetime, Any]) -> None:
        """File each photo under its minute, unless the minute has one by now: the first answer wins."""
        with contextlib.ExitStack() as stack:
            moves = []
            for minute, photo in photos.items():
                file = stack.enter_context(self._temporary_file())
                file.write(json.dumps(photo).encode() + b"\n")
                moves.append(_Move(file, Path(self.metadata(minute).path), partial(self.is_open, minute)))
            for _, of_day in groupby(moves, key=lambda move: move.path.parent):
                _take_places(list(of_day))

    def given_photos(self, photo_ids: Collection[str], minute: datetime, days: int) -> set[str]:
        """Return those of the photos that were given to any minute within so many days of this one; none for 0 days."""
        asked, given = frozenset(photo_ids), set[str]()
        for distance in range(-days, days + 1) if days > 0 else ():
            day = minute.date() + timedelta(days=distance)
            with contextlib.suppress(OSError), open(f"{self.root}/{day}/given", encoding="ascii", errors="replace") as file:
                given |= asked.intersection(file.read().split())
        return given

    def note_given(self, photo_ids: Mapping[datetime, str]) -> None:
        """Remember which photo a minute was given, a line each in a file a day: looking back costs the same for ever."""
        for day, entries in groupby(photo_ids.items(), key=lambda entry: entry[0].date()):
            path = self.root / day.isoformat() / "given"
            with failing_clearly():
                before = path.read_bytes() if path.exists() else b""
            with self.replacing(path) as file:
                file.write(before + "".join(f"{minute:%H%M} {photo_id}\n" for minute, photo_id in entries).encode())

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
        metadata, address = self.metadata(minute), self.address(minute)
        with locked(Path(metadata.path).parent):
            if metadata.read().get("id") == photo_id and not self.picture(minute).exists():
                for file in (address, metadata):
                    Path(file.path).unlink(missing_ok=True)

    def publish_latest(self, minute: datetime) -> None:
        """Make the minute's picture ROOT/latest.jpg unless a later one is there: its file time says which minute it shows."""
        latest, shown = self.root / "latest.jpg", minute.replace(tzinfo=timezone.utc).timestamp()
        with locked(self.root):
            if not latest.exists() or latest.stat().st_mtime <= shown:
                with self._temporary_file() as file:
                    _link_or_copy(self.picture(minute).path, file.name)
                    os.replace(file.name, latest)
                os.utime(latest, (shown, shown))

    @contextlib.contextmanager
    def replacing(self, path: Path, only_if: Callable[[], bool] = lambda: True) -> Iterator[IO[bytes]]:
        """Lend a file that takes the path's place for good when the block ends well; PhotoReplaced unless `only_if` holds."""
        with self._temporary_file() as file:
            yield file
            if not _take_places([_Move(file, path, only_if)]):
                raise PhotoReplaced(_REPLACED)

    @contextlib.contextmanager
    def _temporary_file(self) -> Iterator[IO[bytes]]:
        """Lend a file that is gone afterwards unless it was renamed; the first one clears away what killed runs left."""
        folder = f"{self.root}/.tmp"
        path = f"{folder}/{os.urandom(8).hex()}"
        with failing_clearly():
            if not self._is_swept:
                _make_folder(Path(folder))
                _sweep(folder)
                self._is_swept = True
            try:
                with open(path, "x+b") as file:
                    yield file
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)


class StoredFile(luigi.LocalTarget):
    """A file of a minute; an empty one counts as absent."""

    def __init__(self, store: Store, minute: datetime, suffix: str) -> None:
        written = minute.isoformat()
        self.store = store
        super().__init__(f"{store.root}/{written[:10]}/{written[11:13]}{written[14:16]}{suffix}")

    def exists(self) -> bool:
        try:
            found = os.stat(self.path)
            return stat.S_ISREG(found.st_mode) and found.st_size > 0
        except OSError:
            return False

    def replacing(self, only_if: Callable[[], bool] = lambda: True) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Lend a file that takes this one's place, as Store.replacing does."""
        return self.store.replacing(Path(self.path), only_if)

    def write(self, text: str, only_if: Callable[[], bool] = lambda: True) -> None:
        """Replace the content, as Store.replacing does."""
        with self.replacing(only_if) as file:
            file.write(text.encode())


class Metadata(StoredFile):
    """A photo as the API gave it, and what this project knows of it under the key `pipeline`; unreadable counts as absent."""

    def exists(self) -> bool:
        return bool(self.read())

    def photo(self) -> dict[str, Any]:
        """Return the photo; PhotoReplaced if it is gone since the task was begun."""
        if not (photo := self.read()):
            raise PhotoReplaced(_REPLACED)
        return photo

    def read(self) -> dict[str, Any]:
        """Return the photo; nothing if there is none that can be read."""
        try:
            found = os.stat(self.path)
            return _photo(self.path, found.st_ino, found.st_mtime_ns)
        except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
            return {}


@lru_cache(maxsize=32)
def _photo(path: str, inode: int, changed: int) -> dict[str, Any]:
    """Return the photo in the file, kept in mind while the file is the same: a run looks at it nine times."""
    photo: dict[str, Any] = json.loads(Path(path).read_bytes())
    return photo if photo["id"] and photo["urls"].values() and photo["pipeline"]["credit"]["text"] else {}


class Address(StoredFile):
    """One line, the address of the picture; it counts as absent unless it is one of the minute's photo."""

    def __init__(self, store: Store, minute: datetime, suffix: str) -> None:
        super().__init__(store, minute, suffix)
        self._metadata = store.metadata(minute)

    def exists(self) -> bool:
        return bool(self.read())

    def line(self) -> str:
        """Return the address; PhotoReplaced if it is gone since the task was begun."""
        if not (line := self.read()):
            raise PhotoReplaced(_REPLACED)
        return line

    def read(self) -> str:
        """Return the address; nothing if there is none that can be read."""
        try:
            line = Path(self.path).read_text("ascii").rstrip("\n")
        except (OSError, ValueError):
            return ""
        return line if line and line in self._metadata.read().get("urls", {}).values() else ""


def _is_filled(entry: "os.DirEntry[str]") -> bool:
    return entry.is_file() and entry.stat().st_size > 0


def _take_places(moves: Sequence[_Move]) -> int:
    """Flush the files to the disk, give each its path, all of one folder, and return how many conditions held."""
    folder, taken = moves[0].path.parent, 0
    for move in moves:
        move.file.flush()
        os.fsync(move.file.fileno())
        move.file.close()
    with locked(folder):
        for move in moves:
            if move.only_if():
                os.replace(move.file.name, move.path)
                taken += 1
    _flush_folder(folder)
    return taken


@contextlib.contextmanager
def failing_clearly() -> Iterator[None]:
    """Turn the system's errors into StorageFailed where another try may help, and RootUnusable where none can."""
    try:
        yield
    except OSError as error:
        kind = StorageFailed if error.errno in _MAY_PASS else RootUnusable
        raise kind(f"{error.filename2 or error.filename or 'the disk'}: {error.strerror or error}") from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: for as long as it takes to decide and to rename, never while anything is waited for."""
    with failing_clearly():
        _make_folder(folder)
        if fcntl is None:
            yield
            return
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _make_folder(folder: Path) -> None:
    """Make the folder and those above it that are not there, so that they survive a power cut."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
        _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power cut. Windows has no way to ask for it."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _link_or_copy(source: str, target: str) -> None:
    """Give the file a second name in the target's place; where there are no hard links, copy it."""
    os.unlink(target)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _sweep(folder: str) -> None:
    """Remove what is older than any run can be."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.stat().st_mtime < time.time() - LITTER_SECONDS:
                    os.unlink(entry.path)
