"""What agents report about themselves, from recordings of real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rhetor.drivers.agents.acp.protocol import Acp
from rhetor.drivers.agents.claude.protocol import ClaudeCode
from rhetor.drivers.agents.codex.protocol import Codex
from rhetor.drivers.agents.protocol import Opening
from rhetor.drivers.agents.reports import MAX_NAME, MAX_NAMES
from tests.rhetor.drivers.agents import test_acp as acp

DATA = Path(__file__).parents[3] / "data" / "agents"


def lines_out(name: str) -> list[bytes]:
    """Return the lines that the program of a recording wrote."""
    steps = map(json.loads, (DATA / f"{name}.jsonl").read_text().splitlines())
    return [json.dumps(step["msg"]).encode() for step in steps if step.get("dir") == "out"]


def test_claude_reports_its_model_mode_commands_and_tools() -> None:
    protocol = ClaudeCode(Opening("/"))
    for line in lines_out("claude_turns"):
        protocol.decode(line)
    assert protocol.reported == {
        "model": "claude-opus-4-8[1m]",
        "mode": "acceptEdits",
        "commands": ["deep-research", "update-config"],
        "tools": ["Task", "AskUserQuestion"],
    }


def test_codex_reports_its_model_and_approval_policy() -> None:
    protocol = Codex(Opening("/"))
    for line in lines_out("codex_turns"):
        protocol.decode(line)
    assert protocol.reported == {"model": "stub", "mode": "on-request"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gemini_turns", {"modes": ["default", "autoEdit", "yolo", "plan"], "mode": "default"}),
        ("opencode_turns", {"commands": ["customize-opencode", "init", "review"]}),
    ],
)
def test_an_acp_agent_reports_its_models_modes_and_commands(name: str, told: dict[str, Any]) -> None:
    reported = acp.replay(name).protocol.reported
    assert {key: reported[key] for key in told} == told
    assert reported["model"] and reported["models"]


def test_a_report_is_passed_to_the_next_process_and_is_bounded() -> None:
    first = ClaudeCode(Opening("/"))
    init = {
        "type": "system",
        "subtype": "init",
        "session_id": "s",
        "tools": [f"t{n:0200}" for n in range(500)],
    }
    first.decode(json.dumps(init).encode())
    tools = first.reported["tools"]
    assert (len(tools), {len(name) for name in tools}) == (MAX_NAMES, {MAX_NAME})
    assert ClaudeCode(Opening("/", first.saved)).reported == first.reported
    assert "reported" not in ClaudeCode(Opening("/", first.saved)).memory
    assert ClaudeCode(Opening("/", first.saved, fork=True)).reported == {}


@pytest.mark.parametrize("said", [None, 7, "x", [], {}, [7], [None], {"a": 1}])
def test_values_of_another_type_are_left_out(said: Any) -> None:
    claude, agent = ClaudeCode(Opening("/")), Acp(Opening("/"))
    claude.decode(json.dumps({"type": "system", "subtype": "init", "tools": said, "model": said}).encode())
    update = {"sessionUpdate": "available_commands_update", "availableCommands": said}
    agent.decode(json.dumps({"method": "session/update", "params": {"update": update}}).encode())
    assert set(claude.reported) <= {"model"}
    assert agent.reported == {}
