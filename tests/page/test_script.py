"""What the page's files are made of: no browser is needed to tell."""

import re
from typing import Any

import pytest

from tests.page.root import PAGE

SCRIPT = (PAGE / "page.js").read_text()


def parts(tree: Any) -> list[Any]:
    """Return all parts of a parsed script."""
    if isinstance(tree, list):
        return [part for branch in tree for part in parts(branch)]
    if hasattr(tree, "type"):
        return [tree, *(part for branch in vars(tree).values() for part in parts(branch))]
    return []


@pytest.mark.ci
def test_the_script_is_of_2017() -> None:
    """Browsers of 2018 can read the script: it parses as ES2017, spreads no objects, and has no async function."""
    esprima = pytest.importorskip("esprima", reason="esprima is not installed: pip install '.[dev]'")
    tree = esprima.parseScript(SCRIPT)
    found = parts(tree)
    assert len(found) > 5000
    assert not [part for part in found if part.type == "AwaitExpression" or getattr(part, "isAsync", False)]
    objects = [part for part in found if part.type in ("ObjectExpression", "ObjectPattern")]
    assert not [part for whole in objects for part in whole.properties if part.type in ("SpreadElement", "RestElement")]


@pytest.mark.ci
@pytest.mark.parametrize(
    "source", ["a?.b", "a ?? b", "try {} catch {}", "a ||= b", "class A { #b = 1 }", "1_000", "for await (a of b) {}"]
)
def test_newer_scripts_are_told(source: str) -> None:
    """The parser that tells so refuses what browsers of 2018 do not know."""
    esprima = pytest.importorskip("esprima", reason="esprima is not installed: pip install '.[dev]'")
    with pytest.raises(esprima.Error):
        esprima.parseScript(source)


def test_no_text_becomes_markup() -> None:
    """Nothing in the script can make HTML or code of a text."""
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc|DOMParser", SCRIPT
    )


def test_heights_are_told_twice() -> None:
    """Each height in dvh, which old browsers do not know, stands beside the same in vh."""
    style = (PAGE / "page.css").read_text()
    heights = re.findall(r"height: (\d+)vh; height: (\d+)dvh", style)
    assert len(heights) == style.count("dvh") - style.count("(dvh") > 0
    assert all(old == new for old, new in heights)


def test_nothing_is_loaded_from_elsewhere() -> None:
    """No file of the page names another host, but for what SVG wants."""
    for file in PAGE.glob("*.*"):
        addresses = re.findall(r"https?://[^\s\"'`)]+|url\([^)]*\)|@import.*", file.read_text()) if file.suffix != ".py" else []
        assert [address for address in addresses if "www.w3.org" not in address and "${" not in address] == []
