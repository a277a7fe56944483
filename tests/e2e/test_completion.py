"""Completion and suggestions with the names of a real hub."""

from __future__ import annotations

import pytest
from tests.e2e.home import Machine


def offered(machine: Machine, *words: str) -> dict[str, str]:
    """Return what fish would show, by its text."""
    ran = machine.run("completion", "reply", "fish", *words)
    assert (ran.returncode, ran.stderr) == (0, "")
    return dict(line.split("\t") for line in ran.stdout.splitlines()[3:])


@pytest.mark.long
def test_names_of_a_real_hub_are_completed_and_suggested(machine: Machine) -> None:
    machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    for words in (
        ("session", "create", "work", "--tool", "apollo"),
        ("session", "checkpoint", "work", "before"),
        ("alias", "create", "greet", "apollo hello"),
        ("route", "name", "check", "apollo", "athena"),
        ("mcp", "add", "clock", "--", "true"),
        ("schedule", "add", "daily", "@daily", "apollo hi"),
    ):
        ran = machine.run(*words)
        assert ran.returncode == 0, ran.stderr
    assert offered(machine, "ap").keys() == {"approve", "apollo"}
    assert offered(machine, "gr") == {"greet": "apollo hello"}
    assert "@code-analysis" in offered(machine, "@code")
    assert offered(machine, "apollo", "-s", "") == {
        "work": "a session with apollo",
        "daily": "a session of a schedule",
    }
    assert offered(machine, "sessions", "diff", "work", "").keys() == {"before"}
    assert offered(machine, "route", "show", "") == {"check": "apollo → athena"}
    assert offered(machine, "mcp", "test", "").keys() == {"clock"}
    assert offered(machine, "schedule", "run", "").keys() == {"daily"}
    assert offered(machine, "config", "show", "hub.po").keys() == {"hub.port"}
    assert "openai" in offered(machine, "keys", "set", "")
    assert "athena" in offered(machine, "specialist", "show", "")
    assert offered(machine, "deny", "") == {}
    for line, nearest in (
        ("aplo hi", "apollo"),
        ("-c greeet", "greet"),
        ("explain athenna", "athena"),
        ("sessions show wrok", "work"),
        ("apollo --session-id wrok hi", "work"),
        ("route chek hi", "check"),
        ("schedule run dayly", "daily"),
        ("mcp test clok", "clock"),
    ):
        ran = machine.run(*line.split())
        assert (ran.returncode, ran.stderr.splitlines()[-1]) == (3, f"Did you mean {nearest}?"), ran.stderr
