"""The objects of an S3-compatible store, by the boto3 client of Luigi's S3 target, and what is remembered of them.

Luigi's own exists() asks twice, for an object and for a folder of that name, and its put knows no conditions.
"""

import base64
import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as NoConnection
from luigi.contrib.s3 import S3Client

from pipeline.errors import RootUnusable, StorageFailed

BODY_TRIES = 3
REMEMBERED_SECONDS = 10
REMEMBERED_LENGTH = 2**16
CONFIG = Config(
    connect_timeout=10,
    read_timeout=20,
    # botocore's waits between tries are drawn from 0 to 1, 2, 4, 8, 16, 20, 20, … seconds: together some 65.
    retries={"mode": "standard", "total_max_attempts": 11},
    # By default a checksum trails the body, which not every store reads; each put has the older header instead.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)

_CONTENT_TYPES = {
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
# A bare 400 is no word of S3: nginx answers so what follows a put that it refused before its body came.
_MAY_PASS = ("400", "BadDigest", "RequestTimeout", "SlowDown", "Throttling", "TooManyRequests")
_ABSENT = ("404", "NoSuchKey")
_OVERTAKEN = ("409", "412", "ConditionalRequestConflict", "PreconditionFailed", *_ABSENT)
_REASONS = {
    "403": "access is denied",
    "AccessDenied": "access is denied",
    "InvalidAccessKeyId": "the store does not know the access key",
    "NoSuchBucket": "there is no such bucket",
    "SignatureDoesNotMatch": "the store does not take the secret key",
}


class Object(NamedTuple):
    """What is known of an object: its ETag, its size in bytes, and its content if that was asked for."""

    etag: str
    size: int
    content: bytes | None = None


_UNKNOWN = Object("", 0)


class Objects:
    """The objects below an address such as s3://BUCKET/PREFIX, by their names relative to it.

    What was found of an object is believed for some seconds: one run looks at the files of its minute many times.
    Every method raises StorageFailed where another try may help, and RootUnusable where none can.
    """

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        parts = urlsplit(self._address)
        self._bucket, self._prefix = parts.netloc, f"{parts.path.strip('/')}/".lstrip("/")
        self._clients: dict[int, Any] = {}
        self._remembered: dict[str, tuple[float, Object | None]] = {}
        self._listed: dict[str, tuple[float, str, frozenset[str]]] = {}
        self.refuses_conditions = False

    def path(self, name: str) -> str:
        """Return the object's address."""
        return f"{self._address}/{name}" if name else self._address

    def find(self, name: str) -> Object | None:
        """Return what is known of the object, maybe without its content. One listing tells of all files of a minute."""
        found = self._recall(name)
        if found is _UNKNOWN:
            beginning = os.path.splitext(name)[0]
            listed = self.list(beginning)
            for each in {name, *(f"{beginning}{suffix}" for suffix in (".jpg", ".txt", ".error"))}:
                self._remember(each, listed.get(each))
            found = listed.get(name)
        return found

    def get(self, name: str) -> bytes | None:
        """Return the object's content; None if there is none."""
        found = self._recall(name)
        if found and found.content is None:
            found = self.fetch(name)
        return found.content if found else None

    def fetch(self, name: str, tries: int = BODY_TRIES) -> Object | None:
        """Fetch the object anew. botocore tries again what has no answer, but not what is cut within its body."""
        found = None
        with _naming_errors(self.path(name)):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
                content = answer["Body"].read()
                found = Object(answer["ETag"], len(content), content)
            except (HTTPClientError, IncompleteReadError):
                if tries == 1:
                    raise
                return self.fetch(name, tries - 1)
            except ClientError as error:
                if _code(error) not in _ABSENT:
                    raise
        self._remember(name, found)
        return found

    def list(self, prefix: str, after: str = "") -> dict[str, Object | None]:
        """Return the objects whose names begin so and come after a name; and the folders, whose names end in a slash."""
        found: dict[str, Object | None] = {}
        start = len(self._prefix)
        place = {"Bucket": self._bucket, "Prefix": self._prefix + prefix, "Delimiter": "/"}
        with _naming_errors(self.path(prefix)):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(**place, **({"StartAfter": self._prefix + after} if after else {})):
                found |= {each["Key"][start:]: Object(each["ETag"], each["Size"]) for each in page.get("Contents", ())}
                found |= {each["Prefix"][start:]: None for each in page.get("CommonPrefixes", ())}
        if prefix.endswith("/"):
            self._listed[prefix] = time.monotonic(), after, frozenset(found)
        return found

    def write(self, name: str, content: bytes | None, conditions: Mapping[str, str]) -> bool:
        """Put the object, or remove it if there is to be no content; tell whether its conditions held."""
        if content is None:
            is_gone = bool(self._ask(name, "delete_object", conditions))
            self._remember(name, None if is_gone else _UNKNOWN)
            return is_gone
        checksum = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        kind = _CONTENT_TYPES.get(os.path.splitext(name)[1], "text/plain; charset=utf-8")
        answer = self._ask(name, "put_object", conditions, Body=content, ContentMD5=checksum, ContentType=kind)
        if not answer:  # that to a put that was made may have been lost, and its next try have met its own object
            found = self.fetch(name)
            return found is not None and found.content == content
        if "ETag" not in answer:  # an answer to something else, from what stands in front of a store in trouble
            raise StorageFailed(f"{self.path(name)}: the store's answer to a put has no ETag")
        self._remember(name, Object(answer["ETag"], len(content), content))
        return True

    @property
    def _client(self) -> Any:
        """Return boto3's client, of this process: connections do not survive a fork."""
        if os.getpid() not in self._clients:
            with _naming_errors("[s3]"):
                self._clients = {os.getpid(): S3Client(config=CONFIG).s3.meta.client}
        return self._clients[os.getpid()]

    def _ask(self, name: str, what: str, conditions: Mapping[str, str], **options: Any) -> Any:
        """Return the answer about an object; nothing if a condition does not hold."""
        ask, place = getattr(self._client, what), {"Bucket": self._bucket, "Key": self._prefix + name}
        with _naming_errors(self.path(name)):
            if conditions and not self.refuses_conditions:
                try:
                    return ask(**place, **conditions, **options)
                except ClientError as error:
                    if _code(error) in _OVERTAKEN:
                        return None
                    if _code(error) != "NotImplemented":
                        raise
                    self.refuses_conditions = True
            return ask(**place, **options)

    def _recall(self, name: str) -> Object | None:
        """Return what was found of the object lately: None is that it is absent."""
        oldest = time.monotonic() - REMEMBERED_SECONDS
        at, found = self._remembered.get(name, (0.0, _UNKNOWN))
        if at > oldest:
            return found
        at, after, names = self._listed.get(f"{os.path.dirname(name)}/", (0.0, "", frozenset()))
        return None if at > oldest and name > after and name not in names else _UNKNOWN

    def _remember(self, name: str, found: Object | None) -> None:
        if found and found.size > REMEMBERED_LENGTH:
            found = found._replace(content=None)
        self._remembered[name] = time.monotonic(), found


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextlib.contextmanager
def _naming_errors(address: str) -> Iterator[None]:
    """Raise what boto3 raises as StorageFailed where another try may help, and as RootUnusable where none can."""
    try:
        yield
    except ClientError as error:
        code, status = _code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        kind = StorageFailed if status >= 500 or status in (408, 425, 429) or code in _MAY_PASS else RootUnusable
        raise kind(f"{address}: {_REASONS.get(code, f'the store answered {code or status}')}") from error
    except (BotoCoreError, HTTPClientError, ValueError) as error:
        may_pass = isinstance(error, (NoConnection, HTTPClientError, IncompleteReadError))
        # botocore's errors name the endpoint as it was given, with what it takes for credentials.
        reason = re.sub(r"//[^/\s]*@", "//", str(error))
        raise (StorageFailed if may_pass else RootUnusable)(f"{address}: {reason}") from error
