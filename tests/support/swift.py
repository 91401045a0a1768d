"""OpenStack Swift with its s3api, from Debian's packages: a real S3 server on loopback, alone on one folder.

One replica on one device, and no process that repairs or cleans up: what is put is there when the answer says so.
"""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.luigid import free_port

ACCESS_KEY, SECRET_KEY, REGION = "test:tester", "testing", "us-east-1"
START_SECONDS = 60

_PARTS = ("account", "container", "object")
_PLAIN_FILTERS = ("catch_errors", "gatekeeper", "healthcheck", "listing_formats", "copy", "slo", "dlo", "versioned_writes")

# Swift reads its hash suffix and policies from /etc/swift/swift.conf and nowhere else; Debian's package brings one.
_STORING = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
node_timeout = 60
log_level = WARNING
conn_timeout = 10
container_update_timeout = 60

[pipeline:main]
pipeline = {part}-server

[app:{part}-server]
use = egg:swift#{part}
"""

_PROXY = """
[DEFAULT]
bind_ip = {address}
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}

[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats s3api tempauth copy slo dlo versioned_writes proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 60
log_level = WARNING
conn_timeout = 10

[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}

[filter:s3api]
use = egg:swift#s3api
location = us-east-1

[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
""" + "".join(f"\n[filter:{name}]\nuse = egg:swift#{name}\n" for name in _PLAIN_FILTERS)

# One ring for each part, one device in it.
_RINGS = """
import sys
from swift.common.ring import RingBuilder
folder, *ports = sys.argv[1:]
for part, port in zip(("account", "container", "object"), ports):
    ring = RingBuilder(4, 1, 0)
    ring.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "disk", "weight": 1})
    ring.rebalance()
    ring.get_ring().save(f"{folder}/{part}.ring.gz")
"""


class S3(NamedTuple):
    """An S3 server: where it listens, and what boto3 reads from the environment to speak to it."""

    endpoint: str
    environment: dict[str, str]


def credentials(access_key: str, secret_key: str) -> dict[str, str]:
    """Return the environment by which boto3 finds its credentials."""
    return {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key, "AWS_DEFAULT_REGION": REGION}


@contextlib.contextmanager
def running_swift(folder: Path, address: str = "127.0.0.1") -> Iterator[S3]:
    """Run Swift on a folder, which must take extended attributes, until the block ends; skip the test without Swift."""
    if not (shutil.which("swift-proxy-server") and Path("/etc/swift/swift.conf").exists()):
        pytest.skip("Swift is not installed (Debian: swift-proxy swift-account swift-container swift-object)")
    _skip_without_attributes(folder)
    (folder / "devices" / "disk").mkdir(parents=True)
    ports = {part: free_port() for part in (*_PARTS, "memcached", "proxy")}
    # Swift is Debian's Python's, not this one's.
    subprocess.run(["/usr/bin/python3", "-c", _RINGS, folder, *(str(ports[part]) for part in _PARTS)], check=True)
    for part in (*_PARTS, "proxy"):
        text = (_PROXY if part == "proxy" else _STORING).format(
            part=part, port=ports[part], address=address, folder=folder, user=getpass.getuser(), memcached=ports["memcached"]
        )
        (folder / f"{part}-server.conf").write_text(text)
    commands = [["memcached", "-u", getpass.getuser(), "-l", "127.0.0.1", "-p", str(ports["memcached"])]]
    commands += [[f"swift-{part}-server", f"{folder}/{part}-server.conf", "-v"] for part in (*_PARTS, "proxy")]
    endpoint = f"http://{address}:{ports['proxy']}"
    with contextlib.ExitStack() as running, open(folder / "swift.log", "wb") as log:
        processes = []
        for command in commands:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
            running.callback(process.wait, START_SECONDS)
            running.callback(process.terminate)
            processes.append(process)
        for part, port in ports.items():
            _wait_for(address if part == "proxy" else "127.0.0.1", port, processes, folder / "swift.log")
        yield S3(endpoint, credentials(ACCESS_KEY, SECRET_KEY))


def _skip_without_attributes(folder: Path) -> None:
    probe = folder / "probe"
    probe.touch()
    try:
        os.setxattr(probe, "user.swift.metadata", b"1")
    except OSError as error:
        pytest.skip(f"{folder} takes no extended attributes: {error.strerror}")
    finally:
        probe.unlink()


def _wait_for(address: str, port: int, processes: list["subprocess.Popen[bytes]"], log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection((address, port), START_SECONDS):
            return
        ended = [process for process in processes if process.poll() is not None]
        assert not ended and time.monotonic() < give_up, f"Swift did not start:\n{log.read_text()}"
        time.sleep(0.05)
