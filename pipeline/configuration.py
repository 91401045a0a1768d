"""luigi.cfg: the files of that name that Luigi reads, and the contract's values for what none of them says.

Luigi reads these files in the encoding of the locale when it is imported itself, and takes its exit codes from them as soon as
it has imported `--module pipeline`, before it makes a task. So the import of this package is the one place to put values in.
"""

import os
import sys
import time
from configparser import ConfigParser, Error
from pathlib import Path
from typing import Any

from pipeline.errors import BadSettings

UNUSABLE = 40
DEFAULTS = Path(__file__).with_name("defaults.cfg")
# Where Luigi looks; what is read later wins.
PLACES = ("/etc/luigi/client.cfg", "/etc/luigi/luigi.cfg", "client.cfg", "luigi.cfg")


def files() -> list[str]:
    """Return the paths of the files that Luigi reads, the one that wins last."""
    found = (path for path in (*PLACES, os.environ.get("LUIGI_CONFIG_PATH", "")) if os.path.exists(path))
    return list(dict.fromkeys(map(os.path.abspath, found)))


def not_found() -> str:
    """Return what is to be said if no luigi.cfg is found, or LUIGI_CONFIG_PATH names none; nothing if all is well."""
    named, found = os.environ.get("LUIGI_CONFIG_PATH"), files()
    if named is not None and not os.path.exists(named):
        return f"LUIGI_CONFIG_PATH names no file, {named!r}: {found[-1] if found else 'no luigi.cfg'} is read"
    return "" if found else f"there is no luigi.cfg in {os.getcwd()}: the values of the one that is shipped hold"


def read() -> None:
    """Read the files anew, as UTF-8, and give Luigi the contract's values for what none of them says.

    A file that cannot be used ends the process with one line and exit code 40.
    """
    try:
        os.getcwd()  # fails where the folder is gone
        if "toml" in (os.environ.get("LUIGI_CONFIG_PARSER"), os.environ.get("LUIGI_CONFIG_PATH", "").rpartition(".")[2]):
            raise BadSettings("this project reads luigi.cfg and no luigi.toml: unset LUIGI_CONFIG_PARSER and LUIGI_CONFIG_PATH")
        texts = {path: _text(path) for path in files()}
        _fill(ConfigParser(interpolation=None), texts)  # the import of Luigi ends in a traceback where this fails
        from luigi.configuration import get_config

        config, defaults = get_config(), ConfigParser(interpolation=None)
        _fill(config, texts)
        defaults.read(DEFAULTS, "utf-8")
        for name in defaults.sections():
            for option, default in defaults[name].items():
                if not config.has_option(name, option):
                    config.set(name, option, default)
        for name, section in luigi_sections().items():
            for knob, parameter in section.get_params():
                value(name, knob, parameter)
    except (BadSettings, Error, UnicodeDecodeError, FileNotFoundError) as error:
        hints: dict[type[Exception], str] = {
            FileNotFoundError: "the folder in which this was started is gone",
            UnicodeDecodeError: "Luigi reads luigi.cfg in the encoding of the locale, which fails here: set PYTHONUTF8=1",
        }
        now = "" if sys.stderr.isatty() else time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime())
        print(f"{now}{BadSettings(hints.get(type(error), error))}", file=sys.stderr)
        raise SystemExit(UNUSABLE) from None


def luigi_sections() -> dict[str, Any]:
    """Return the sections by which Luigi does what the contract says."""
    from luigi.interface import core
    from luigi.retcodes import retcode
    from luigi.scheduler import scheduler
    from luigi.worker import worker

    return {"core": core, "retcode": retcode, "scheduler": scheduler, "worker": worker}


def value(section: str, knob: str, parameter: Any) -> Any:
    """Return the value that luigi.cfg or Luigi's command line gives a knob; BadSettings if it cannot be read."""
    try:
        return parameter.task_value(section, knob)
    except (ValueError, Error) as error:
        raise BadSettings(f"[{section}] {knob} cannot be read: {error}") from None


def _text(path: str) -> str:
    try:
        text = Path(path).read_text("utf-8")
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise BadSettings(f"{path}, line {number}, is no UTF-8: save the file as UTF-8") from None
    if text.startswith("\ufeff"):  # `luigi` fails on it before anything of this project runs
        raise BadSettings(f"{path}, line 1, begins with a byte order mark, which Luigi cannot read: save the file without one")
    return text


def _fill(parser: ConfigParser, texts: dict[str, str]) -> None:
    for path, text in texts.items():
        parser.read_string(text, path)
