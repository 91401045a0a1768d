"""luigi.cfg: every knob is there with its comment, and what cannot be is refused before a request is spent."""

import configparser
import re

import luigi
import pytest

from pipeline import settings
from tests.conftest import REPOSITORY, Project, WatchedSandbox
from tests.processes import FAILED


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


def test_every_setting_has_a_comment() -> None:
    """Each setting of luigi.cfg stands under a comment of its own or of the settings it belongs with."""
    commented = False
    for line in (REPOSITORY / "luigi.cfg").read_text().splitlines():
        if re.match(r"\w+ =", line):
            assert commented, line
        else:
            commented = line.startswith("#")


@pytest.mark.parametrize(
    ("knob", "value", "says"),
    [
        ("topics", "[]", "name at least one"),
        ("size", "huge", "full, regular, small, thumb"),
        ("orientation", "round", "nothing, landscape, portrait, squarish"),
        ("content-filter", "none", "low, high"),
        ("photos-per-request", "31", "1 to 30"),
        ("photos-per-request", "many", "photos_per_request"),
        ("no-repeat-days", "-1", "0 to 365"),
        ("answer-seconds", "nan", "more than 0"),
    ],
)
def test_an_unknown_value_is_refused(project: Project, api: WatchedSandbox, knob: str, value: str, says: str) -> None:
    """A value that cannot be ends the run with one line that lists what can, before a request is spent."""
    run = project.store("2026-11-23T1205", f"--unsplash-{knob}", value)
    assert run.returncode == 30
    assert says in run.stderr
    assert "Traceback" not in run.stderr
    assert project.files() == FAILED
    assert api.asked == []


@pytest.mark.parametrize("setting", [{"keep_days": "many"}, {"root": "100%"}])
def test_a_section_that_cannot_be_read(project: Project, setting: dict[str, str]) -> None:
    """What cannot be read in [storage] is said in one line that names the setting."""
    project.configure(**setting)
    run = project.run("pipeline", "status")
    assert run.returncode == 30
    assert len(run.stderr.splitlines()) == 1
    assert f"[storage]: Error when parsing the default value of '{next(iter(setting))}'" in run.stderr


def test_topics_are_words_between_commas() -> None:
    """Blanks, quotes, brackets and repeats are no part of a topic."""
    assert settings.TopicsParameter().parse(' ["still life", art,, art ] ') == ("still life", "art")
