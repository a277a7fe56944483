"""Every place that catches all errors says why it does not name them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src"
BROAD = {"Exception", "BaseException"}
MENTIONED = re.compile(r"Exception|except\s*:")


def _broad(source: str) -> set[int]:
    """Return the lines that catch or suppress `Exception` or `BaseException`."""
    found: set[int] = set()
    if not MENTIONED.search(source):  # this is much faster than parsing
        return found
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            caught = [node.type] if node.type else []
            if not caught or BROAD & _names(caught):
                found.add(node.lineno)
        elif isinstance(node, ast.Call) and "suppress" in _names([node.func]) and BROAD & _names(node.args):
            found.add(node.lineno)
    return found


def _names(nodes: list[ast.expr]) -> set[str]:
    inner = [each for node in nodes for each in ast.walk(node)]
    return {each.id for each in inner if isinstance(each, ast.Name)} | {
        each.attr for each in inner if isinstance(each, ast.Attribute)
    }


def _unexplained(source: str) -> list[int]:
    """Return the lines with a broad `except` that have no comment, and none on the line below."""
    lines = source.splitlines()
    return [
        line
        for line in sorted(_broad(source))
        if not _explains(lines[line - 1]) and not lines[line].lstrip().startswith("#")
    ]


def _explains(line: str) -> bool:
    return any(not comment.strip().startswith("noqa") for comment in line.split("#")[1:])


def test_every_broad_except_says_why() -> None:
    unexplained = {
        str(path.relative_to(SOURCE)): lines
        for path in sorted(SOURCE.rglob("*.py"))
        if (lines := _unexplained(path.read_text()))
    }
    assert unexplained == {}


def test_a_planted_broad_except_is_found() -> None:
    source = """
try:
    work()
except Exception:
    log()
except (ValueError, BaseException):  # noqa: BLE001
    pass
except:
    raise
with contextlib.suppress(Exception):
    work()
try:
    work()
except BaseException:  # also if it is cancelled
    raise
except Exception as error:
    # a bug
    raise
"""
    assert _unexplained(source) == [4, 6, 8, 10]
