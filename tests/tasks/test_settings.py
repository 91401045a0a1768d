"""luigi.cfg: every knob is there with its comment, and what cannot be is refused before a request is spent."""

import configparser
import re
import subprocess
from datetime import datetime
from pathlib import Path

import luigi
import pytest

from pipeline import configuration, settings
from pipeline.archive import KEPT, Archive
from pipeline.errors import RootUnusable
from tests.conftest import REPOSITORY, Project, WatchedSandbox, untimed


def shipped() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / "luigi.cfg")
    return parser


@pytest.mark.parametrize("section", [settings.unsplash, settings.storage])
def test_the_shipped_values_are_the_defaults(section: type[luigi.Config]) -> None:
    """luigi.cfg shows every knob of the project with the value that it has without luigi.cfg."""
    written = dict(shipped()[section.get_task_family()])
    parameters = dict(section.get_params())
    assert written.keys() == parameters.keys()
    for name, parameter in parameters.items():
        assert parameter.parse(written[name]) == parameter.task_value("absent", name)


def test_the_shipped_values_hold_without_luigi_cfg() -> None:
    """What Luigi is told where there is no luigi.cfg is what the shipped one says of Luigi's sections."""
    defaults = configparser.ConfigParser()
    defaults.read(configuration.DEFAULTS)
    ours = {section: dict(shipped()[section]) for section in shipped().sections() if section not in settings.SECTIONS}
    assert {section: dict(defaults[section]) for section in defaults.sections()} == ours


def test_every_setting_has_a_comment() -> None:
    """Each setting of luigi.cfg stands under a comment of its own or of the settings it belongs with."""
    commented = False
    for line in (REPOSITORY / "luigi.cfg").read_text().splitlines():
        if re.match(r"\w+ =", line):
            assert commented, line
        else:
            commented = line.startswith("#")


VALUES = [
    ("topics", "[]", "name at least one"),
    ("size", "huge", "full, regular, small, thumb"),
    ("orientation", "round", "nothing, landscape, portrait, squarish"),
    ("content-filter", "none", "low, high"),
    ("photos-per-request", "31", "1 to 30"),
    ("photos-per-request", "many", "photos_per_request cannot be read: invalid literal"),
    ("no-repeat-days", "-1", "0 to 365"),
    ("answer-seconds", "nan", "more than 0"),
    ("app-name", "me  # mine", "a comment stands on a line of its own"),
]


def assert_refused(project: Project, api: WatchedSandbox, run: "subprocess.CompletedProcess[str]", *says: str) -> None:
    """Check that the run ended with one line, which says this, and exit code 40, before anything was asked for or made."""
    assert run.returncode == 40, run.stderr
    assert len(run.stderr.splitlines()) == 1, run.stderr
    for each in says:
        assert each in run.stderr
    assert api.asked == []
    assert project.files() == set()


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("knob", "value", "says"), VALUES)
def test_an_unknown_value_is_refused(project: Project, api: WatchedSandbox, knob: str, value: str, says: str) -> None:
    """A value that cannot be ends the run with one line that lists what can, before a request is spent."""
    assert_refused(project, api, project.store("2026-11-23T1205", f"--unsplash-{knob}", value), says)


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[unsplash]\ntopcis = cats\n", ("[unsplash] topcis", "did you mean topics?")),
        ("[unsplash]\nTopics = cats\n", ("[unsplash] Topics", "did you mean topics?")),
        ("[storage]\nkeepdays = 3\n", ("[storage] keepdays", "did you mean keep_days?")),
        ("[storage]\nfolder = pics\n", ("[storage] folder", "there are root, must_exist, keep_days")),
        ("[unsplsh]\ntopics = cats\n", ("[unsplsh]", "did you mean [unsplash]?")),
        ("[Storage]\nroot = pics\n", ("[Storage]", "did you mean [storage]?")),
        ("[retcodes]\ntask_failed = 1\n", ("[retcodes]", "did you mean [retcode]?")),
        ("[scheduler]\nretry_cuont = 3\n", ("[scheduler] retry_cuont", "did you mean retry_count?")),
        ("[scheduler]\nretry_count = three\n", ("[scheduler] retry_count cannot be read",)),
        ("[retcode]\ntask_failed = one\n", ("[retcode] task_failed cannot be read",)),
        ("[storage]\nkeep_days = many\n", ("[storage] keep_days cannot be read",)),
        ("[storage]\nkeep_days = -1\n", ("[storage] keep_days is -1: use 0 to 36500, or nothing",)),
        ("[storage]\nmust_exist = maybe\n", ("[storage] must_exist cannot be read",)),
        ("[storage]\nroot = 100%\n", ("[storage] root cannot be read",)),
        ("[storage]\nroot = ${NO_SUCH_VARIABLE}/pics\n", ("[storage] root cannot be read", "NO_SUCH_VARIABLE")),
    ],
)
def test_what_is_not_understood_ends_every_run(project: Project, api: WatchedSandbox, text: str, says: tuple[str, ...]) -> None:
    """What luigi.cfg says and nobody reads ends `luigi` and the verbs with one line that names it, and the nearest there is."""
    (project.folder / "luigi.cfg").write_text(text)
    environment = {"PYTHONWARNINGS": ""}  # Luigi's own, of a file without [core]
    assert_refused(project, api, project.store("2026-11-23T1205", **environment), *says)
    assert_refused(project, api, project.run("pipeline", "status", **environment), *says)


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("root", "says"),
    [
        ('"pics"', "without quotes"),
        ("data  # mine", "a comment stands on a line of its own"),
        ("data ; mine", "a comment stands on a line of its own"),
        ("", "is empty"),
        ("$NO_SUCH_VARIABLE/pics", "no such user or variable"),
        ("~nobody-of-this-name/pics", "no such user or variable"),
        ("pics\n  more", "one line"),
        ("S3://", "s3://bucket/prefix"),
        ("s3:/bucket/prefix", "s3://bucket/prefix"),
        ("gs://bucket/prefix", "s3://bucket/prefix"),
    ],
)
def test_a_root_that_nobody_means(project: Project, api: WatchedSandbox, root: str, says: str) -> None:
    """What cannot be meant as ROOT is refused, and no folder of that name is made."""
    project.configure(root=root)
    assert_refused(project, api, project.store("2026-11-23T1205"), "[storage] root", says)
    assert [path.name for path in project.folder.iterdir()] == ["luigi.cfg"]


def test_a_root_is_understood_as_a_shell_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home, a variable, blanks around it, and S3 in capitals."""
    monkeypatch.setenv("HOME", "/home/me")
    understood = ["~/pics", "$HOME/pics", "${HOME}/pics", " /home/me/pics "]
    assert {settings.understood(root) for root in understood} == {"/home/me/pics"}
    assert settings.understood("S3://Bucket/Prefix") == "s3://Bucket/Prefix"


@pytest.mark.parametrize("option", ["--timestamp=", "--storage-root=", "--unsplash-size="])
def test_an_empty_option_is_refused(project: Project, option: str) -> None:
    """An option without a value, of an unset variable, is named: Luigi would take what stands elsewhere in its place."""
    run = project.run("luigi", "--module", "pipeline", "StoreImage", "--local-scheduler", option)
    assert (run.returncode, untimed(run.stderr)) == (40, f"{option[:-1]} is empty: give it a value, or leave it out\n")
    assert not project.root.exists()


def test_a_stored_minute_does_not_hide_a_setting(project: Project) -> None:
    """Settings are looked at also where nothing is left to do."""
    assert project.store("2026-11-23T1205").returncode == 0
    run = project.store("2026-11-23T1205", "--unsplash-size", "huge")
    assert (run.returncode, "[unsplash] size is 'huge'" in run.stderr) == (40, True)


def test_a_range_names_the_setting(project: Project) -> None:
    """RangeByMinutes ends with the same line."""
    span = ("--start", "2026-11-23T1205", "--stop", "2026-11-23T1206", "--minutes-back", "10000000")
    command = ("luigi", "--module", "pipeline", "RangeByMinutes", "--of", "StoreImage", "--local-scheduler", *span)
    run = project.run(*command, "--unsplash-size", "huge", PYTHONWARNINGS="")
    assert (run.returncode, run.stderr.count("[unsplash] size is 'huge'")) == (35, 1)


def test_a_root_that_must_exist(project: Project, api: WatchedSandbox) -> None:
    """With must_exist no run and no verb makes ROOT; once it is there, minutes are stored."""
    mounted = project.folder / "disk" / "pictures"
    project.configure(root=str(mounted), must_exist="true")
    run = project.store("2026-11-23T1205")
    assert (run.returncode, len(run.stderr.splitlines())) == (35, 1)
    assert f"must_exist: there is no folder {mounted}" in run.stderr
    for verb in ("catch-up", "status", "verify"):
        run = project.run("pipeline", verb)
        assert (run.returncode, run.stdout) == (30, ""), verb
        assert f"must_exist: there is no folder {mounted}" in run.stderr
    assert not mounted.parent.exists()
    assert api.asked == []
    mounted.mkdir(parents=True)
    assert project.store("2026-11-23T1205").returncode == 0
    assert project.store("2026-11-23T1205", UNSPLASH_API_KEY="DEMO_KEY").returncode == 0


def test_a_root_that_goes_away_is_not_made_again(tmp_path: Path) -> None:
    """A disk that is unmounted while a run is at work: nothing is written in its place."""
    root = tmp_path / "pictures"
    root.mkdir()
    archive = Archive(root, str(root))
    root.rmdir()
    with pytest.raises(RootUnusable, match="must_exist"):
        archive.put_address(datetime(2026, 11, 23, 12, 5), "https://images.unsplash.com/photo-1")
    with pytest.raises(RootUnusable, match="must_exist"):
        archive.choose(KEPT, "2026-11-23T1205", "abc")
    assert not root.exists()


@pytest.mark.parametrize(
    "text", [' ["still life", art,, art ] ', "still life; art", "\nstill life\n  art\n", "still life,\nart;"]
)
def test_topics_are_words_apart(text: str) -> None:
    """Topics stand between commas, semicolons or on lines of their own; blanks, quotes, brackets and repeats are no part."""
    assert settings.TopicsParameter().parse(text) == ("still life", "art")
