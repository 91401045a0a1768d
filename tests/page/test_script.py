"""What the page's files are made of: no browser is needed to tell."""

import re

import pytest

from tests.page.root import PAGE

SCRIPT = (PAGE / "page.js").read_text()
# What JavaScript has learnt since 2017, as the parser calls it, and asynchronous functions, which are of that very year.
NEWER = {"optional_chain", "??", "??=", "||=", "&&=", "private_property_identifier", "field_definition", "class_static_block"}
NEWER |= {"import", "meta_property", "namespace_export", "decorator", "using", "async", "await", "hash_bang_line"}
TOLD = r"""a?.b
a ?? b
a ||= b
try {} catch {}
class A { #b = 1 }
class A { b = 1 }
1_000
1n
f({...a})
const {a, ...b} = c
async () => 1
import('a')
/(?<a>b)/
/(?<=a)b/
/a/s
/\p{L}/u
a b"""


def newer(script: str) -> set[str]:
    """Return what a browser of 2018 cannot read of the script."""
    reason = "tree-sitter is not installed: pip install '.[dev]'"
    parser = pytest.importorskip("tree_sitter", reason=reason)
    grammar = pytest.importorskip("tree_sitter_javascript", reason=reason)
    root = parser.Parser(parser.Language(grammar.language())).parse(script.encode()).root_node
    found = {"no JavaScript"} if root.has_error else set()
    nodes = [root]
    while nodes:
        node = nodes.pop()
        nodes += node.children
        text = node.text.decode()
        kinds = {each.type for each in node.children}
        found |= {node.type} & NEWER
        if node.type in ("object", "object_pattern"):
            found |= kinds & {"spread_element", "rest_pattern"}
        if node.type == "catch_clause" and "(" not in kinds:
            found.add("catch without a name")
        if node.type == "number" and re.search(r"_|n$", text):
            found.add(f"the number {text}")
        if node.type == "regex" and re.search(r"\(\?<|\\[pPk]|/[a-z]*[sdv][a-z]*$", text):
            found.add(f"the expression {text}")
    return found


@pytest.mark.ci
def test_the_script_is_of_2017() -> None:
    """Browsers of 2018 can read the script."""
    assert newer(SCRIPT) == set()


@pytest.mark.ci
@pytest.mark.parametrize("source", TOLD.splitlines())
def test_newer_scripts_are_told(source: str) -> None:
    """The check finds what browsers of 2018 do not know."""
    assert newer(source) != set()


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
