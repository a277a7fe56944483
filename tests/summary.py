"""The last line of a test run: how many tests ran, how many `assert` statements there are, and the time."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")

_began = time.monotonic()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran = {report.nodeid for outcome in OUTCOMES for report in terminalreporter.stats.get(outcome, [])}
    files = {nodeid.split("::")[0] for nodeid in ran}
    root = terminalreporter.config.rootpath
    asserts = {file.relative_to(root).as_posix(): _asserts(file) for file in sorted(TESTS.rglob("*.py"))}
    in_them = sum(count for file, count in asserts.items() if file in files)
    seconds = time.monotonic() - _began
    terminalreporter.write_line(
        f"{len(ran)} tests in {len(files)} files with {in_them} assert statements, {seconds:.0f} s"
        f" (assert statements in all of tests/: {sum(asserts.values())})"
    )


def _asserts(file: Path) -> int:
    return sum(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(file.read_text())))
