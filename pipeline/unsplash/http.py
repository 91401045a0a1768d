"""HTTP by requests: one answer of a host, with a deadline for the whole of it and a limit of its bytes."""

import functools
import os
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException
from urllib.parse import urlsplit

from requests import PreparedRequest, Response, Session
from requests.exceptions import InvalidSchema, InvalidURL
from urllib3.exceptions import HTTPError, ProxySchemeUnknown

from pipeline.errors import BadSettings, Unavailable

TIMEOUTS = (10, 20)  # to connect, and between two reads

_HEADERS = {"User-Agent": "picture-a-minute", "Accept-Encoding": "identity"}
_CHUNK_BYTES = 2**18
_FAILURES = (OSError, HTTPError, HTTPException)
_THIS_MACHINE = re.compile(r"localhost|127(\.\d+)*|::1")


def get(hosts: Session, address: str, headers: Mapping[str, str]) -> Response:
    """Ask for the address, through the environment's proxy if it is elsewhere; return the answer when its head has come."""
    request = PreparedRequest()
    request.prepare_method("GET")
    request.prepare_headers({**_HEADERS, **headers})
    request.url = address  # as it is written: prepare_url() would resolve its dots, and write %7E as ~
    proxies, certificates = _environment(hosts, "/".join(address.split("/")[:3]))
    with _network_errors(address, certificates):
        # Session.send() reads the body of a redirect, without a limit, though it is told not to follow it.
        adapter = hosts.get_adapter(address)
        return adapter.send(request, stream=True, timeout=TIMEOUTS, verify=certificates, proxies=proxies)


def body(answer: Response, most_bytes: int, deadline: float) -> bytes:
    """Return the body as sent, cut soon after `most_bytes`; Unavailable if it comes cut, or late."""
    received = bytearray()
    with _network_errors(answer.url):
        while len(received) <= most_bytes and (chunk := answer.raw.read1(_CHUNK_BYTES, decode_content=False)):
            received += chunk
            if time.monotonic() > deadline:
                raise TimeoutError
    return bytes(received)


@functools.lru_cache(maxsize=16)
def _environment(hosts: Session, origin: str) -> tuple[Mapping[str, str], bool | str]:
    """Return the proxies and certificates that the environment names for an origin; this machine is behind no proxy."""
    found = hosts.merge_environment_settings(origin, {}, stream=True, verify=True, cert=None)
    return {} if _THIS_MACHINE.fullmatch(host_of(origin)) else found["proxies"], found["verify"] or True


def host_of(address: str) -> str:
    """Return the host of an address, nothing if it is none."""
    with suppress(ValueError):
        return urlsplit(address).hostname or ""
    return ""


@contextmanager
def _network_errors(address: str, certificates: object = None) -> Iterator[None]:
    """Re-raise network errors as Unavailable, quoting the root cause, or as BadSettings if that is the environment."""
    try:
        yield
    except InvalidSchema as error:
        raise BadSettings("a SOCKS proxy is set, and its package is missing: pip install 'requests[socks]'") from error
    except (InvalidURL, ProxySchemeUnknown) as error:  # the address is not quoted: it may hold a password
        raise BadSettings("HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is no address: it looks like http://host:3128") from error
    except (*_FAILURES, UnicodeError) as error:  # UnicodeError: of a host with an impossible name, from Python 3.12 on
        if isinstance(certificates, str) and not _holds_certificates(certificates):
            raise BadSettings(f"REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE: {certificates} holds no certificates") from error
        cause: BaseException = error
        while isinstance(cause.__context__, _FAILURES):  # what int() says before it quotes only a part of what a host said
            cause = cause.__context__
        raise Unavailable(f"{host_of(address)}: {cause}") from error


def _holds_certificates(path: str) -> bool:
    with suppress(OSError):
        return os.path.isdir(path) or bool(ssl.create_default_context(cafile=path))
    return False
