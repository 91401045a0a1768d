"""A ROOT with one minute and its look-ahead."""

import shutil
from pathlib import Path

import pytest

from pipeline import minutes
from pipeline.archive import Archive
from tests.conftest import Project
from tests.upkeep.stored import MINUTE, files


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ROOT in which one minute is stored, with its look-ahead."""
    project = Project(tmp_path_factory.mktemp("sample"), "https://api.invalid")
    run = project.store(minutes.name(MINUTE), UNSPLASH_API_KEY="DEMO_KEY")
    assert run.returncode == 0, run.stderr
    root = project.root / "demo"
    assert files(Archive(root), MINUTE)["thumb"].exists()
    return root


@pytest.fixture
def archive(sample: Path, project: Project) -> Archive:
    """The project's archive: one minute, with its look-ahead."""
    shutil.copytree(sample, project.root)
    return Archive(project.root)
