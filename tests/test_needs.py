"""The test infrastructure itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.needs import needs

OPTIONS = ("-rf", "-p", "tests.workers", "--workers", "2", "-p", "no:cacheprovider", "-c", "/dev/null")
# each test writes when it starts and ends
TESTS = """
import time
import pytest

def note(word, log={log!r}):
    with open(log, "a") as file:
        file.write(f"{{time.monotonic()}} {{word}}\\n")

@pytest.mark.parametrize("n", range(6))
def test_shared(n):
    note(f"begin shared{{n}}")
    time.sleep(0.05)
    note(f"end shared{{n}}")

@pytest.mark.alone
@pytest.mark.parametrize("n", range(2))
def test_alone(n):
    note(f"begin alone{{n}}")
    time.sleep(0.05)
    note(f"end alone{{n}}")
"""
ENDING = """
import os
import warnings

def test_before(tmp_path):
    warnings.warn("careful")
    assert not any(tmp_path.iterdir())

def test_ends_its_worker():
    os._exit(3)

def test_after():
    pass
"""
FAILING = """
import pytest

@pytest.fixture(scope="module")
def shared():
    with open({log!r}, "a") as file:
        file.write("set up\\n")

@pytest.mark.long
@pytest.mark.parametrize("n", range(3))
def test_shares(shared, n):
    print("printed by", n)
    assert n != 1
"""


def test_a_missing_program_skips_a_test_and_fails_it_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Path(needs("no-such-program", "sh")).name == "sh"
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        needs("no-such-program")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        needs("no-such-program")


def test_a_test_marked_alone_runs_while_no_other_test_runs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "test_it.py").write_text(TESTS.format(log=str(log)))
    assert "8 passed" in (said := _run_by_two_workers(tmp_path)), said
    noted = [
        line.split()[1:]
        for line in sorted(log.read_text().splitlines(), key=lambda each: float(each.split()[0]))
    ]
    assert len(noted) == 16
    for (word, name), following in pairwise(noted):
        if word == "begin" and name.startswith("alone"):
            assert following == ["end", name]


def test_a_worker_that_ends_fails_its_tests_and_no_other(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "test_ending.py").write_text(ENDING)
    (tmp_path / "test_failing.py").write_text(FAILING.format(log=str(log)))
    said = _run_by_two_workers(tmp_path)
    assert "3 failed, 3 passed" in said, said
    assert re.search(r"_ test_ends_its_worker _+\nits worker ended while it ran\n", said)
    assert re.search(r"_ test_after _+\nits worker ended before\n", said)
    assert "UserWarning: careful" in said
    assert "E       assert 1 != 1" in said
    assert "printed by 1" in said
    assert "printed by 2" not in said
    assert log.read_text() == "set up\n"


def _run_by_two_workers(folder: Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, str(folder)],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout
