"""The plans of real coding agents, in the log and on the terminal."""

from __future__ import annotations

import json

import pytest
from tests.interop.agents import Agent
from tests.interop.home import House
from tests.provider.script import Script, ToolCall

STEPS = (("look", "completed"), ("mend", "in_progress"), ("test", "pending"))
# agent → the tool with which its model writes a plan, its member with the steps, and the step's text. gemini
# 0.61 reports only the number of steps, and Claude Code 2.1 gives this tool only to some models.
WRITES = {"codex": ("update_plan", "plan", "step"), "opencode": ("todowrite", "todos", "content")}


def planning(agent: Agent) -> ToolCall:
    tool, member, text = WRITES[agent.name]
    more = {"priority": "high"} if agent.name == "opencode" else {}
    steps = [{text: step, "status": status, **more} for step, status in STEPS]
    return ToolCall(tool, json.dumps({member: steps}), id="call_1")


def test_a_plan_is_in_the_log_and_shown_once(agent: Agent, house: House) -> None:
    if agent.name not in WRITES:
        pytest.skip("it reports no plan")
    if agent.name == "codex":
        config = house.home / ".codex" / "config.toml"
        config.write_text(f"{config.read_text()}[tools.update_plan]\nenabled = true\n")
    house.provider.script(Script(tool_calls=(planning(agent),)), Script(chunks=("Done.",)))
    with house.at_terminal(agent.name, "mend it") as terminal:
        assert terminal.wait_for_end() == 0
    assert [row for row in terminal.rows if row[0] in "☑▸☐"] == ["☑ look", "▸ mend", "☐ test"]
    assert terminal.rows[-1] == "Done."
    [last] = json.loads(house.say("history", "1", "--json").out)
    events = house.events(last["stream"])
    if agent.name == "codex":
        [entries] = [event["data"]["entries"] for event in events if event["type"] == "agent.plan"]
        assert entries == [{"text": step, "status": status} for step, status in STEPS]
    else:  # opencode 1.18 reports the call of its tool
        assert [event["data"]["name"] for event in events if event["type"] == "tool.called"] == ["todowrite"]
