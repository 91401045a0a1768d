"""luigi.cfg: which one is read and how, what holds without one, and what is said of one that cannot be read."""

import re
import subprocess
import sys

import pytest

from tests.conftest import Project, WatchedSandbox, status, untimed

MINUTE = "2026-11-23T1205"
# Luigi itself warns of a luigi.cfg without [core] autoload_range, and of a LUIGI_CONFIG_PATH that names no file.
QUIET = {"PYTHONWARNINGS": "ignore"}


@pytest.fixture
def elsewhere(project: Project) -> Project:
    """A project in whose folder there is no luigi.cfg."""
    (project.folder / "luigi.cfg").unlink()
    return project


def test_without_luigi_cfg_the_contract_holds(elsewhere: Project, api: WatchedSandbox) -> None:
    """Where there is no luigi.cfg a failed minute exits with 30, and one line says so and where pictures go."""
    api.instead = lambda target: status(401)
    run = elsewhere.store(MINUTE, **QUIET)
    assert run.returncode == 30
    lines = run.stderr.splitlines()
    assert [line.split(" ", 1)[1] for line in lines[:2]] == [
        f"there is no luigi.cfg in {elsewhere.folder}: the values of the one that is shipped hold; "
        f"pictures go to {elsewhere.root}",
        f"FetchMetadata {MINUTE} started",
    ]
    assert len(lines) == 3
    verb = elsewhere.run("pipeline", "status", **QUIET)
    assert verb.stderr.count("there is no luigi.cfg") == len(verb.stderr.splitlines()) == 1


def test_without_luigi_cfg_the_tries_are_eleven(elsewhere: Project, api: WatchedSandbox) -> None:
    """What none of the files says is the contract's, and what one says is that one's, in Luigi's older spelling too."""
    (elsewhere.folder / "luigi.cfg").write_text("[scheduler]\nretry-delay = 0.1\n[worker]\nwait_interval = 0.02\n")
    api.instead = lambda target: status(503)
    run = elsewhere.store(MINUTE, **QUIET)
    assert (run.returncode, len(api.requests("/photos/random"))) == (30, 11)


def test_a_path_that_names_no_file(project: Project) -> None:
    """A LUIGI_CONFIG_PATH that names none is said in one line, with what is read in its place."""
    missing = project.folder / "nowhere.cfg"
    run = project.store(MINUTE, **QUIET, LUIGI_CONFIG_PATH=str(missing))
    assert run.returncode == 0, run.stderr
    said = (
        f"LUIGI_CONFIG_PATH names no file, '{missing}': {project.folder / 'luigi.cfg'} is read; pictures go to {project.root}"
    )
    assert run.stderr.splitlines()[0].endswith(said)


def test_status_names_the_file_that_was_read(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """LUIGI_CONFIG_PATH wins over the folder's, and `status` says so."""
    other = tmp_path_factory.mktemp("other") / "my.cfg"
    other.write_text("[storage]\nroot = elsewhere\n")
    run = project.run("pipeline", "status", LUIGI_CONFIG_PATH=str(other))
    assert f"\npictures        elsewhere\nluigi.cfg       {other}\n" in run.stdout


def test_it_is_read_as_utf_8(project: Project, api: WatchedSandbox) -> None:
    """In a locale of another encoding a topic is what the file says."""
    path = project.folder / "luigi.cfg"
    path.write_bytes(path.read_bytes().replace(b"topics = history", "topics = Zürich".encode()).replace(b", life", b""))
    project.configure(topics="Zürich")
    made = subprocess.run(["localedef", "-i", "de_CH", "-f", "ISO-8859-1", project.folder / "de_CH.ISO-8859-1"])
    if made.returncode:
        pytest.skip("localedef: no such locale can be made here")
    run = project.store(MINUTE, LC_ALL="de_CH.ISO-8859-1", LOCPATH=str(project.folder), PYTHONUTF8="0")
    assert run.returncode == 0, run.stderr
    assert "query=Z%C3%BCrich" in api.requests("/photos/random")[0]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xef\xbb\xbf[storage]\nroot = pics\n", ("line 1", "byte order mark")),
        (b"[storage]\nroot = pics\nroot = more\n", ("line 3", "root", "already exists")),
        (b"[storage]\nroot = pics\n[storage]\n", ("line 3", "storage", "already exists")),
        (b"[storage]\nroot\n", ("line 2", "root")),
        (b"root = pics\n", ("line: 1", "no section headers")),
        (b"[unsplash]\n\ntopics = Z\xfcrich\n", ("line 3", "no UTF-8")),
        ("[storage]\nroot = pics\n".encode("utf-16"), ("line 1", "no UTF-8")),
    ],
)
def test_a_file_that_cannot_be_read(project: Project, content: bytes, says: tuple[str, ...]) -> None:
    """Every verb, and store-minute, ends with one line that names the file and the place, and 40; `luigi` stores nothing."""
    path = project.folder / "luigi.cfg"
    path.write_bytes(content)
    for command in (("pipeline", "status"), ("pipeline", "check"), ("pipeline.store_minute", MINUTE)):
        run = project.run(*command)
        assert (run.returncode, run.stdout, len(run.stderr.splitlines())) == (40, "", 1), run.stderr
        assert all(each in run.stderr for each in (str(path), *says)), run.stderr
    # Luigi reads the file when it is imported, before it imports anything of this project.
    assert project.store(MINUTE).returncode == 1
    assert [each.name for each in project.folder.iterdir()] == ["luigi.cfg"]


@pytest.mark.parametrize("command", ["pipeline status", "luigi --module pipeline StoreImage --local-scheduler"])
def test_a_folder_that_is_gone(project: Project, command: str) -> None:
    """What is started in a folder that was removed says so in one line, and ends with 40."""
    from_there = ["sh", "-c", f"mkdir gone && cd gone && rmdir ../gone && exec '{sys.executable}' -m {command}"]
    run = subprocess.run(from_there, cwd=project.folder, env=project.environment | QUIET, capture_output=True, text=True)
    assert (run.returncode, untimed(run.stderr)) == (40, "the folder in which this was started is gone\n")


def test_a_file_that_may_not_be_read(project: Project) -> None:
    """What Luigi passes over without a word ends a run in one line: a folder of that name, or a file of somebody else's."""
    path = project.folder / "luigi.cfg"
    path.unlink()
    path.mkdir()
    run = project.store(MINUTE, **QUIET)
    assert run.returncode == 40
    assert re.fullmatch(rf"\S+Z {re.escape(str(path))} cannot be read: Is a directory\n", run.stderr)


def test_toml_is_refused(project: Project) -> None:
    """Luigi's other format is not read here, and a line says so."""
    run = project.run("pipeline", "status", LUIGI_CONFIG_PARSER="toml")
    assert (run.returncode, len(run.stderr.splitlines())) == (40, 1)
    assert "no luigi.toml" in run.stderr
