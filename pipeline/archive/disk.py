"""Files on a disk, written so that they survive a kill and a power cut.

A file is written under another name beside its own, flushed to the disk, and renamed: under its own name it is whole or not
there. Whether it may take its place is decided under a lock of its folder, so that the files of a minute speak of one photo
however many runs work on it. Where there are no such locks (Windows, some network mounts) the last of two runs at the same
moment wins, with a whole file; where a folder cannot be flushed a power cut may take back the last rename.
"""

import contextlib
import errno
import functools
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import luigi

from pipeline import log
from pipeline.archive.names import LAST, is_leftover, temporary_name
from pipeline.errors import NameTaken, PipelineError, RootUnusable, StorageFailed

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_MAY_PASS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBUSY)
_IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY)
_CANNOT_FLUSH = (errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF)
# Without waiting, should somebody have put a pipe there.
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)

Change = Callable[[bytes | None], bytes | None]
Condition = Callable[[], bool]


class DiskTarget(luigi.LocalTarget):
    """A file as Luigi's own target, which exists when the archive says so."""

    def __init__(self, path: str, is_complete: Condition) -> None:
        super().__init__(path)
        self._is_complete = is_complete

    def exists(self) -> bool:
        return self._is_complete()


class Disk:
    """The files in a folder and those below it, by their names relative to it: `2026-11-23/1205.jpg`; "" is the folder itself.

    Every method raises StorageFailed where another try may help, and RootUnusable or NameTaken where none can.
    """

    def __init__(self, root: str, must_exist: str = "") -> None:
        self._root = str(Path(root))
        self._must_exist = must_exist
        self._swept: set[str] = set()
        self._check_existence()

    def path(self, name: str) -> str:
        """Return the file's path, or its address."""
        return f"{self._root}/{name}" if name else self._root

    def target(self, name: str, is_complete: Condition) -> DiskTarget:
        """Return the file as Luigi's target, which exists when it is complete."""
        return DiskTarget(self.path(name), is_complete)

    def size(self, name: str) -> int | None:
        """Return the size of the file in bytes, 0 for what is no file, None if nothing has the name."""
        path = self.path(name)
        try:
            found = os.stat(path)
        except OSError:
            return 0 if os.path.lexists(path) else None
        return found.st_size if stat.S_ISREG(found.st_mode) else 0

    def get(self, name: str) -> bytes | None:
        """Return the content of the file; None if there is none."""
        path = self.path(name)
        with _naming_errors(path), contextlib.suppress(FileNotFoundError):
            return Path(path).read_bytes() if os.path.isfile(path) else None  # a pipe would have it wait for a writer
        return None

    def sizes(self, folder: str, after: str = "", before: str = LAST, suffix: str = "") -> dict[str, int]:
        """Return the sizes of the files in the folder by their names there, of names between two that end so."""
        with (
            _naming_errors(),
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(self.path(folder)) as found,
        ):
            chosen = (each for each in found if after < each.name < before and each.name.endswith(suffix))
            return {each.name: size for each in chosen if (size := _size(each)) is not None}
        return {}

    def folders(self) -> list[str]:
        """Return the names of the folders in ROOT."""
        with _naming_errors(), contextlib.suppress(FileNotFoundError):
            return [name for name in os.listdir(self._root) if os.path.isdir(self.path(name))]
        return []

    def put(self, name: str, content: bytes, only_if: Condition | None = None) -> bool:
        """Give the file this content for good if `only_if` holds, asked while no other run writes it; tell whether it did."""
        folder = os.path.dirname(name)
        with self._temporary_file(name, content) as temporary:
            with self.lock(folder):
                if only_if and not only_if():
                    return False
                os.replace(temporary, self.path(name))
            _flush(self.path(folder))
        return True

    def update(self, name: str, change: Change) -> None:
        """Replace the file's content by what `change` returns for it, while no other run writes it; None is no file.

        `change` may be called more than once, and only its last call counts.
        """
        folder = os.path.dirname(name)
        with self.lock(folder):
            before = self.get(name)
            content = change(before)
            if content is None:
                self.delete([name])
            elif content != before:
                with self._temporary_file(name, content) as temporary:
                    os.replace(temporary, self.path(name))
                _flush(self.path(folder))

    def delete(self, names: Iterable[str]) -> None:
        """Remove the files, in this order, as far as they are there."""
        with _naming_errors():
            for name in names:
                Path(self.path(name)).unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self, folder: str) -> Iterator[None]:
        """Keep the other runs of this machine, on a disk of all machines, from what they do under the folder's lock."""
        self._check_existence()
        with _naming_errors():
            _make_folder(self.path(folder))
            with locked(self.path(folder), _FOLDER):
                yield

    def usage(self) -> dict[str, int] | None:
        """Return the total, used and free bytes of the disk; None where there is no such limit."""
        path = Path(self._root).absolute()
        with _naming_errors():
            return shutil.disk_usage(next(each for each in (path, *path.parents) if os.path.lexists(each)))._asdict()

    def is_outside(self, folder: str) -> bool:
        """Tell whether the folder is a link that leads out of ROOT."""
        return not Path(self.path(folder)).resolve().is_relative_to(Path(self._root).resolve())

    def remove_folder(self, folder: str) -> None:
        """Remove the folder if it is empty."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path(folder))

    def try_writing(self, name: str, length: int) -> None:
        """Write so many bytes beside the file, for good, and remove them; raise what a file there would meet."""
        trial = os.path.join(os.path.dirname(name), temporary_name(os.path.basename(name)))
        try:
            self.put(trial, os.urandom(length))
        finally:
            self.delete([trial])

    def conditions(self) -> str:
        """Return what is wrong with the conditions of the store, on which several machines rely; nothing if all is well."""
        return ""

    @contextlib.contextmanager
    def _temporary_file(self, name: str, content: bytes) -> Iterator[str]:
        """Write the content under a name of its own, for good, and lend that name; what was not renamed is removed."""
        folder, own_name = os.path.split(name)
        temporary = self.path(os.path.join(folder, temporary_name(own_name)))
        with _naming_errors(self.path(name)):
            self._check_existence()
            _make_folder(self.path(folder))
            self._sweep(folder)
            try:
                with open(temporary, "xb") as file:  # buffered: a bare write() may write a part, and say nothing
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                yield temporary
            finally:
                Path(temporary).unlink(missing_ok=True)

    def _check_existence(self) -> None:
        if self._must_exist and not os.path.isdir(self._must_exist):
            raise RootUnusable(f"[storage] must_exist: there is no folder {self._must_exist}: is its disk mounted?")

    def _sweep(self, folder: str) -> None:
        """Remove what killed runs left in the folder, once a process; what cannot be removed stops nothing."""
        if folder not in self._swept:
            self._swept.add(folder)
            for each in filter(is_leftover, os.listdir(self.path(folder))):
                with contextlib.suppress(PipelineError):
                    self.delete([os.path.join(folder, each)])


def _size(found: os.DirEntry[str]) -> int | None:
    """Return the size of a file; None of a folder, say, and of what was removed meanwhile."""
    with contextlib.suppress(OSError):
        return found.stat().st_size if found.is_file() else None
    return None


@contextlib.contextmanager
def _naming_errors(path: str = "") -> Iterator[None]:
    """Raise the system's errors as StorageFailed where another try may help, and by what they mean where none can."""
    try:
        yield
    except OSError as error:
        kind = StorageFailed if error.errno in _MAY_PASS else NameTaken if error.errno in _IN_THE_WAY else RootUnusable
        raise kind(f"{path or error.filename2 or error.filename or 'the disk'}: {error.strerror or error}") from error


@contextlib.contextmanager
def locked(path: str, flags: int) -> Iterator[None]:
    """Hold a lock of what is there: as long as it takes to decide and to rename, never while anything is waited for."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(path, flags, 0o600)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _flush(folder: str) -> None:
    """Make a rename in the folder survive a power cut. Windows has no way to ask for it, nor have some file systems."""
    if fcntl is None:
        return
    descriptor = os.open(folder, _FOLDER)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
        _warn_of_no_flush()
    finally:
        os.close(descriptor)


@functools.cache
def _warn_of_no_flush() -> None:
    log.logger.warning("this file system cannot flush a folder: a power cut may take back the last files, each whole")


def _make_folder(folder: str) -> None:
    """Make the folder and those above it that are not there, so that they survive a power cut."""
    if not os.path.isdir(folder):
        above = os.path.dirname(folder) or "."
        _make_folder(above)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
        _flush(above)
