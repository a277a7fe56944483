"""The modules of the console that need no browser, tested in Node."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.needs import needs

TESTS = sorted((Path(__file__).parent / "models").glob("*.test.mjs"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.removesuffix(".test.mjs"))
def test_the_tests_of_a_module_pass_in_node(path: Path) -> None:
    done = subprocess.run(
        [needs("node"), "--test", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
