"""The programs of docs/how-to/python.md, run unchanged."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.home import SECONDS, Machine

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "python.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.long
@pytest.mark.parametrize(("number", "shows"), [*enumerate(("cost", "turn.completed", ""))])
def test_each_program_of_the_page_runs(machine: Machine, number: int, shows: str) -> None:
    environment = {**machine.environment, "RHETOR_MODELS__DEFAULT": "offline"}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAMS[number]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert shows in ran.stdout


def test_no_program_of_the_page_is_left_out() -> None:
    assert len(PROGRAMS) == 3
