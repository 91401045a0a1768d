"""Archives: on a disk, and in a bucket behind a proxy that counts and breaks."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.archive import Archive
from tests.support import s3 as servers
from tests.support.s3 import Bucket

moto, swift, s3_server = servers.moto, servers.swift, servers.s3_server
proxy, s3, bucket = servers.proxy, servers.s3, servers.bucket


@pytest.fixture
def disk(tmp_path: Path) -> Archive:
    """Return an archive on a disk."""
    return Archive(tmp_path / "data")


@pytest.fixture(params=["disk", pytest.param("bucket", marks=pytest.mark.ci)])
def archive(request: pytest.FixtureRequest) -> Archive:
    """Return an archive on a disk, and one in a bucket: a minute's files mean the same on both."""
    archive: Archive = request.getfixturevalue(request.param)
    return archive


@pytest.fixture
def file_names(request: pytest.FixtureRequest, archive: Archive) -> Callable[[], set[str]]:
    """Return what gives the names of all files of the archive, as another program sees them: `2026-11-23/1205.jpg`."""
    root = archive.files.path("")
    if root.startswith("s3:"):
        bucket: Bucket = request.getfixturevalue("s3")
        return lambda: bucket.files() - {"conditions"}  # what a bucket's archive keeps for itself
    return lambda: {path.relative_to(root).as_posix() for path in Path(root).rglob("*") if not path.is_dir()}
