"""luigid beside a project."""

from collections.abc import Iterator

import pytest

from tests.conftest import Project
from tests.support.luigid import Luigid, running_luigid


@pytest.fixture
def luigid(project: Project) -> Iterator[Luigid]:
    """A luigid with the project's luigi.cfg."""
    with running_luigid(project.folder, project.environment) as luigid:
        yield luigid
