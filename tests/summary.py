"""The last line of a test run: how many tests ran, how many `assert` statements there are, and the time."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")

_began = time.monotonic()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran = {report.nodeid for outcome in OUTCOMES for report in terminalreporter.stats.get(outcome, [])}
    files = {nodeid.split("::")[0] for nodeid in ran}
    asserts = _all_asserts(terminalreporter.config)
    in_them = sum(count for file, count in asserts.items() if file in files)
    seconds = time.monotonic() - _began
    terminalreporter.write_line(
        f"{len(ran)} tests in {len(files)} files with {in_them} assert statements, {seconds:.0f} s"
        f" (assert statements in all of tests/: {sum(asserts.values())})"
    )


def _all_asserts(config: pytest.Config) -> dict[str, int]:
    """The number of `assert` statements by file."""
    files = sorted(TESTS.rglob("*.py"))
    return {file.relative_to(config.rootpath).as_posix(): _asserts(file.read_text()) for file in files}


def _asserts(source: str) -> int:
    """Count the lines that begin with `assert`, for parsing all files takes seconds."""
    return len(re.findall(r"^[ \t]*assert\b", source, re.MULTILINE))
