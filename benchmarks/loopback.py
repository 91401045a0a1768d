"""The world of the benchmarks on 127.0.0.1: an nginx that answers as the API and serves pictures, and the installed project.

The server is another process, and cheap, so that what is measured is the client. Every answer holds other photos.
"""

import contextlib
import io
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from pipeline import sandbox

PROJECT = Path(__file__).resolve().parent.parent
PEERS = PROJECT / "benchmarks" / "peers"
VIRTUAL_ENVIRONMENTS = PROJECT / "build" / "benchmarks"

PICTURES = 10
PICTURE_BYTES = 200_000
PHOTO_BYTES = 5_000

_INSTALL = ("install", "--quiet", "--compile")
_ORIGIN, _ID = "http://origin.invalid", "IDOFANSWER"

_CONFIGURATION = """
{modules}
daemon off;
error_log stderr error;
pid {folder}/pid;
events {{ worker_connections 1024; }}
http {{
    access_log {log};
    sendfile on;
    tcp_nopush on;
    server_tokens off;
    default_type application/json;
    types {{ image/jpeg jpg; }}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $request_id $answer_id {{ "~^(?<first>.{{9}})" $first; }}
    split_clients $uri $picture {{ {shares} }}
    server {{
        listen {address}:{port} backlog=1024;
        root {folder};
        location = /photos/random {{ {random} }}
        location ~ ^/photos/.+/download$ {{ {download} }}
        location ~ ^/photo- {{ {photo} }}
        location = /answer {{
            internal;
            add_header X-Ratelimit-Limit 5000;
            add_header X-Ratelimit-Remaining {remaining};
            sub_filter_types application/json;
            sub_filter_once off;
            sub_filter {origin_mark} http://{address}:{port};
            sub_filter {id_mark} $answer_id;
            try_files /answer.json =404;
        }}
        location = /event {{
            internal;
            add_header X-Ratelimit-Limit 5000;
            add_header X-Ratelimit-Remaining {remaining};
            return 200 '{{"url":"http://{address}:{port}/photo-0"}}';
        }}
        location ~ ^/pictures/ {{ internal; }}
    }}
}}
"""


class Server(NamedTuple):
    """A server that runs: what UNSPLASH_API_URL is, and one word on what it is."""

    url: str
    kind: str


@contextlib.contextmanager
def server(
    *, latency_seconds: float = 0, requests_left: int = 4999, address: str = "127.0.0.1", log: Path | None = None
) -> Iterator[Server]:
    """Run nginx, or the project's sandbox where nginx is not installed, for the length of the block.

    Each answer waits `latency_seconds` (RuntimeError without nginx's module for it), and says that `requests_left` are left of
    the quota, however many were made. nginx writes a line for each request into the log.
    """
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    with tempfile.TemporaryDirectory() as temporary:
        folder, port = Path(temporary), free_port()
        if program:
            kind = "nginx"
            folder.chmod(0o755)  # nginx that root starts reads as another user
            _prepare(folder)
            (folder / "nginx.conf").write_text(_configuration(folder, address, port, latency_seconds, requests_left, log))
            command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        elif latency_seconds:
            raise RuntimeError("latency needs nginx with its echo module (Debian: libnginx-mod-http-echo)")
        else:
            kind = "sandbox (install nginx for a cheaper server)"
            serve = (
                f"from pipeline import sandbox; sandbox.Server({port}, host={address!r}, hourly_limit=10**9).serve_forever()"
            )
            command = [sys.executable, "-c", serve]
        with subprocess.Popen(command, cwd=PROJECT) as process:
            try:
                wait_for(address, port, process)
                yield Server(f"http://{address}:{port}", kind)
            finally:
                process.terminate()


def install(revision: str = "") -> Path:
    """Install the project as its user would, compiled, into a virtual environment of its own; return that one's bin folder.

    With a revision it is the project as it was then, standing on what is installed for the project of now.
    """
    with tempfile.TemporaryDirectory() as temporary:
        # From a copy: setuptools keeps what it built, and would install modules that are gone from the project.
        source, name, same = Path(temporary, "source"), "project", []
        source.mkdir()
        if revision:
            name, same = _git("rev-parse", "--short", revision).decode().strip(), ["--constraint", f"{temporary}/installed"]
            Path(temporary, "installed").write_bytes(
                _pip(VIRTUAL_ENVIRONMENTS / "project" / "bin", "freeze", "--exclude=picture-a-minute")
            )
            subprocess.run(["tar", "-x", "-C", source], input=_git("archive", revision), check=True)
        else:
            shutil.copytree(PROJECT / "pipeline", source / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
            for file in ("setup.py", "pyproject.toml", "README.md", "luigi.cfg"):
                shutil.copy(PROJECT / file, source)
        programs = _virtual_environment(name)
        shutil.copy(source / "luigi.cfg", settings(programs))
        _pip(programs, *_INSTALL, *same, str(source))
        _pip(programs, *_INSTALL, "--force-reinstall", "--no-deps", str(source))
    return programs


def settings(programs: Path) -> Path:
    """Return the luigi.cfg that belongs to an installation of the project."""
    return programs.parent / "luigi.cfg"


def install_peer(name: str, *what: str) -> Path | None:
    """Install a package into a virtual environment of its own; return that one's bin folder, None where it does not install."""
    programs = _virtual_environment(name)
    try:
        _pip(programs, *_INSTALL, "--only-binary=:all:", *what)
        subprocess.run([programs / "python", "-c", f"import {name}"], check=True, env=environment(), capture_output=True)
    except subprocess.CalledProcessError:
        return None
    return programs


def environment(**variables: str) -> dict[str, str]:
    """Return a user's plain environment: nothing that keeps Python from compiling, no proxies, no certificates."""
    kept = ("PATH", "HOME", "LANG", "SYSTEMROOT", "PIP_CERT", "PIP_INDEX_URL", "PIP_FIND_LINKS")
    return {name: os.environ[name] for name in kept if name in os.environ} | variables


def _virtual_environment(name: str) -> Path:
    folder = VIRTUAL_ENVIRONMENTS / name
    if not folder.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder / "bin"


def _pip(programs: Path, *command: str) -> bytes:
    pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", *command]
    return subprocess.run(pip, check=True, env=environment(), capture_output=True).stdout


def _git(*command: str) -> bytes:
    return subprocess.run(["git", *command], cwd=PROJECT, check=True, stdout=subprocess.PIPE).stdout


def _configuration(folder: Path, address: str, port: int, latency_seconds: float, requests_left: int, log: Path | None) -> str:
    module = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
    picture = "/pictures/$picture.jpg"
    if latency_seconds:
        if not module.exists():
            raise RuntimeError("latency needs nginx's echo module (Debian: libnginx-mod-http-echo)")

        def then(target: str) -> str:
            return f"echo_sleep {latency_seconds}; echo_exec {target};"
    else:

        def then(target: str) -> str:
            return f"rewrite ^ {target} last;"

    return _CONFIGURATION.format(
        modules=f"load_module {module};" if latency_seconds else "",
        folder=folder,
        address=address,
        port=port,
        log=log or "off",
        remaining=requests_left,
        shares=" ".join(f"{100 / PICTURES:.2f}% {number};" for number in range(PICTURES - 1)) + f" * {PICTURES - 1};",
        random=then("/answer"),
        download=then("/event"),
        photo=then(picture),
        origin_mark=_ORIGIN,
        id_mark=_ID,
    )


def _prepare(folder: Path) -> None:
    (folder / "pictures").mkdir()
    for number in range(PICTURES):
        (folder / "pictures" / f"{number}.jpg").write_bytes(_picture(number))
    (folder / "answer.json").write_text(json.dumps(_answer(), ensure_ascii=False, separators=(",", ":")), "utf-8")


def _picture(seed: int) -> bytes:
    """Return a JPEG 1080 pixels wide of about PICTURE_BYTES: a gradient under as much noise as it takes."""
    size = (1080, 720 if seed % 3 else 1350)
    source = random.Random(seed)
    gradient = Image.merge("RGB", [Image.linear_gradient("L").rotate(90 * source.randrange(4)).resize(size) for _ in "RGB"])
    grains = Image.frombytes("L", (size[0] // 2, size[1] // 2), source.randbytes(size[0] // 2 * (size[1] // 2)))
    noise = Image.merge("RGB", [grains.resize(size, Image.Resampling.BICUBIC)] * 3)
    low, high = 0.0, 1.0
    for _ in range(7):
        share = (low + high) / 2
        buffer = io.BytesIO()
        Image.blend(gradient, noise, share).save(buffer, "JPEG", quality=80)
        low, high = (low, share) if buffer.tell() > PICTURE_BYTES else (share, high)
    return buffer.getvalue()


def _answer() -> list[dict[str, object]]:
    """Return 30 photos as the API words them, PHOTO_BYTES each; the server writes new ids and its address into each answer."""
    photos: list[dict[str, object]] = []
    drawer = sandbox.Sandbox(_ORIGIN)
    while len(photos) < 30:
        for photo in json.loads(drawer.answer("/photos/random?count=30&query=art", {"Authorization": "Client-ID none"}).body):
            if not sandbox.Sample(photo["id"]).is_premium and len(photos) < 30:
                text = json.dumps(photo).replace(photo["id"], f"{_ID}{len(photos):02d}")
                whole = json.loads(text) | {"tags": []}
                while len(json.dumps(whole)) < PHOTO_BYTES:
                    whole["tags"].append({"type": "search", "title": f"sample {len(whole['tags'])}"})
                photos.append(whole)
    return photos


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(address: str, port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the process, a server, listens; RuntimeError if it does not."""
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("the server does not listen")
