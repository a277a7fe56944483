"""With encryption at rest, what was said is in no file of the state folder, and everything still works."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import Shell
from tests.canary import places
from tests.e2e.home import SECONDS, Machine
from tests.e2e.test_programs import COUNTS, KILLS, LINES, PYTHON, wrapped
from tests.e2e.test_sessions import run_ok

CANARY = "canary-7f3a-of-a-conversation"
HEARS = "import sys\nfor line in sys.stdin: print('heard', line, end='', flush=True)"


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
        assert places(machine.folder, CANARY) == []
        machine.kill_hub()
        assert CANARY in run_ok(machine, "mirror", CANARY, "-x")
    assert places(machine.folder, CANARY) == []


@pytest.mark.long
def test_the_history_of_the_prompt_is_sealed_and_recalled(machine: Machine, tmp_path: Path) -> None:
    machine.folder.mkdir(mode=0o700)
    (machine.folder / "history").write_text(f"\n# before\n+apollo {CANARY} one\n")
    run_ok(machine, "list")
    shell = Shell(machine.folder, tmp_path)
    shell.environment |= machine.environment
    with at_terminal(shell, term="xterm-256color", echo=True) as terminal:
        terminal.wait_for_last("aish>")
        terminal.type("\x1b[A")
        terminal.wait_for_last(f"aish> apollo {CANARY} one")
        terminal.type(f"\x15echo {CANARY} two\r")
        terminal.wait_for_screen(lambda rows: rows[-2:] == [f"{CANARY} two", "aish>"])
        terminal.type("\x04")
        assert terminal.wait_for_end() == 0
    machine.kill_hub()
    assert places(machine.folder, CANARY) == []
    with at_terminal(shell, term="xterm-256color", echo=True) as terminal:
        terminal.wait_for_last("aish>")
        terminal.type("\x1b[A")
        terminal.wait_for_last(f"aish> echo {CANARY} two")
        terminal.type("\x1b[A")
        terminal.wait_for_last(f"aish> apollo {CANARY} one")


@pytest.mark.long
def test_each_sealed_line_is_logged_once_although_the_hub_is_killed_repeatedly(machine: Machine) -> None:
    """The positions in a sealed spool are those of the output."""
    wrapped(machine, "tool", "count", *PYTHON, COUNTS, str(LINES), str(KILLS), options=("-d", "\\n"))
    dice = random.Random(7)
    for _ in range(KILLS):
        time.sleep(dice.uniform(0.0, 0.4))  # the moment of the kill is random
        machine.kill_hub()
        assert machine.run("explain", "count").returncode == 0
    assert machine.run("count", "-x", "hello").returncode == 0
    deadline = time.monotonic() + 6 * SECONDS
    while not (text := output_of(machine)).endswith("heard hello\n"):
        assert time.monotonic() < deadline, text[-100:]
    lines = text.split("\n")
    wanted = [*map(str, range(1, LINES + 1)), "heard hello", ""]
    assert len(lines) == len(wanted)
    assert next((pair for pair in zip(lines, wanted, strict=True) if pair[0] != pair[1]), None) is None


def output_of(machine: Machine) -> str:
    """Return the output of all peers in the log."""
    exported = machine.rhetor("export", "--plain")
    assert exported.returncode == 0, exported.stderr
    events = [json.loads(line) for line in exported.stdout.splitlines()]
    return "".join(event["data"]["text"] for event in events if event["type"] == "output.delta")
