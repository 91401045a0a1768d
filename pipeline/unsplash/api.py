"""The Unsplash API and its pictures: what is asked, and what is fetched from where. Times are seconds."""

import functools
import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from datetime import datetime
from urllib.parse import urlencode, urljoin

from requests import Response, Session
from requests.adapters import HTTPAdapter
from urllib3.util import parse_url

from pipeline.errors import BadAnswer, BadSettings, PhotoGone, PipelineError, Unavailable
from pipeline.unsplash import answers, http
from pipeline.unsplash.answers import SIZES, Photo, Quota
from pipeline.unsplash.key import DEMO_KEY, api_key, environment_value, masked

API_URL = "https://api.unsplash.com"
EVENT_SECONDS = 3
MAX_REDIRECTS = 3
CONNECTIONS_KEPT = 16  # to each host
MAX_PICTURE_BYTES = {size: 2**26 if size == "full" else 2**24 for size in SIZES}

_START, _REST = r"(?ai)(?!.{2049})", r"([/?#][!-~]*)?"  # of an address: 2,048 characters at most
_OF_UNSPLASH = re.compile(rf"{_START}https://([a-z0-9-]+\.)*unsplash\.com(:443)?{_REST}")
_API_URL = re.compile(r"(?ai)(https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d+)?)(/[!-~]*)?")


class Unsplash:
    """Ask the API with one key, and fetch the pictures that it names; with DEMO_KEY, the built-in sandbox. Thread-safe.

    `quota` and `date`, the time by its clock, are what the API's last uncached answer said, None before the first. An answer
    may take `answer_seconds`, from the lookup of its host's name to its last byte. The key is sent to the API alone, and no
    error shows it.
    """

    def __init__(self, key: str, url: str = API_URL, answer_seconds: float = 60) -> None:
        adapter = HTTPAdapter(pool_maxsize=CONNECTIONS_KEPT)
        if key == DEMO_KEY:
            from pipeline.sandbox import ORIGIN, Adapter  # here: no other key needs it

            url, adapter = ORIGIN, Adapter()
        self.quota: Quota | None = None
        self.date: datetime | None = None
        self._key = key
        self._url = url.rstrip("/")
        self._of_api = _addresses_of_api(url)
        self._answer_seconds = answer_seconds
        self._hosts = Session()
        self._hosts.mount("https://", adapter)
        self._hosts.mount("http://", adapter)

    def random_photos(
        self, topic: str, count: int, size: str, orientation: str = "", content_filter: str = "low"
    ) -> list[Photo]:
        """Return up to `count` (1 to 30) usable photos of the topic for one request of the quota; NoPhotos if none matches."""
        query = {"query": topic, "count": count, "orientation": orientation, "content_filter": content_filter}
        address = f"{self._url}/photos/random?{urlencode({name: value for name, value in query.items() if value})}"
        answer = self._begin(self._ask, address, self._answer_seconds)()
        return answers.usable_photos(answer, topic, size, self.may_fetch)[:count]

    def report_download(self, location: object) -> None:
        """Request a photo's download_location exactly as given; give up after EVENT_SECONDS."""
        if not (isinstance(location, str) and self._of_api.fullmatch(location)):
            raise BadAnswer("the address of the download event is not the API's")
        self._begin(self._ask, location, EVENT_SECONDS)()

    def may_fetch(self, address: str) -> bool:
        """Tell whether a picture may come from there: https on unsplash.com and below, or the very origin of the API."""
        return bool(_OF_UNSPLASH.fullmatch(address) or self._of_api.fullmatch(address))

    def prefetch(self, address: str, most_bytes: int = MAX_PICTURE_BYTES["full"]) -> Callable[[], bytes]:
        """Begin to fetch the picture; return what waits for it and returns it as it is served, or raises why it cannot."""
        return self._begin(functools.partial(self._picture, most_bytes=most_bytes), address, self._answer_seconds)

    def _begin(self, work: Callable[[str, float], bytes], address: str, seconds: float) -> Callable[[], bytes]:
        """Begin the work in a thread; return a function that waits until the deadline for what the work returns or raises."""
        deadline = time.monotonic() + seconds
        late = Unavailable(f"{http.host_of(address)}: no whole answer within {seconds:g} s")
        outcome = Future[bytes]()

        def run() -> None:
            try:
                outcome.set_result(work(address, deadline))
            except PipelineError as error:
                is_late = time.monotonic() > deadline
                outcome.set_exception(late if is_late else type(error)(masked(error.args[0], self._key)))
            except Exception as error:
                outcome.set_exception(error)

        def wait() -> bytes:
            try:
                return outcome.result(max(0.0, deadline - time.monotonic()))
            except FutureTimeout:  # nothing can interrupt a name lookup: the thread ends with it, or with the process
                raise late from None

        # A thread of its own, which the end of the process does not wait for: a name lookup that hangs holds up nothing.
        threading.Thread(target=run, name="request to Unsplash", daemon=True).start()
        return wait

    def _ask(self, address: str, deadline: float) -> bytes:
        """Return the body of the API's answer; raise what a refusal means, even if its body cannot be read."""
        headers = {"Authorization": f"Client-ID {self._key}", "Accept": "application/json", "Accept-Version": "v1"}
        with http.get(self._hosts, address, headers) as answer:
            self.quota = answers.quota_of(answer.headers) or self.quota
            self.date = answers.date_of(answer.headers) or self.date
            try:
                content = answers.unpacked(http.body(answer, answers.MAX_BYTES, deadline), answer.headers)
            except PipelineError:
                if answer.status_code == 200:
                    raise
                content = b""
        answers.check(answer.status_code, content, self.quota)
        return content

    def _picture(self, address: str, deadline: float, most_bytes: int) -> bytes:
        for _ in range(1 + MAX_REDIRECTS):
            if not self.may_fetch(address):
                raise PhotoGone(f"a picture may not come from {address!r}")
            with http.get(self._hosts, address, {"Accept": "image/jpeg"}) as answer:
                if not answer.is_redirect:
                    return _picture_in(answer, most_bytes, deadline)
                target = answer.headers["Location"]
            with suppress(ValueError):  # a target that cannot be read is refused like any other
                target = urljoin(address, target)
            address = target
        raise PhotoGone(f"the picture is behind more than {MAX_REDIRECTS} redirects")


def client(answer_seconds: float) -> Unsplash:
    """Return the client that the environment asks for: the same one again, with its open connections, while that holds."""
    return _kept_client(os.getpid(), api_key(), environment_value("UNSPLASH_API_URL") or API_URL, answer_seconds)


@functools.lru_cache(maxsize=1)
def _kept_client(process: int, key: str, url: str, answer_seconds: float) -> Unsplash:
    """Return a client of this process: its connections do not survive a fork."""
    return Unsplash(key, url, answer_seconds)


def _addresses_of_api(url: str) -> re.Pattern[str]:
    """Return the pattern of addresses with scheme, host and port of the API's own. BadSettings if that is none."""
    with suppress(ValueError):  # of a host or a port that cannot be
        if (parts := _API_URL.fullmatch(url)) and parse_url(url).port != 0:
            return re.compile(rf"{_START}{re.escape(parts[1])}{_REST}")
    raise BadSettings("UNSPLASH_API_URL is no address: it looks like https://api.unsplash.com")


def _picture_in(answer: Response, most_bytes: int, deadline: float) -> bytes:
    if answer.status_code in (404, 410):
        raise PhotoGone(f"the picture is gone: {answer.status_code}")
    if answer.status_code != 200:
        raise Unavailable(f"the picture's host answered {answer.status_code}")
    if answer.raw.length_remaining is None and not answer.raw.chunked:
        raise Unavailable("the picture came without a length, and might be cut")
    if (answer.raw.length_remaining or 0) > most_bytes or len(picture := http.body(answer, most_bytes, deadline)) > most_bytes:
        raise PhotoGone(f"the picture is longer than {most_bytes:,} bytes")
    return picture
