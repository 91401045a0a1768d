"""A minute's run as a whole: `luigi` in a process, the sandbox on a real port, files on a real disk."""

from tests.conftest import Project


def test_a_minute_is_stored(project: Project) -> None:
    """A run stores the three files of its minute and exits 0."""
    run = project.store("2026-11-23T1205")
    assert run.returncode == 0, run.stderr
    assert {f"2026-11-23/1205.{suffix}" for suffix in ("json", "txt", "jpg")} <= project.files()
