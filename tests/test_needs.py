"""The test infrastructure itself."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import chain, pairwise
from pathlib import Path

import pytest

from tests.importing import share
from tests.needs import needs
from tests.order import dealt

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
    pytest_of_two = [sys.executable, "-m", "pytest", "-p", "xdist", "-n", "2", "--dist", "load"]
    options = ["--maxschedchunk", "1", "-p", "tests.alone", "-p", "no:cacheprovider", "-c", "/dev/null"]
    ran = subprocess.run(
        [*pytest_of_two, *options, str(tmp_path)],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "8 passed" in ran.stdout, ran.stdout
    said = [
        line.split()[1:]
        for line in sorted(log.read_text().splitlines(), key=lambda each: float(each.split()[0]))
    ]
    assert len(said) == 16
    for (word, name), following in pairwise(said):
        if word == "begin" and name.startswith("alone"):
            assert following == ["end", name]


def test_each_worker_starts_with_some_of_the_first_tests() -> None:
    first, others = list("ABCDE"), list("abcdefgh")
    order = "".join(dealt(first, others, 3))
    assert [order[:4], order[4:8], order[8:]] == ["ADab", "BEcd", "Cefgh"]
    assert dealt(first, [], 3) == ["A", "D", "B", "E", "C"]
    assert dealt([], others, 3) == others


def test_the_tests_of_a_slow_module_start_at_the_same_worker() -> None:
    order = "".join(dealt(["A", "B", "CDE", "FG"], "abcdefgh", 3))
    assert [order[:5], order[5:10], order[10:]] == ["AFGab", "Bcdef", "CDEgh"]


def test_the_workers_import_each_module_once_before_the_collection() -> None:
    modules = list("abcdefghij")
    shares = [share(modules, number, 4) for number in range(4)]
    assert list(chain(*shares)) == modules
    assert {len(each) for each in shares} == {2, 3}
