"""The test infrastructure itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
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

KILLED = """
import os, signal, time

import pytest
from test_raising import meet

@pytest.fixture(scope="session")
def kills():
    yield
    if os.fork() == 0:
        time.sleep(40)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)

def test_killed(kills):
    meet("killed", "raising")
"""
RAISING = """
import time
from pathlib import Path

import pytest

def meet(name, other):
    Path(__file__).with_name(name).touch()
    while not Path(__file__).with_name(other).exists():
        time.sleep(0.01)

@pytest.fixture(scope="session")
def raises():
    yield
    raise RuntimeError("at the end")

def test_raising(raises):
    meet("raising", "killed")
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


@pytest.mark.long
def test_a_test_that_hangs_fails_and_says_where(tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text("import time\ndef test_hangs():\n    time.sleep(60)\n")
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n")
    said = _run_by_two_workers(tmp_path, "--test-seconds", "0.5")
    assert "1 failed, 1 passed" in said, said
    assert re.search(r"_ test_hangs _+\nit did not end within 0.5 s\n", said)
    assert 'test_hanging.py", line 3 in test_hangs' in said


@pytest.mark.long
def test_a_worker_that_ends_in_a_fixture_of_the_session_fails_its_last_test(tmp_path: Path) -> None:
    (tmp_path / "test_killed.py").write_text(KILLED)
    (tmp_path / "test_raising.py").write_text(RAISING)
    began = time.monotonic()
    said = _run_by_two_workers(tmp_path)
    assert "2 passed, 2 errors" in said, said
    assert re.search(r"_ ERROR at teardown of test_killed _+\nits worker ended with status -9 after", said)
    assert re.search(r"_ ERROR at teardown of test_raising _+\n(.*\n)+RuntimeError: at the end\n", said)
    assert time.monotonic() - began < 30  # although a forked process keeps the connection open


def _run_by_two_workers(folder: Path, *options: str) -> str:
    out = folder / "said"  # a pipe would stay open for as long as the processes that a test leaves running
    with out.open("wb") as file:
        subprocess.run(
            [sys.executable, "-m", "pytest", *OPTIONS, *options, str(folder)],
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return out.read_text()
