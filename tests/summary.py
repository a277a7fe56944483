"""The last line of a test run: how many tests ran, how many `assert` statements there are, and the time."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CACHE = "summary/asserts"
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
    """The number of `assert` statements by file. Files that have not changed since an earlier run are not
    parsed again, which would take seconds at the end of every run."""
    cache: pytest.Cache | None = getattr(config, "cache", None)  # absent with `-p no:cacheprovider`
    known: dict[str, list[int]] = cache.get(CACHE, {}) if cache is not None else {}
    found: dict[str, list[int]] = {}
    for file in sorted(TESTS.rglob("*.py")):
        name, stat = file.relative_to(config.rootpath).as_posix(), file.stat()
        state = [stat.st_mtime_ns, stat.st_size]
        before = known.get(name, [])
        found[name] = before if before[:2] == state else [*state, _asserts(file)]
    if cache is not None and found != known:
        cache.set(CACHE, found)
    return {name: count for name, (_, _, count) in found.items()}


def _asserts(file: Path) -> int:
    return sum(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(file.read_text())))
