"""Files as objects of an S3-compatible store, by the client of Luigi's S3 target.

A put takes its place whole or not at all, so nothing is written under another name first. There are no locks: what is read
where a lock would be held is read anew, and what is put there is put on the condition that nobody has written it since; if
somebody has, it is all done again. A store that knows no such conditions says so, and is written without them: see
docs/scaling.md for what is promised then.

Luigi's own exists() asks twice, for an object and for a folder of that name, and its put knows no conditions: for these and for
listings with sizes its boto3 client is used directly.
"""

import base64
import contextlib
import hashlib
import io
import os
import re
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as NoConnection
from luigi.contrib.s3 import S3Client, S3Target

from pipeline.disk import failing_clearly
from pipeline.errors import BadSettings, PhotoReplaced, RootUnusable, StorageFailed

# As many requests at once do not use up botocore's allowance of tries while a store is away.
THREADS = 10
CONNECT_SECONDS = 10
READ_SECONDS = 20
# botocore's waits between them are drawn from 0 to 1, 2, 4, 8, 16, 20, 20, … seconds: together some 65.
ATTEMPTS = 11
BODY_TRIES = 3
TRIES = 20
MOST_REMOVED_AT_ONCE = 1000
REMEMBERED_SECONDS = 10
REMEMBERED_BYTES = 16 * 2**20

_CONTENT_TYPES = {".jpg": "image/jpeg", ".json": "application/json", ".html": "text/html; charset=utf-8"}
_PLAIN_TEXT = "text/plain; charset=utf-8"
# A bare 400 is no word of S3: nginx answers so what follows a put that it refused before its body came.
_MAY_PASS = ("400", "BadDigest", "RequestTimeout", "SlowDown", "Throttling", "TooManyRequests")
# botocore's errors name the endpoint as it was given.
_CREDENTIALS = re.compile(r"//[^/\s]*@")
_ABSENT = ("404", "NoSuchKey")
_OVERTAKEN = ("409", "412", "ConditionalRequestConflict", "PreconditionFailed", *_ABSENT)
_REASONS = {
    "403": "access is denied",
    "AccessDenied": "access is denied",
    "InvalidAccessKeyId": "the store does not know the access key",
    "NoSuchBucket": "there is no such bucket",
    "SignatureDoesNotMatch": "the store does not take the secret key",
}

Result = TypeVar("Result")


class _Object(NamedTuple):
    """What is known of an object: its ETag, its size in bytes, its content if that was asked for, and the minute it shows."""

    etag: str
    size: int
    content: bytes | None = None
    minute: str = ""


class _Overtaken(Exception):
    """Another run wrote what this one was about to write."""


_UNKNOWN = _Object("", 0)


class _Seen:
    """What was found since the beginning of what is done exclusively."""

    def __init__(self) -> None:
        self.objects: dict[str, _Object | None] = {}
        self.listed: dict[str, str] = {}

    def find(self, name: str) -> _Object | None:
        """Return the object, None if there is none, _UNKNOWN if nobody looked."""
        folder, _, name_in_it = name.rpartition("/")
        was_listed = folder in self.listed and name_in_it > self.listed[folder]
        return self.objects.get(name, None if was_listed else _UNKNOWN)


_seen: ContextVar[_Seen | None] = ContextVar("_seen", default=None)


class Bucket:
    """The objects below s3://BUCKET/PREFIX; see pipeline.storage.Files for what each method promises."""

    target = S3Target

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")
        self._bucket, self._prefix = S3Client._path_to_bucket_and_key(f"{self._root}/")
        if not self._bucket:
            raise BadSettings(f"[storage] root is {root}: it names no bucket, as s3://bucket/prefix does")
        self._clients: dict[int, S3Client] = {}
        self._remembered: dict[str, tuple[float, _Object]] = {}
        self._unconditional: set[str] = set()

    @property
    def target_options(self) -> Mapping[str, Any]:
        return {"client": self._luigi_client}

    def path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def local_path(self, name: str) -> Path:
        raise RootUnusable(f"{self.path(name)} is no file of a disk: fetch it from there to look at it")

    def size(self, name: str) -> int | None:
        found = self._head_of(name)
        return found.size if found else None

    def read(self, name: str) -> bytes:
        return self._contents([name])[name] or b""

    def read_surely(self, name: str) -> bytes | None:
        return self._contents([name])[name]

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        return {name: content or b"" for name, content in self._contents(names).items()}

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes] | None]:
        content = self.read(name)
        yield io.BytesIO(content) if content else None

    def folders(self) -> list[str]:
        return [name.rstrip("/") for name in self._list("", "/") if name.endswith("/")]

    def listing(self, folder: str, after: str = "") -> Mapping[str, int]:
        found = self._list(folder, "/", after)
        if seen := _seen.get():
            seen.listed[folder] = after
            # What was found before is what was decided on.
            for name, each in found.items():
                seen.objects.setdefault(f"{folder}/{name}", each)
        return _sizes(found)

    def listing_below(self, folder: str) -> Mapping[str, int]:
        return _sizes(self._list(folder, ""))

    def exclusively(self, folder: str, work: Callable[[], Result]) -> Result:
        if _seen.get() is not None:
            return work()  # a part of what is done exclusively already
        for _ in range(TRIES):
            token = _seen.set(_Seen())
            try:
                return work()
            except _Overtaken:
                continue
            finally:
                _seen.reset(token)
        raise StorageFailed(f"{self.path(folder)}: other runs were faster {TRIES} times")

    def replace(self, contents: Mapping[str, bytes], which: Callable[[Collection[str]], Collection[str]]) -> int:
        taken: set[str] = set()

        def work() -> None:
            names = list(which([name for name in contents if name not in taken]))
            self._put_all({name: contents[name] for name in names}, taken)

        self.exclusively("", work)
        return len(taken)

    @contextlib.contextmanager
    def replacing(self, name: str, only_if: Callable[[], bool]) -> Iterator[IO[bytes]]:
        with failing_clearly(), tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            if not self.replace({name: file.read()}, lambda names: names if only_if() else ()):
                raise PhotoReplaced

    def flushed_together(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()  # an object that is there survives

    def remove(self, names: Iterable[str]) -> None:
        going = list(names)
        if _seen.get() is None and len(going) > 1:
            for start in range(0, len(going), MOST_REMOVED_AT_ONCE):
                self._remove_at_once(going[start : start + MOST_REMOVED_AT_ONCE])
            return
        for name in going:
            conditions = self._conditions(name)
            if "IfNoneMatch" not in conditions:
                if not self._ask(name, "delete_object", conditions):
                    raise _Overtaken
                self._note(name, None)

    def show(self, source: str, target: str, moment: datetime) -> None:
        """The target's own metadata say which moment it shows."""
        content, minute = self.read(source), moment.isoformat()

        def work() -> None:
            shown = self._head_of(target)
            if not shown or shown.minute <= minute:
                self._put_all({target: content}, set(), minute)

        self.exclusively("", work)

    def usage(self) -> dict[str, int] | None:
        return None

    def litter(self) -> Mapping[str, int]:
        return {}

    def remove_empty(self, folder: str, at_once: bool) -> None:
        """There are no folders."""

    @property
    def _luigi_client(self) -> S3Client:
        """Return the client of this process: connections do not survive a fork."""
        if not (client := self._clients.get(os.getpid())):
            config = Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                max_pool_connections=THREADS,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                # By default a checksum trails the body, which not every store reads; each put has the older header instead.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
            client = S3Client(config=config)
            with _failing_clearly("[s3]"):
                client.s3.meta.client.meta.events.register("before-call.s3.DeleteObjects", _add_md5)
            self._clients = {os.getpid(): client}
        return client

    @property
    def _client(self) -> Any:
        return self._luigi_client.s3.meta.client

    def _place(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    def _contents(self, names: Iterable[str]) -> dict[str, bytes | None]:
        """Return what is in each of the objects, None where there is none."""
        known = {name: self._known(name) for name in names}
        asked = [name for name, found in known.items() if found is _UNKNOWN or (found and found.content is None)]
        for name, found in zip(asked, _side_by_side(self._get, asked), strict=True):
            self._note(name, found)
            known[name] = found
        return {name: found.content if found else None for name, found in known.items()}

    def _known(self, name: str) -> _Object | None:
        """Return what was found a moment ago; what is done exclusively trusts only what it has found itself."""
        if (seen := _seen.get()) is not None:
            return seen.find(name)
        at, remembered = self._remembered.get(name, (0.0, _UNKNOWN))
        return remembered if time.monotonic() - at < REMEMBERED_SECONDS else _UNKNOWN

    def _head_of(self, name: str) -> _Object | None:
        """Return the object, whose content may be missing."""
        found = seen.find(name) if (seen := _seen.get()) else _UNKNOWN
        if found is _UNKNOWN:
            found = self._head(name)
            self._note(name, found)
        return found

    def _note(self, name: str, found: _Object | None) -> None:
        """Remember what was found or put."""
        if seen := _seen.get():
            seen.objects[name] = found
        self._remembered.pop(name, None)
        if found and found.content is not None:
            held = sum(each.size for _, each in self._remembered.values())
            if held + found.size > REMEMBERED_BYTES:
                self._remembered.clear()
            self._remembered[name] = (time.monotonic(), found)

    def _conditions(self, name: str) -> dict[str, str]:
        """Return the condition of a put or a removal: that the object is the one that was found, or as absent."""
        found = seen.find(name) if (seen := _seen.get()) else _UNKNOWN
        if found is _UNKNOWN:
            return {}
        return {"IfMatch": found.etag} if found else {"IfNoneMatch": "*"}

    def _head(self, name: str) -> _Object | None:
        with _failing_clearly(self.path(name)):
            if not (head := self._found("head_object", name)):
                return None
            return _Object(head["ETag"], head["ContentLength"], None, head["Metadata"].get("minute", ""))

    def _get(self, name: str, tries: int = BODY_TRIES) -> _Object | None:
        """Return the object with its content. botocore tries again what has no answer, but not what is cut within its body."""
        with _failing_clearly(self.path(name)):
            if not (answer := self._found("get_object", name)):
                return None
            try:
                content = answer["Body"].read()
            except (HTTPClientError, IncompleteReadError):
                if tries == 1:
                    raise
                return self._get(name, tries - 1)
            return _Object(answer["ETag"], len(content), content)

    def _found(self, what: str, name: str) -> Any:
        """Return the answer about an object; nothing if there is none."""
        try:
            return getattr(self._client, what)(**self._place(name))
        except ClientError as error:
            if _code(error) in _ABSENT:
                return None
            raise

    def _list(self, folder: str, delimiter: str, after: str = "") -> dict[str, _Object]:
        """Return the objects of the folder that come after a name, and the folders in it, whose names end in a slash."""
        found: dict[str, _Object] = {}
        prefix = f"{self._prefix}{folder}/" if folder else self._prefix
        options = {"StartAfter": prefix + after} if after else {}
        with _failing_clearly(self.path(folder)):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix, Delimiter=delimiter, **options
            )
            for page in pages:
                for each in page.get("Contents", ()):
                    found[each["Key"][len(prefix) :]] = _Object(each["ETag"], each["Size"])
                for each in page.get("CommonPrefixes", ()):
                    found[each["Prefix"][len(prefix) :]] = _UNKNOWN
        return found

    def _put_all(self, contents: Mapping[str, bytes], taken: set[str], minute: str = "") -> None:
        """Put each content that may be put, and add its name to `taken`."""
        conditions = [self._conditions(name) for name in contents]
        put = _side_by_side(partial(self._put, minute=minute), contents, contents.values(), conditions)
        for name, found in zip(contents, put, strict=True):
            if found:
                taken.add(name)
                self._note(name, found)
        if not taken.issuperset(contents):
            raise _Overtaken

    def _put(self, name: str, content: bytes, conditions: Mapping[str, str], minute: str) -> _Object | None:
        """Put the object and return it; nothing if its condition does not hold."""
        answer = self._ask(
            name,
            "put_object",
            conditions,
            Body=content,
            ContentMD5=_md5(content),
            ContentType=_CONTENT_TYPES.get(os.path.splitext(name)[1], _PLAIN_TEXT),
            Metadata={"minute": minute} if minute else {},
        )
        if answer:
            if "ETag" not in answer:  # an answer to something else, from what stands in front of a store in trouble
                raise StorageFailed(f"{self.path(name)}: the store's answer to a put has no ETag")
            return _Object(answer["ETag"], len(content), content)
        # The answer to a put that was made may have been lost, and its next try have met its own object.
        found = self._get(name)
        return found if found and found.content == content else None

    def _ask(self, name: str, what: str, conditions: Mapping[str, str], **options: Any) -> Any:
        """Return the answer about an object; nothing if a condition does not hold."""
        ask, place = getattr(self._client, what), self._place(name)
        with _failing_clearly(self.path(name)):
            if conditions and what not in self._unconditional:
                try:
                    return ask(**place, **conditions, **options)
                except ClientError as error:
                    if _code(error) in _OVERTAKEN:
                        return None
                    if _code(error) != "NotImplemented":
                        raise
                    self._unconditional.add(what)
            return ask(**place, **options)

    def _remove_at_once(self, names: Sequence[str]) -> None:
        with _failing_clearly(self._root):
            keys = [{"Key": self._prefix + name} for name in names]
            answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": keys, "Quiet": True})
        for name in names:
            self._remembered.pop(name, None)
        for error in answer.get("Errors", ()):
            raise StorageFailed(f"{self.path('')}/{error['Key'][len(self._prefix) :]} was not removed: {error['Code']}")


def _sizes(found: Mapping[str, _Object]) -> dict[str, int]:
    return {name: each.size for name, each in found.items()}


def _side_by_side(function: Callable[..., Result], *arguments: Collection[Any]) -> list[Result]:
    """Return what the function returns for each set of arguments, asked for in parallel where there are several."""
    if len(arguments[0]) < 2:
        return list(map(function, *arguments))
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, *arguments))


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _add_md5(params: dict[str, Any], **others: Any) -> None:
    """Add the checksum that some stores want to have with a list of objects to remove."""
    params["headers"]["Content-MD5"] = _md5(params["body"])


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextlib.contextmanager
def _failing_clearly(address: str) -> Iterator[None]:
    """Turn what boto3 raises into StorageFailed where another try may help, and RootUnusable where none can."""
    try:
        yield
    except (NoConnection, HTTPClientError, IncompleteReadError) as error:
        raise StorageFailed(f"{address}: {_CREDENTIALS.sub('//', str(error))}") from error
    except ClientError as error:
        code, status = _code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        kind = StorageFailed if status >= 500 or status in (408, 425, 429) or code in _MAY_PASS else RootUnusable
        raise kind(f"{address}: {_REASONS.get(code, f'the store answered {code or status}')}") from error
    except (BotoCoreError, ValueError) as error:
        raise RootUnusable(f"{address}: {_CREDENTIALS.sub('//', str(error))}") from error
