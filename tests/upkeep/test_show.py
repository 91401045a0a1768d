"""`python -m pipeline show`: the newest picture, or a minute's, in the person's viewer."""

import subprocess
from pathlib import Path

import pytest

from pipeline import minutes
from pipeline.archive import Archive
from tests.conftest import Project, untimed
from tests.upkeep.stored import MINUTE, files


@pytest.fixture
def viewer(tmp_path: Path) -> Path:
    """A folder with an xdg-open that says what it was given, and ends with $CODE."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "xdg-open"
    program.write_text('#!/bin/sh\necho "$1"\nexit ${CODE:-0}\n')
    program.chmod(0o755)
    return program.parent


def show(project: Project, *options: str, path: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `show` where there is a display, unless the environment says otherwise."""
    return project.run("pipeline", "show", *options, **{"PATH": path, "DISPLAY": ":7", "WAYLAND_DISPLAY": "", **environment})


def test_the_newest_picture_is_opened(project: Project, archive: Archive, viewer: Path) -> None:
    """Without more words it is latest.jpg that the viewer is given."""
    run = show(project, path=str(viewer))
    assert (run.returncode, run.stdout, run.stderr) == (0, "data/latest.jpg\n", "")


def test_a_minute_s_picture_is_opened(project: Project, archive: Archive, viewer: Path) -> None:
    """--timestamp names the picture that the viewer is given."""
    run = show(project, "--timestamp", minutes.name(MINUTE), path=str(viewer))
    assert (run.returncode, run.stdout, run.stderr) == (0, "data/2024-02-29/1205.jpg\n", "")


def test_what_is_not_stored_is_not_opened(project: Project, archive: Archive, viewer: Path) -> None:
    """Where there is no picture one line says so, with exit code 30."""
    files(archive, MINUTE)["jpg"].unlink()
    run = show(project, "--timestamp", minutes.name(MINUTE), path=str(viewer))
    assert (run.returncode, run.stdout) == (30, "")
    assert run.stderr == "there is no data/2024-02-29/1205.jpg: nothing is stored there yet\n"


def test_without_a_display_the_path_is_said(project: Project, archive: Archive, viewer: Path) -> None:
    """Without a display, or a program that opens files, one line says where the picture is, with exit code 30."""
    run = show(project, path=str(viewer), DISPLAY="")
    assert (run.returncode, run.stderr) == (30, "there is no display here; the picture is data/latest.jpg\n")
    (viewer / "xdg-open").unlink()
    run = show(project, path=str(viewer))
    assert (run.returncode, run.stderr) == (30, "there is no xdg-open here; the picture is data/latest.jpg\n")


def test_a_viewer_that_fails_is_a_failure(project: Project, archive: Archive, viewer: Path) -> None:
    """The viewer's own exit codes mean nothing here: a failure is 30."""
    run = show(project, path=str(viewer), CODE="1")
    assert (run.returncode, untimed(run.stderr)) == (
        30,
        f"{viewer}/xdg-open ended with 1; the picture is data/latest.jpg\n",
    )
