"""The house: imports run downward, files are short, and nothing leans on what other packages keep to themselves."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

MOST_LINES = 300
# From below upward: a module or folder imports from those below it, and not from its neighbours.
LAYERS = (
    ("errors", "version"),
    ("log", "luigid", "sandbox", "configuration"),
    ("minutes", "jpeg", "unsplash", "processes"),
    ("archive",),
    ("settings", "page"),
    ("steps", "outcomes"),
    ("tasks", "progress"),
    ("catchup", "upkeep", "store_minute"),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# Public in spite of their names.
PUBLIC = ("_exit", "_asdict", "_replace", "_fields", "_make")
# Settings that their package documents as assignments.
KNOBS = ("tqdm.monitor_interval", "sys.excepthook")

PATHS = sorted((REPOSITORY / "pipeline").rglob("*.py"))


def module_name(path: Path) -> str:
    """Return a file's module below pipeline: `unsplash.http`; "" for pipeline itself, `unsplash` for a folder's __init__."""
    parts = path.relative_to(REPOSITORY / "pipeline").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_name(path) for path in PATHS}


def imported(tree: ast.AST) -> Iterator[str]:
    """Give the modules of pipeline that are imported anywhere in a file: `archive`, `unsplash.http`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the whole path"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, below = name.partition(".")
            if package == "pipeline":
                while below and below not in MODULES:
                    below = below.rpartition(".")[0]
                yield below


def flaws_of_imports(module: str, source: str) -> list[str]:
    """Return what is wrong with the imports of a module."""
    found, own = [], module.partition(".")[0]
    for name in imported(ast.parse(source)):
        folder, _, inside = name.partition(".")
        if not name or not module:
            found += (
                [] if name in ("configuration", "tasks") else [f"{module or '__init__'} imports {name or 'all of pipeline'}"]
            )
        elif folder == own:
            found += [] if inside or not module.count(".") else [f"{module} imports its own folder"]
        elif inside:
            found.append(f"{module} enters {folder} by {name}")
        elif LEVEL[folder] >= LEVEL[own]:
            found.append(f"{module} imports {name}, which is not below it")
    return found


def flaws_of_names(source: str) -> list[str]:
    """Return where a file uses what another package keeps to itself, or changes what it imported."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    theirs = {alias.asname or alias.name.partition(".")[0] for node in nodes for alias in import_aliases(node)}
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "cls")}
    found = []
    for node in nodes:
        for alias in import_aliases(node):
            found += [f"imports {alias.name}" for part in alias.name.split(".") if is_private(part)]
        if isinstance(node, ast.ImportFrom) and any(map(is_private, (node.module or "").split("."))):
            found.append(f"imports from {node.module}")
        if isinstance(node, ast.Attribute):
            text, base = ast.unparse(node), ast.unparse(node.value)
            if is_private(node.attr) and base not in ("self", "cls") and (node.attr not in own or base.split(".")[0] in theirs):
                found.append(f"uses {text}")
            if not isinstance(node.ctx, ast.Load) and base.partition(".")[0] in theirs and text not in KNOBS:
                found.append(f"changes {text}")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "delattr", "hasattr"):
            of, name = node.args[0], node.args[1]
            if isinstance(name, ast.Constant) and is_private(str(name.value)) and ast.unparse(of) not in ("self", "cls"):
                found.append(f"uses {ast.unparse(node)}")
            if ast.unparse(node.func) in ("setattr", "delattr") and ast.unparse(of).partition(".")[0] in theirs:
                found.append(f"changes {ast.unparse(node)}")
    return found


def import_aliases(node: ast.AST) -> list[ast.alias]:
    return node.names if isinstance(node, ast.Import | ast.ImportFrom) else []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


@pytest.mark.parametrize("path", PATHS, ids=module_name)
def test_imports_run_downward(path: Path) -> None:
    """A module imports from below alone, and enters a folder by its __init__."""
    assert flaws_of_imports(module_name(path), path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", PATHS, ids=module_name)
def test_what_others_keep_to_themselves(path: Path) -> None:
    """No name of another module that begins with an underscore is used, and nothing that was imported is changed."""
    assert flaws_of_names(path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", PATHS, ids=module_name)
def test_the_archive_is_asked_itself(path: Path) -> None:
    """Who stands outside the archive goes through it, and not through its files."""
    if path.parent.name != "archive":
        assert not re.search(r"\barchive(\(\))?\.files\b", path.read_text("utf-8"))


@pytest.mark.parametrize("path", PATHS, ids=module_name)
def test_files_are_short(path: Path) -> None:
    """No file has more lines than are read in one go."""
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES


def test_every_module_has_its_layer() -> None:
    """What is new in pipeline is given a layer, and what is gone leaves it."""
    assert {name.partition(".")[0] for name in MODULES - {""}} == LEVEL.keys()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "from pipeline import log"),
        ("archive.disk", "from pipeline.settings import archive"),
        ("steps", "def late():\n    import pipeline.tasks"),
        ("page", "from pipeline import settings"),
        ("settings", "from pipeline.unsplash.http import get"),
        ("settings", "from pipeline.unsplash import http"),
        ("settings", "import pipeline.unsplash.http"),
        ("archive.disk", "from pipeline.archive import Archive"),
        ("upkeep", "import pipeline"),
        ("", "from pipeline import steps"),
    ],
)
def test_an_import_that_is_seen(module: str, source: str) -> None:
    """The check finds an import upward, sideways, past an __init__, or late."""
    assert len(flaws_of_imports(module, source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import requests\nrequests._internal",
        "import requests\nrequests.Session()._pool",
        "import requests\nanswer = requests.get('/')\nanswer.raw._fp",
        "from requests import _internal",
        "import requests._internal",
        "from requests._internal import name",
        "import requests\ngetattr(requests.Session, '_pool', None)",
        "import requests\nrequests.Session.get = None",
        "from requests import Session\nSession.get = None",
        "from requests import Session\nSession.adapters['x'].pool = None",
        "from requests import Session\ndel Session.get",
        "from requests import Session\nsetattr(Session, 'get', None)",
        "import luigi\nluigi.Task.run += 1",
        "import requests\n_pool = 1\nrequests._pool",
    ],
)
def test_a_name_that_is_seen(source: str) -> None:
    """The check finds a private name in every form, and whatever changes what was imported."""
    assert flaws_of_names(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    def __init__(self): self._x = 1\n    def same(self, other): return self._x == other._x",
        "import os\nos._exit(1)",
        "from collections import namedtuple\nA = namedtuple('A', 'x')\nA(1)._asdict()",
        "import logging\nlogger = logging.getLogger()\nlogger.propagate = False",
        "def _own(): ...\n_own()",
    ],
)
def test_a_name_that_may_be(source: str) -> None:
    """A file's own private names, and other packages' objects that it made, are no concern."""
    assert flaws_of_names(source) == []
