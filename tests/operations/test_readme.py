"""The README says what is: its commands run, and what they are said to print is printed."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests import servers
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text("utf-8")
COMMANDS = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)


def test_ci_calls_the_test_command() -> None:
    """What checks the project runs the README's test command to the letter."""
    assert COMMANDS[1] in (REPOSITORY / ".ci/run").read_text().splitlines()


def test_every_linked_file_is_there() -> None:
    """No link of a page leads nowhere."""
    for page in (*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")):
        for target in re.findall(r"(?:\]\(|(?:src|href)=\")(?!https?:|#)([^)#\"]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_what_the_container_copies_is_there() -> None:
    """The image is built of files that there are, and that .dockerignore leaves in; the key and the pictures stay out."""
    left_in = re.findall(r"(?m)^!(\S+)$", (REPOSITORY / ".dockerignore").read_text())
    copied = re.findall(r"(?m)^COPY (.+) \S+$", (REPOSITORY / "deploy" / "Dockerfile").read_text())
    names = [name for names in copied for name in names.split()]
    assert sorted(names) == sorted(left_in)
    assert all((REPOSITORY / name).exists() for name in names)
    assert not {".env", "data"} & set(names)


@pytest.mark.ci
def test_the_first_command_stores_a_picture(tmp_path: Path) -> None:
    """In a fresh clone, without a key, an account or a server, the README's first command stores a picture."""
    clone = tmp_path / "clone"
    subprocess.run([servers.program("git"), "clone", "-q", str(REPOSITORY), str(clone)], check=True)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("UNSPLASH_", "LUIGI_", "VIRTUAL_"))
    }
    run = subprocess.run(["/bin/sh", "-c", COMMANDS[0]], cwd=clone, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert len(list((clone / "data/demo").glob("*/*.jpg"))) == 1
    assert re.search(r"StoreImage \S+ done", run.stderr)
