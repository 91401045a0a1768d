"""The knobs of luigi.cfg and of Luigi's command line: what they are, what they may be, and what is said of others."""

import functools
import multiprocessing
import os
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.configuration import get_config

from pipeline import configuration, log
from pipeline import unsplash as api
from pipeline.archive import Archive
from pipeline.errors import BadSettings

ALLOWED: dict[str, range | tuple[str, ...]] = {
    "orientation": ("", "landscape", "portrait", "squarish"),
    "content_filter": ("low", "high"),
    "size": api.SIZES,
    "photos_per_request": range(1, 31),
    "no_repeat_days": range(0, 366),
    "requests_reserved": range(0, 5001),
    "keep_days": range(0, 36501),
}


class TopicsParameter(luigi.Parameter):
    """Words between commas, semicolons or on lines of their own; blanks, quotes and repeats are dropped."""

    def parse(self, text: str) -> tuple[str, ...]:
        words = (part.strip(" \t\r\n[]\"'") for part in re.split(r"[,;\n]", text))
        return tuple(dict.fromkeys(word for word in words if word))

    def serialize(self, topics: Sequence[str]) -> str:
        return ", ".join(topics)


class unsplash(luigi.Config):
    """The section [unsplash]: what is asked of the API."""

    topics = TopicsParameter(default=("history", "life", "wisdom", "art", "office", "nature"))  # type: ignore[arg-type]
    photos_per_request = luigi.IntParameter(default=30)
    orientation = luigi.Parameter(default="")
    content_filter = luigi.Parameter(default="low")
    size = luigi.Parameter(default="regular")
    no_repeat_days = luigi.IntParameter(default=30)
    report_downloads = luigi.BoolParameter(default=True, parsing=luigi.BoolParameter.EXPLICIT_PARSING)
    requests_reserved = luigi.IntParameter(default=5)
    app_name = luigi.Parameter(default="picture_a_minute")
    answer_seconds = luigi.FloatParameter(default=60.0)


class storage(luigi.Config):
    """The section [storage]: where the pictures are kept."""

    root = luigi.Parameter(default="data")
    must_exist = luigi.BoolParameter(default=False, parsing=luigi.BoolParameter.EXPLICIT_PARSING)
    keep_days = luigi.OptionalIntParameter(default=None)


SECTIONS: dict[str, type[luigi.Config]] = {"unsplash": unsplash, "storage": storage}


@functools.cache
def unsplash_settings() -> unsplash:
    """Return the section [unsplash]; BadSettings if a setting of either section is unknown or cannot be."""
    check()
    return unsplash()


def storage_settings() -> storage:
    """Return the section [storage]; BadSettings as above."""
    check()
    return storage()


@functools.cache
def archive() -> Archive:
    """Return the archive under ROOT."""
    section = storage_settings()
    return Archive(_root(section), understood(section.root) if section.must_exist else "")


def _root(section: storage) -> str:
    """Return ROOT; samples of the sandbox have one of their own below it and never pass for photos."""
    root = understood(section.root)
    return f"{root.rstrip('/')}/demo" if api.is_demo() else root


def use_root(root: str) -> None:
    """Have ROOT be this one in this process, whatever luigi.cfg says."""
    get_config().set("storage", "root", root.replace("%", "%%"))


@functools.cache
def check() -> None:
    """Raise the first of the `problems` as BadSettings; log where pictures go if no luigi.cfg is found."""
    log.set_up()
    for problem in problems():
        raise BadSettings(problem)
    if (missing := configuration.not_found()) and not multiprocessing.parent_process():
        log.logger.warning("%s; pictures go to %s", missing, os.path.abspath(_root(storage())))


def problems() -> Iterator[str]:
    """Give what is wrong with the knobs, in luigi.cfg and on Luigi's command line, in a line each that names one.

    Of Luigi's own sections an option that looks like none of theirs is let be: not all that Luigi reads is listed anywhere.
    """
    config, sections = get_config(), {**SECTIONS, **configuration.luigi_sections()}
    for name in config.sections():
        if name not in sections and (near := get_close_matches(name.lower(), sections, 1, 0.8)):
            yield f"[{name}] is no section of luigi.cfg: did you mean [{near[0]}]?"
    for name, section in sections.items():
        knobs = dict(section.get_params())
        for option in config.options(name) if config.has_section(name) else ():
            if option.replace("-", "_") not in knobs and option not in config.defaults():
                near = get_close_matches(option.lower(), knobs, 1, 0.6 if name in SECTIONS else 0.8)
                if near or name in SECTIONS:
                    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(knobs)}"
                    yield f"[{name}] {option} is no setting: {hint}"
    line = CmdlineParser.get_instance()
    for option, given in vars(line.known_args).items() if line else ():
        if given == "":  # of an unset variable, say, and Luigi passes it over
            yield f"--{option.replace('_', '-')} is empty: give it a value, or leave it out"
    for name, section in SECTIONS.items():
        for knob, parameter in section.get_params():
            try:
                _check_value(f"[{name}] {knob}", knob, configuration.value(name, knob, parameter))
            except BadSettings as error:
                yield str(error)


def understood(root: str) -> str:
    """Return ROOT with `~` and $NAME filled in; BadSettings for what nobody means as the name of a folder."""
    path = os.path.expandvars(os.path.expanduser(root.strip()))
    if re.match("(?i)s3:", path):
        path = path[:2].lower() + path[2:]
    if not path:
        raise BadSettings("[storage] root is empty: name a folder, such as data")
    if path[0] in "\"'" or path[-1] in "\"'":
        raise BadSettings(f"[storage] root is {root!r}: write it without quotes")
    if path[0] == "~" or "$" in path:
        raise BadSettings(f"[storage] root is {root!r}: there is no such user or variable")
    if not path.isprintable():
        raise BadSettings(f"[storage] root is {root!r}: it is one line, without control characters")
    if re.match(r"s3:|\w{2,}:/", path) and not re.match("s3://[^/]", path):
        raise BadSettings(f"[storage] root is {root!r}: use a folder, or s3://bucket/prefix")
    return path


def _check_value(name: str, knob: str, value: object) -> None:
    """Raise BadSettings for a value that the knob cannot have."""
    for word in value if isinstance(value, tuple) else (value,):
        if isinstance(word, str) and re.search(r"(^|\s)[#;]", word):
            raise BadSettings(f"{name} is {word!r}: a comment stands on a line of its own")
    if knob == "root":
        understood(str(value))
    elif knob == "topics" and not value:
        raise BadSettings(f"{name} is empty: name at least one, such as nature")
    elif knob == "answer_seconds" and isinstance(value, float) and not 0 < value <= 3600:
        raise BadSettings(f"{name} is {value:g}: use more than 0, up to 3600")
    elif value is not None and knob in ALLOWED and value not in (allowed := ALLOWED[knob]):
        is_range = isinstance(allowed, range)
        choices = f"{allowed[0]} to {allowed[-1]}" if is_range else ", ".join(str(each) or "nothing" for each in allowed)
        raise BadSettings(f"{name} is {value!r}: use {choices}" + ", or nothing" * (knob == "keep_days"))
