"""Three hosts, a real S3 server, a real luigid: what is stored while all of them are in trouble; see benchmarks/hosts.py."""

import shutil

import pytest

from benchmarks import hosts

MINUTES = 150
ROOT = "swift" if shutil.which("swift-proxy-server") else "moto"


@pytest.mark.hosts
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("nginx", path="/usr/sbin:/usr/bin"), reason="needs nginx")
def test_every_picture_is_stored_once() -> None:
    """With one host killed, one cut off from luigid for 30 s and the store away for 20 s, every picture is there, put once."""
    proof = hosts.prove(ROOT, MINUTES, workers=2)
    print(f"{ROOT}: {proof.requests} requests of the API, {proof.fetched_twice} pictures fetched twice, {proof.seconds:.0f} s")
    assert proof.missing == proof.stored_twice == 0, proof.said
    assert proof.exit_codes == [-9, 0, 0], proof.said
