"""An archive for the steps of a minute."""

from pathlib import Path

import pytest

from pipeline.archive import Archive


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "data")
