"""With encryption at rest, what was said is in no file of the state folder, and everything still works."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.canary import places
from tests.e2e.home import Machine
from tests.e2e.test_programs import PYTHON, wrapped
from tests.e2e.test_sessions import run_ok

CANARY = "canary-7f3a-of-a-conversation"
HEARS = "import sys\nfor line in sys.stdin: print('heard', line, end='', flush=True)"
DATABASE = ("hub.db",)


@pytest.fixture
def machine(machine: Machine) -> Iterator[Machine]:
    machine.environment |= {"RHETOR_MODELS__DEFAULT": "offline", "RHETOR_ENCRYPTION__AT_REST": "true"}
    yield machine
    machine.end_programs()


@pytest.mark.long
def test_what_programs_say_is_in_no_file_and_survives_kills_of_the_hub(machine: Machine) -> None:
    wrapped(machine, "terminal", "box", "bash", "--norc")
    wrapped(machine, "tool", "mirror", *PYTHON, HEARS)
    assert CANARY in run_ok(machine, "box", f"echo {CANARY}", "-x")
    assert CANARY in run_ok(machine, "mirror", CANARY, "-x")
    assert list((machine.folder / "hosts").glob("*/sealed.*"))
    for _ in range(2):
        assert places(machine.folder, CANARY, without=DATABASE) == []
        machine.kill_hub()
        assert CANARY in run_ok(machine, "mirror", CANARY, "-x")
    assert places(machine.folder, CANARY, without=DATABASE) == []
