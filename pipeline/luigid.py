"""luigid, the scheduler that runs may share: where it is, and whether it answers. It is never asked through a proxy."""

import os
import re
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

import luigi
import requests

ANSWER_SECONDS = 5
_THIS_MACHINE = ("localhost", "127.0.0.1")
_WITHOUT_BRACKETS = str.maketrans("", "", "[]")


def address() -> str:
    """Return the address of luigid, as luigi.cfg or the command line has it."""
    core = luigi.interface.core()
    return str(core.scheduler_url or f"http://{core.scheduler_host}:{core.scheduler_port}/")


def url() -> str:
    """Return the address at which Luigi asks for work; nothing without luigid."""
    return "" if luigi.interface.core().local_scheduler else address()


def go_past_proxies(url: str) -> None:
    """Except this machine and the address from the environment's proxies, by the variable that Luigi's requests look at.

    A name is excepted with its port, which takes no host of the same domain out; numbers are read without one.
    """
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if getproxies_environment().keys() <= {"no"} or known.strip() == "*":
        return  # alone the variable would hide the proxies of macOS and Windows; a star excepts every host
    address = urlsplit(url).netloc.rpartition("@")[2].translate(_WITHOUT_BRACKETS)
    number = re.fullmatch(r"([\d.]+)(:\d+)?", address)
    wanted = (*known.split(","), *_THIS_MACHINE, number[1] if number else address)
    os.environ["no_proxy"] = ",".join(dict.fromkeys(filter(None, map(str.strip, wanted))))


def answers(url: str) -> bool:
    """Tell whether luigid answers there a question of the kind that Luigi asks, and neither a proxy nor anything else does."""
    go_past_proxies(url)
    try:
        question = f"{url.rstrip('/')}/api/is_paused"
        with requests.get(question, timeout=ANSWER_SECONDS, allow_redirects=False, stream=True) as answer:
            return answer.status_code == 200 and next(answer.iter_content(64), b"").startswith(b'{"response"')
    except (requests.RequestException, UnicodeError):  # UnicodeError: of a host with an impossible name
        return False
