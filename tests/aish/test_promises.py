"""The promises of the shell have tests, and these tests exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.aish.promises import PROMISES

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("section", PROMISES)
def test_the_tests_of_each_promise_exist(section: str) -> None:
    for promise, tests in PROMISES[section].items():
        assert tests, promise
        for test in tests:
            file, _, name = test.partition("::")
            found = re.search(rf"^(async )?def {name}\(", (TESTS / file).read_text(), re.MULTILINE)
            assert found, test
