"""Real coding agents as models of specialists: a subscription is enough for an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from tests.interop.agents import Agent
from tests.interop.home import House
from tests.provider.script import Script

PROGRAMS = {"claude-code": "claude", **{name: name for name in ("codex", "gemini", "opencode", "copilot")}}
WITHOUT_TOOLS = ("claude-code", "codex")  # the agents that can run without tools


@pytest.fixture
def model(agent: Agent, house: House) -> str:
    """Make the agent the model of `apollo`, and return its reference; codex also has an MCP server."""
    if agent.name not in PROGRAMS:
        pytest.skip(f"{agent.name} cannot be a model: its protocol has no turns without a session")
    ref = f"cli:{PROGRAMS[agent.name]}"
    settings = json.loads(json.dumps(agent.settings))
    config = {
        "tools": {agent.name: settings},
        "specialists": {"apollo": {"model": ref, "prompt": "BE APOLLO"}},
    }
    (house.state / "config.yaml").write_text(yaml.safe_dump(config))
    server = '[mcp_servers.mine]\ncommand = "/bin/sh"\nargs = ["-c", "touch $HOME/server-ran; sleep 9"]\n'
    if agent.name == "codex":
        with (house.home / ".codex" / "config.toml").open("a") as file:
            file.write(server)
    return ref


def body_of(house: House, agent: Agent) -> dict[str, Any]:
    calls = [call["body"] for call in house.provider.calls() if agent.asks(call)]
    assert calls
    found: dict[str, Any] = calls[-1]
    return found


def test_a_specialist_answers_through_an_agent(agent: Agent, house: House, model: str) -> None:
    house.provider.script(default=Script(chunks=("Two ", "levels")))
    with house.speaking("apollo", "Design a cache") as turn:
        assert (turn.end(), turn.answer) == ("turn.completed", "Two levels")
    body = body_of(house, agent)
    text = json.dumps(body)
    assert "BE APOLLO" in text and "Design a cache" in text
    if agent.name in WITHOUT_TOOLS:
        assert not body.get("tools")
    assert not (house.home / "server-ran").exists()
    assert list((house.state / "empty").iterdir()) == []
    assert list((house.state / "models").iterdir()) == []


def test_earlier_messages_are_sent_to_the_agent(agent: Agent, house: House, model: str) -> None:
    house.provider.script(default=Script(chunks=("Noted",)))
    first = house.say("apollo", "remember port 8443", "--session", "--json")
    session = json.loads(first.out.splitlines()[0])["session_id"]
    house.say("apollo", "/which port?", "--session-id", session)
    text = json.dumps(body_of(house, agent))
    assert text.index("remember port 8443") < text.index("Noted") < text.index("/which port?")


def test_tool_calls_of_an_agent_model_are_not_run(agent: Agent, house: House, model: str) -> None:
    house.provider.script(
        Script(tool_calls=(agent.command(f"touch {house.work}/made", "1"),)),
        default=Script(chunks=("I leave it",)),
    )
    with house.speaking("apollo", "make it") as turn:
        turn.end()
    assert not (house.work / "made").exists()
    assert not [event for event in turn.events if event["type"] == "permission.asked"]
