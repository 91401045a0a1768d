"""Three hosts that share a catch-up: what is stored though much breaks meanwhile, and how fast 1, 2 and 3 of them are.

    python benchmarks/hosts.py [--root folder|moto|swift] [--minutes 720] [--part proof|speed]

Hosts are processes, each in a network namespace of its own where root may make some. ROOT is a folder that they share, or a
bucket of moto's server or of OpenStack Swift, behind an nginx that counts what is put and can be told to answer 503. In the
proof one host is killed, another is cut off from luigid for 30 s, and the bucket answers 503 for 20 s.
"""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import loopback

START = datetime(2025, 1, 1)
ROOTS = ("folder", "moto", "swift")
HOSTS = 3
CUT_SECONDS = 30
AWAY_SECONDS = 20
MOST_SECONDS = 600
LATENCY_SECONDS = 0.1

_FRONT = """
daemon off;
error_log stderr error;
pid {folder}/pid;
events {{ worker_connections 1024; }}
http {{
    log_format asked "$request_method $uri $status";
    access_log {folder}/log asked;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream store {{ server {backend}; keepalive 32; }}
    server {{
        listen {address}:{port} backlog=1024;
        location / {{
            if (-f {folder}/away) {{ return 503; }}
            proxy_pass http://store;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


class Network:
    """The hosts' network: a bridge with an address for luigid and one for the other servers, and a namespace for each host."""

    def __init__(self) -> None:
        self._name = f"pam{os.getpid() % 10**6}"
        self._net = f"198.18.{os.getpid() % 250}"
        self.is_real = False
        self.servers = self.luigid = "127.0.0.1"

    def __enter__(self) -> "Network":
        try:
            self._ip(f"link add {self._name} type bridge")
            self.servers, self.luigid = f"{self._net}.1", f"{self._net}.2"
            for address in (self.servers, self.luigid):
                self._ip(f"address add {address}/24 dev {self._name}")
            self._ip(f"link set {self._name} up")
            for host in range(HOSTS):
                space = f"{self._name}-{host}"
                self._ip(f"netns add {space}")
                self._ip(f"link add {self._name}v{host} type veth peer name eth0 netns {space}")
                self._ip(f"link set {self._name}v{host} master {self._name} up")
                self._ip(f"-n {space} address add {self._net}.{10 + host}/24 dev eth0")
                self._ip(f"-n {space} link set eth0 up")
                self._ip(f"-n {space} link set lo up")
            self.is_real = True
        except (OSError, subprocess.CalledProcessError) as error:
            self.__exit__()
            self.servers = self.luigid = "127.0.0.1"
            print(f"no network namespaces here ({error}): the hosts share one, and none is cut off from luigid")
        return self

    def __exit__(self, *_: object) -> None:
        for host in range(HOSTS):
            for what in (f"netns delete {self._name}-{host}", f"link delete {self._name}v{host}"):
                with contextlib.suppress(OSError, subprocess.CalledProcessError):
                    self._ip(what)
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            self._ip(f"link delete {self._name}")

    def command(self, host: int) -> list[str]:
        """Return what a command of the host begins with."""
        return ["ip", "netns", "exec", f"{self._name}-{host}"] if self.is_real else []

    def cut(self, host: int) -> None:
        """Have what the host sends to luigid go nowhere."""
        self._ip(f"-n {self._name}-{host} neighbour replace {self.luigid} dev eth0 lladdr 02:00:00:00:00:01 nud permanent")

    def mend(self, host: int) -> None:
        """Have the host reach luigid again."""
        self._ip(f"-n {self._name}-{host} neighbour delete {self.luigid} dev eth0")

    @staticmethod
    def _ip(command: str) -> None:
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)


class World(NamedTuple):
    """What the hosts share: the network, ROOT, luigid's port, the API, what is known of them, and what the hosts are told."""

    folder: Path
    network: Network
    root: str
    luigid_port: int
    api: loopback.Server
    environment: dict[str, str]

    def start(self, host: int, minutes: int, workers: int) -> "subprocess.Popen[str]":
        """Start the host's catch-up of the first `minutes` minutes."""
        folder = self.folder / f"host{host}"
        folder.mkdir()
        (folder / "luigi.cfg").write_text(self.settings())
        span = ["--start", f"{START:%Y-%m-%dT%H%M}", "--stop", f"{START + timedelta(minutes=minutes):%Y-%m-%dT%H%M}"]
        command = [sys.executable, "-m", "pipeline", "catch-up", "--shared", *span, "--workers", str(workers)]
        with open(folder / "log", "w") as log:
            return subprocess.Popen(
                self.network.command(host) + command, cwd=folder, env=self.environment, stdout=log, stderr=log, text=True
            )

    def settings(self) -> str:
        """Return the shipped luigi.cfg, with ROOT and luigid's address."""
        text = (loopback.PROJECT / "luigi.cfg").read_text()
        told = {"root": self.root, "scheduler_host": self.network.luigid, "scheduler_port": self.luigid_port}
        for name, value in told.items():
            text = re.sub(rf"(?m)^{name} =.*$", f"{name} = {value}", text)
        return text

    def said(self, host: int) -> str:
        """Return what the host wrote."""
        return (self.folder / f"host{host}" / "log").read_text()

    def missing(self, minutes: int) -> int:
        """Return how many of the minutes are missing, as the last host sees it."""
        span = f"{START!r}, {START + timedelta(minutes=minutes)!r}"
        asked = f"import datetime; from pipeline import settings; print(len(settings.archive().missing({span})))"
        command = [*self.network.command(HOSTS - 1), sys.executable, "-c", asked]
        folder = self.folder / f"host{HOSTS - 1}"
        return int(subprocess.run(command, cwd=folder, env=self.environment, check=True, capture_output=True).stdout)

    def requests(self) -> int:
        """Return how many requests for photos the API had."""
        return len(re.findall(r'"GET /photos/random', (self.folder / "api.log").read_text()))

    def fetched(self) -> Counter[str]:
        """Return how often each picture was fetched."""
        return Counter(re.findall(r'"GET (/photo-\S+)', (self.folder / "api.log").read_text()))

    def stored(self) -> Counter[str]:
        """Return how often each minute's picture was put into the bucket; for a folder, once for each that is there."""
        if self.root.startswith("s3://"):
            put = re.findall(r"(?m)^PUT /\S+/([\d-]{10}/\d{4}\.jpg) 20\d$", (self.folder / "front" / "log").read_text())
            return Counter(put)
        return Counter(f"{path.parent.name}/{path.name}" for path in Path(self.root).glob("2*/????.jpg") if path.stat().st_size)


class Proof(NamedTuple):
    """What came of the minutes, and what it took."""

    missing: int
    stored_twice: int
    fetched_twice: int
    requests: int
    seconds: float
    exit_codes: list[int]
    said: str


@contextlib.contextmanager
def world(kind: str, latency_seconds: float = 0) -> Iterator[World]:
    """Make a world for hosts whose ROOT is of this kind."""
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        folder.chmod(0o755)  # nginx that root starts reads as another user
        network = stack.enter_context(Network())
        environment = loopback.environment(UNSPLASH_API_KEY="benchmark")
        root = str(folder / "data")
        if kind != "folder":
            endpoint, credentials = stack.enter_context(_bucket(kind, folder, network))
            environment |= {**credentials, "AWS_ENDPOINT_URL": endpoint}
            root = "s3://pictures/kept"
        log = folder / "api.log"
        api = stack.enter_context(
            loopback.server(latency_seconds=latency_seconds, requests_left=0, address=network.servers, log=log)
        )
        environment["UNSPLASH_API_URL"] = api.url
        world = World(folder, network, root, loopback.free_port(), api, environment)
        stack.enter_context(_luigid(world))
        yield world


@contextlib.contextmanager
def _luigid(world: World) -> Iterator[None]:
    folder = world.folder / "luigid"
    folder.mkdir()
    (folder / "luigi.cfg").write_text(world.settings())
    command = [str(Path(sys.executable).parent / "luigid"), "--address", world.network.luigid, "--port", str(world.luigid_port)]
    with _running([*command, "--state-path", "state"], folder, world.network.luigid, world.luigid_port):
        yield


@contextlib.contextmanager
def _bucket(kind: str, folder: Path, network: Network) -> Iterator[tuple[str, dict[str, str]]]:
    """Run an S3 server with an empty bucket behind an nginx that counts; lend the address and the credentials."""
    import boto3

    from tests.support import swift

    with contextlib.ExitStack() as stack:
        (folder / kind).mkdir()
        if kind == "swift":
            store = stack.enter_context(swift.running_swift(folder / kind))
        else:
            store = stack.enter_context(_moto(folder / kind))
        front, port = folder / "front", loopback.free_port()
        front.mkdir()
        backend = store.endpoint.removeprefix("http://")
        (front / "nginx.conf").write_text(_FRONT.format(folder=front, address=network.servers, port=port, backend=backend))
        program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "nginx"
        command = [program, "-p", str(front), "-c", str(front / "nginx.conf")]
        stack.enter_context(_running(command, front, network.servers, port))
        session = boto3.Session(
            store.environment["AWS_ACCESS_KEY_ID"], store.environment["AWS_SECRET_ACCESS_KEY"], region_name=swift.REGION
        )
        session.client("s3", endpoint_url=store.endpoint).create_bucket(Bucket="pictures")
        yield f"http://{network.servers}:{port}", store.environment


@contextlib.contextmanager
def _moto(folder: Path) -> Iterator["swift.S3"]:  # type: ignore[name-defined]  # noqa: F821
    from tests.support import swift

    port = loopback.free_port()
    with _running([sys.executable, "-m", "moto.server", "-p", str(port)], folder, "127.0.0.1", port):
        yield swift.S3(f"http://127.0.0.1:{port}", swift.credentials("any", "any"))


@contextlib.contextmanager
def _running(command: list[str], folder: Path, address: str, port: int) -> Iterator[None]:
    with open(folder / "server.log", "w") as log, subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as process:
        try:
            loopback.wait_for(address, port, process)
            yield
        finally:
            process.terminate()


class Trouble(NamedTuple):
    """What goes wrong when this share of the pictures is stored, for so many seconds."""

    what: str
    share: float
    seconds: float
    begin: Callable[[], object]
    end: Callable[[], object] = lambda: None


def prove(kind: str, minutes: int, workers: int = 4) -> Proof:
    """Have three hosts store the minutes while one is killed, one cut off from luigid, and the bucket away for a while."""
    with world(kind) as shared:
        began = time.monotonic()
        hosts = [shared.start(host, minutes, workers) for host in range(HOSTS)]
        waiting = [Trouble("host 0 is killed", 0.3, MOST_SECONDS, hosts[0].kill)]
        if shared.network.is_real:
            cut, mend = partial(shared.network.cut, 1), partial(shared.network.mend, 1)
            waiting.append(Trouble("host 1 is cut off from luigid", 0.1, CUT_SECONDS, cut, mend))
        if kind != "folder":
            away = shared.folder / "front" / "away"
            waiting.append(Trouble("the bucket answers 503", 0.5, AWAY_SECONDS, away.touch, away.unlink))
        ongoing: list[tuple[float, Trouble]] = []
        while any(host.poll() is None for host in hosts):
            now, stored = time.monotonic() - began, sum(shared.stored().values())
            if now > MOST_SECONDS:
                hosts[0].kill()
                sys.exit("\n".join(["the hosts do not end:", *map(shared.said, range(HOSTS))]))
            for trouble in [each for each in waiting if stored >= each.share * minutes]:
                trouble.begin()
                waiting.remove(trouble)
                ongoing.append((now + trouble.seconds, trouble))
                print(f"{now:6.1f} s, {stored} pictures stored: {trouble.what}", flush=True)
            for until, trouble in [each for each in ongoing if each[0] <= now]:
                trouble.end()
                ongoing.remove((until, trouble))
                print(f"{now:6.1f} s, {stored} pictures stored: no longer: {trouble.what}", flush=True)
            time.sleep(0.1)
        return Proof(
            missing=shared.missing(minutes),
            stored_twice=sum(count > 1 for count in shared.stored().values()),
            fetched_twice=sum(count > 1 for count in shared.fetched().values()),
            requests=shared.requests(),
            seconds=time.monotonic() - began,
            exit_codes=[host.returncode for host in hosts],
            said="\n".join(map(shared.said, range(HOSTS))),
        )


def pictures_a_second(kind: str, minutes: int, hosts: int, workers: int) -> float:
    """Return how many pictures a second so many hosts store, their start and their end included."""
    with world(kind, LATENCY_SECONDS) as shared:
        began = time.monotonic()
        processes = [shared.start(host, minutes, workers) for host in range(hosts)]
        for host, process in enumerate(processes):
            if process.wait(MOST_SECONDS):
                sys.exit(f"host {host} ended with exit code {process.returncode}:\n{shared.said(host)}")
        return minutes / (time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", choices=ROOTS, default="folder", help="what the hosts share (folder)")
    parser.add_argument("--minutes", type=int, default=720, help="minutes that are missing (720)")
    parser.add_argument("--workers", type=int, default=4, help="processes of each host (4)")
    parser.add_argument("--part", choices=("proof", "speed"), help="only this part")
    options = parser.parse_args()
    if options.part != "speed":
        proof = prove(options.root, options.minutes, options.workers)
        print(f"{options.minutes - proof.missing} of {options.minutes} pictures are there, {proof.stored_twice} stored twice, ")
        print(f"{proof.fetched_twice} fetched twice, {proof.requests} requests of the API, {proof.seconds:.0f} s, ", end="")
        print(f"exit codes {proof.exit_codes}\n\n{proof.said}", flush=True)
    if options.part != "proof":
        print(f"\n| hosts, {options.workers} processes each, {options.root} | pictures/s |\n|---|---|")
        for hosts in range(1, HOSTS + 1):
            speed = pictures_a_second(options.root, options.minutes, hosts, options.workers)
            print(f"| {hosts} | {speed:.0f} |", flush=True)


if __name__ == "__main__":
    main()
