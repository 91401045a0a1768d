"""Files as objects of an S3-compatible store.

A put takes its place whole or not at all, so nothing is written under another name first. S3 has no locks: a write is
conditional on the ETag that was read, and starts over if another run was first. The runs of one machine also take turns by a
lock of that machine, so that nothing of theirs is lost in a store that knows no conditions. See docs/scaling.md for what is
promised there.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from contextlib import AbstractContextManager

from luigi.contrib.s3 import S3Target

from pipeline.archive.disk import Change, Condition, locked
from pipeline.archive.names import LAST, temporary_name
from pipeline.archive.s3 import Object, Objects
from pipeline.errors import StorageFailed

TRIES = 20
# The object that says what the store does with conditions.
PROBE = "conditions"

_WITHOUT_CONDITIONS = {"ignored": "the store ignores conditions", "refused": "the store takes no conditions"}
_NEW = {"IfNoneMatch": "*"}


class BucketTarget(S3Target):
    """An object as Luigi's own target, which exists when the archive says so."""

    def __init__(self, path: str, is_complete: Condition) -> None:
        super().__init__(path)
        self._is_complete = is_complete

    def exists(self) -> bool:
        return self._is_complete()


class Bucket(Objects):
    """The objects below s3://BUCKET/PREFIX; each method promises what Disk's does."""

    _may_write = False

    def target(self, name: str, is_complete: Condition) -> BucketTarget:
        return BucketTarget(self.path(name), is_complete)

    def size(self, name: str) -> int | None:
        found = self.find(name)
        return found.size if found else None

    def sizes(self, folder: str, after: str = "", before: str = LAST, suffix: str = "") -> dict[str, int]:
        found = self.list(f"{folder}/", f"{folder}/{after}" if after else "")
        sizes = {os.path.basename(name): each.size for name, each in found.items() if each and name.endswith(suffix)}
        return {name: size for name, size in sizes.items() if name < before}

    def folders(self) -> list[str]:
        return [name.rstrip("/") for name, each in self.list("").items() if not each]

    def put(self, name: str, content: bytes, only_if: Condition | None = None) -> bool:
        if not only_if:
            return self.write(name, content, {})
        with self.lock(os.path.dirname(name)):
            for _ in range(TRIES):
                found = self.find(name)
                if not only_if():
                    return False
                if self.write(name, content, _unchanged(found)):
                    return True
        raise StorageFailed(f"{self.path(name)}: other runs were faster {TRIES} times")

    def update(self, name: str, change: Change) -> None:
        with self.lock(os.path.dirname(name)):
            for _ in range(TRIES):
                found = self.fetch(name)
                before = found.content if found else None
                content = change(before)
                if content == before or self.write(name, content, _unchanged(found)):
                    return
        raise StorageFailed(f"{self.path(name)}: other runs were faster {TRIES} times")

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            self.write(name, None, {})

    def lock(self, folder: str) -> AbstractContextManager[None]:
        """Take turns with the runs of this machine by a lock of its own."""
        user, place = getattr(os, "getuid", int)(), hashlib.sha256(self.path(folder).encode()).hexdigest()[:16]
        path = f"{tempfile.gettempdir()}/picture-a-minute-{user}-{place}.lock"
        return locked(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0))

    def usage(self) -> None:
        return None

    def is_outside(self, folder: str) -> bool:
        return False

    def remove_folder(self, folder: str) -> None:
        """There are no folders."""

    def try_writing(self, name: str, length: int) -> None:
        if not self._may_write:  # a bucket does not fill up: once a process, and those that it begins, is enough
            trial = os.path.join(os.path.dirname(name), temporary_name(os.path.basename(name)))
            self._may_write = self.write(trial, b"", {})
            self.delete([trial])

    def conditions(self) -> str:
        known = (self.get(PROBE) or b"").decode("ascii", "replace").strip()
        if not known:
            known = "kept"
            self.write(PROBE, b"kept\n", {})
            if self.write(PROBE, b"ignored\n", _NEW):
                known = "refused" if self.refuses_conditions else "ignored"
                self.write(PROBE, f"{known}\n".encode(), {})
        return _WITHOUT_CONDITIONS.get(known, "")


def _unchanged(found: Object | None) -> dict[str, str]:
    """Return the condition that the object is the one that was found, or as absent."""
    return {"IfMatch": found.etag} if found else _NEW
