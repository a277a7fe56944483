"""Scripts that read the texts of the shell, and a person at its prompt."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import Ran, Shell
from tests.rhetor.drivers.programs.host.hosting import PYTHON

from aish.render import DIM, RESET

ECHOES = "import sys\nfor line in sys.stdin: print('got', line, end='', flush=True)"


def listed(aish: Shell, kind: str) -> dict[str, Any]:
    return {each["name"]: each for each in json.loads(aish("list", "type", kind, "json").out)}


@pytest.mark.long
def test_the_output_of_a_tool_is_forwarded_to_a_named_shell(aish: Shell) -> None:
    assert aish("ci-tool", "-n", "box", "--", *PYTHON, ECHOES).code == 0
    with at_terminal(aish, "--name", "jill") as terminal:
        terminal.wait_for("aish> ")
        assert aish("forward", "box", "jill") == Ran(0, "Forwarding box output to jill terminal\n", "")
        assert aish("box", "one", "-x").out == "got one\n"
        terminal.wait_for("[From Box]\ngot one\n")
        forwarded = aish("forward", "box", "jill", "json")
        assert forwarded.out == "Forwarding box output to jill terminal (with tool metadata)\n"
        assert aish("box", "two", "-x").out == "got two\n"
        terminal.wait_for('"tool":{"name":"box","kind":"tool","driver":"stdio","capabilities":{}}')
        shell = listed(aish, "terminal")["jill"]
        assert (shell["type"], shell["status"]) == ("terminal", "idle")
        assert listed(aish, "tool")["box"]["forwards"] == ["jill"]
        terminal.type("exit\n")
        assert terminal.wait_for_end() == 0
    assert listed(aish, "terminal")["jill"]["status"] == "gone"


@pytest.mark.long
def test_each_answer_of_a_pipeline_at_the_prompt_has_a_heading(aish: Shell) -> None:
    with at_terminal(aish) as terminal:
        terminal.wait_for("aish> ")
        terminal.type("athena '[From Numa] plan' | apollo\n")
        terminal.wait_for("aish> ", count=2)
        first, last = terminal.screen.split("[From Apollo]\n")
        assert f"{DIM}[From Athena]{RESET}\n{DIM}Athena, strategist and architect" in first
        assert last.startswith("Apollo, code analyst")
        assert "[ From Athena]" in last, last
        assert "[From" not in last  # an answer cannot show a heading
        terminal.type("echo x | apollo\n")
        terminal.wait_for("[From Apollo]\nApollo, code analyst", count=2)
        terminal.wait_for("aish> ", count=3)
        terminal.type("echo x | {athena|apollo}\n")
        terminal.wait_for("aish> ", count=4)
        assert terminal.screen.count("[From Apollo]\n") == 3
        terminal.type("athena x | apollo > answer; apollo alone\n")
        terminal.wait_for("aish> ", count=5)
        terminal.type("apollo alone\n")
        terminal.wait_for("aish> Apollo, code analyst")
        terminal.wait_for("aish> ", count=6)
        assert terminal.screen.count("[From Apollo]\n") == 3


@pytest.mark.long
def test_a_conversation_says_that_it_is_connected_and_how_to_leave(aish: Shell) -> None:
    with at_terminal(aish, "-i", "apollo") as terminal:
        terminal.wait_for("Connected to apollo. Type 'exit' to end session.\napollo> ")
        terminal.type("hi\n")
        terminal.wait_for("Apollo, code analyst")
        terminal.wait_for("apollo> ", count=2)
        terminal.type("exit\n")
        assert terminal.wait_for_end() == 0


def test_no_capable_peer_is_an_error_that_scripts_know(aish: Shell) -> None:
    ran = aish("-c", "@cooking << hi")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.splitlines()[0] == "No AI found for capability: cooking"
    assert "(best match for" in aish("-c", "@debugging << hi").err
