"""Files on a disk, written so that they survive a kill and a power cut.

A file is written under another name in ROOT/.tmp, flushed to the disk, and renamed: under its own name it is whole or not
there. Whether it may still take its place is decided under a lock of its folder, so that the files of a minute speak of one
photo however many runs work on it. Where there are no such locks (Windows, some network mounts) the last of two runs at the
same moment wins, with a whole file; where a folder cannot be flushed (Windows) a power cut may take back the last rename.
"""

import contextlib
import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path
from typing import IO, Any, TypeVar

import luigi

from pipeline.errors import PhotoReplaced, RootUnusable, StorageFailed

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LITTER_SECONDS = 3600

# Most pictures fit in: they are written, and read again to be checked, by a call of the system each.
_BUFFER_BYTES = 2**18

_MAY_PASS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBUSY)

Result = TypeVar("Result")


class Disk:
    """The files in a folder and those below it; see pipeline.storage.Files for what each method promises."""

    target = luigi.LocalTarget
    target_options: Mapping[str, Any] = {}

    def __init__(self, root: str) -> None:
        self._root = str(Path(root))
        self._is_swept = False
        self._unflushed: set[str] | None = None

    def path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def local_path(self, name: str) -> Path:
        return Path(self.path(name))

    def size(self, name: str) -> int | None:
        path = self.path(name)
        try:
            return _size(os.stat(path))
        except OSError:
            return 0 if os.path.lexists(path) else None

    def read(self, name: str) -> bytes:
        try:
            with open(self.path(name), "rb", buffering=0) as file:
                return file.read()
        except OSError:
            return b""

    def read_surely(self, name: str) -> bytes | None:
        with failing_clearly(), contextlib.suppress(FileNotFoundError), open(self.path(name), "rb") as file:
            return file.read()
        return None

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        return {name: self.read(name) for name in names}

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes] | None]:
        with failing_clearly(), contextlib.ExitStack() as stack:
            file = None
            with contextlib.suppress(FileNotFoundError):
                file = stack.enter_context(open(self.path(name), "rb", _BUFFER_BYTES))
            yield file

    def folders(self) -> list[str]:
        with failing_clearly(), contextlib.suppress(FileNotFoundError), os.scandir(self._root) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
        return []

    def listing(self, folder: str, after: str = "") -> Mapping[str, int]:
        path = self.path(folder)
        with failing_clearly(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return _Sizes(path, [name for name in os.listdir(path) if name > after])
        return {}

    def listing_below(self, folder: str) -> Mapping[str, int]:
        top, names = self.path(folder), []
        for path, _, found in os.walk(top):
            below = path[len(top) + 1 :]
            names += [f"{below}/{name}" if below else name for name in sorted(found)]
        return _Sizes(top, names)

    def exclusively(self, folder: str, work: Callable[[], Result]) -> Result:
        with locked(self.path(folder)):
            return work()

    def replace(self, contents: Mapping[str, bytes], which: Callable[[Collection[str]], Collection[str]]) -> int:
        with self._temporary_files(contents) as files:
            for name, content in contents.items():
                files[name].write(content)
            return self._take_places(files, which)

    @contextlib.contextmanager
    def replacing(self, name: str, only_if: Callable[[], bool]) -> Iterator[IO[bytes]]:
        with self._temporary_files([name], _BUFFER_BYTES) as files:
            yield files[name]
            if not self._take_places(files, lambda names: names if only_if() else ()):
                raise PhotoReplaced

    @contextlib.contextmanager
    def flushed_together(self) -> Iterator[None]:
        folders = self._unflushed = set()
        try:
            yield
        finally:
            self._unflushed = None
            with contextlib.ExitStack() as stack:  # each of them, though another fails
                for folder in folders:
                    stack.callback(_flush_folder_if_there, folder)

    def remove(self, names: Iterable[str]) -> None:
        with failing_clearly():
            for name in names:
                _remove_if_there(self.path(name))

    def show(self, source: str, target: str, moment: datetime) -> None:
        """The target's file time says which moment it shows."""
        path, shown = self.path(target), moment.replace(tzinfo=timezone.utc).timestamp()
        with locked(os.path.dirname(path)):
            if not os.path.exists(path) or os.stat(path).st_mtime <= shown:
                with self._temporary_files([target]) as files:
                    _link_or_copy(self.path(source), files[target].name)
                    os.replace(files[target].name, path)
                os.utime(path, (shown, shown))

    def usage(self) -> dict[str, int] | None:
        with failing_clearly():
            usage = shutil.disk_usage(_existing(self.local_path("").absolute()))
        return {"total": usage.total, "used": usage.used, "free": usage.free}

    def litter(self) -> Mapping[str, int]:
        folder = self.path(".tmp")
        names = (path.name for path in Path(folder).glob("*") if _is_older_than_any_run(path))
        return {f".tmp/{name}": size for name, size in _Sizes(folder, sorted(names)).items()}

    def remove_empty(self, folder: str, at_once: bool) -> None:
        path = self.local_path(folder)
        # A fresh one may be that of a run that is about to put its first file there.
        with contextlib.suppress(OSError):
            if at_once or _is_older_than_any_run(path):
                path.rmdir()

    def _take_places(self, files: dict[str, IO[bytes]], which: Callable[[Collection[str]], Collection[str]]) -> int:
        """Flush the files to the disk, take out those that may have their names, give them these, and count them."""
        for file in files.values():
            file.flush()
            if len(files) > 1 and hasattr(os, "posix_fadvise"):
                # Begins to write, so that all are on their way when the first is waited for.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for file in files.values():
            os.fsync(file.fileno())
            file.close()
        taken = 0
        for folder, group in groupby(list(files), key=os.path.dirname):
            with locked(self.path(folder)):
                names = which(list(group))
                for name in names:
                    os.replace(files[name].name, self.path(name))
                    del files[name]
            taken += len(names)
            if self._unflushed is None:
                _flush_folder(self.path(folder))
            else:
                self._unflushed.add(self.path(folder))
        return taken

    @contextlib.contextmanager
    def _temporary_files(self, names: Iterable[str], buffer_bytes: int = -1) -> Iterator[dict[str, IO[bytes]]]:
        """Lend a file for each of the names, gone afterwards unless it was renamed; the first call clears away litter."""
        folder = self.path(".tmp")
        files: dict[str, IO[bytes]] = {}
        with failing_clearly():
            if not self._is_swept:
                _make_folder(folder)
                _sweep(folder)
                self._is_swept = True
            try:
                with contextlib.ExitStack() as stack:
                    for name in names:
                        path = f"{folder}/{os.urandom(8).hex()}"
                        files[name] = stack.enter_context(open(path, "x+b", buffer_bytes))
                    yield files
            finally:
                for file in files.values():  # those that were not renamed
                    _remove_if_there(file.name)


class _Sizes(Mapping[str, int]):
    """The sizes of a folder's files by their names, looked up when they are asked for; 0 of what is no file any more."""

    def __init__(self, folder: str, names: Collection[str]) -> None:
        self._folder = folder
        self._names = dict.fromkeys(names)

    def __getitem__(self, name: str) -> int:
        self._names[name]
        try:
            return _size(os.stat(f"{self._folder}/{name}"))
        except OSError:
            return 0

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _size(found: os.stat_result) -> int:
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


@contextlib.contextmanager
def failing_clearly() -> Iterator[None]:
    """Turn the system's errors into StorageFailed where another try may help, and RootUnusable where none can."""
    try:
        yield
    except OSError as error:
        kind = StorageFailed if error.errno in _MAY_PASS else RootUnusable
        raise kind(f"{error.filename2 or error.filename or 'the disk'}: {error.strerror or error}") from error


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
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


def _make_folder(folder: str) -> None:
    """Make the folder and those above it that are not there, so that they survive a power cut."""
    if not os.path.isdir(folder):
        above = os.path.dirname(folder) or "."
        _make_folder(above)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
        _flush_folder(above)


def _flush_folder(folder: str) -> None:
    """Make a rename in the folder survive a power cut. Windows has no way to ask for it."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _flush_folder_if_there(folder: str) -> None:
    with failing_clearly(), contextlib.suppress(FileNotFoundError):  # it may be pruned meanwhile
        _flush_folder(folder)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return folder if folder.exists() else _existing(folder.parent)


def _remove_if_there(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


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


def _is_older_than_any_run(path: Path) -> bool:
    try:
        return path.stat().st_mtime < time.time() - LITTER_SECONDS
    except FileNotFoundError:
        return False
