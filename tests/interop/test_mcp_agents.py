"""Real coding agents that use the hub's MCP server: they ask `apollo`, and are what they are in every API."""

from __future__ import annotations

import json
import time

import pytest
import yaml
from tests.interop.agents import Agent
from tests.interop.home import SECONDS, House
from tests.interop.test_sessions import alone
from tests.provider.script import Script, ToolCall

ASKED = {"copilot": "Ask a peer"}  # how its request names the tool, if not by its name
QUESTION = "What is a cache?"
TITLES = {"claude-code": "Claude Code", "codex": "Codex", "copilot": "GitHub Copilot"}
# arguments with which each agent, without the hub, calls tools of the server without a request
ALONE = {
    "claude-code": ("--allowedTools", "mcp__rhetor", "-p", "ask apollo"),
    "codex": ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "ask apollo"),
    "copilot": ("--allow-all-tools", "-p", "ask apollo"),
}


@pytest.fixture
def installed(agent: Agent, house: House) -> Agent:
    """An agent with the hub as an MCP server in its own configuration."""
    if agent.name not in TITLES:
        pytest.skip("the scripted model does not know how this agent calls the tools of an MCP server")
    shown = house.say("mcp", "install", agent.name).out
    assert "rhetor" in shown and str(house.state) in shown
    return agent


def script(agent: Agent, house: House, tool: str, **arguments: str) -> None:
    """Let the agent's model call a tool of the server, and then answer."""
    given = json.dumps(arguments)
    calls = [ToolCall(f"mcp__rhetor__{tool}", given, "toolu_1")]
    if (
        agent.name == "codex"
    ):  # it offers the tools once the server has started, for which the first call waits
        waits = ToolCall("list_mcp_resources", '{"server": "rhetor"}', "call_1")
        calls = [waits, ToolCall(tool, given, "call_2", namespace="mcp__rhetor")]
    if agent.name == "copilot":
        wait_for_tools(agent, house)
        calls = [ToolCall(f"rhetor-{tool}", given)]
    answer = Script(chunks=("It keeps things",))
    house.provider.script(*(Script(tool_calls=(call,)) for call in calls), answer)


def wait_for_tools(agent: Agent, house: House) -> None:
    """Run turns until one offers the tools of the server, which starts beside them."""
    house.provider.script(default=Script(chunks=("Not yet",)))
    deadline = time.monotonic() + SECONDS
    house.say(agent.name, "wait")
    while "rhetor-ask_peer" not in house.asked(agent)[-1]:
        assert time.monotonic() < deadline, "the server has not started"
        house.say(agent.name, "wait")


def allow_all(agent: Agent, house: House, **settings: object) -> None:
    """Let the agent use all tools without a request. `settings`: other sections of the configuration."""
    rules = {"permissions": {"allow": ["*"], "deny": []}}
    config = {"tools": {agent.name: {**agent.settings, **rules}}, **settings}
    (house.state / "config.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(config))))


def result_of_a_turn(agent: Agent, house: House) -> str:
    """Run a turn of the agent as a peer of the hub; return what its model got as the result of its call."""
    assert house.say(agent.name, "ask apollo").out == "It keeps things\n"
    return str(house.asked(agent)[-1])


def test_an_agent_of_the_hub_asks_a_peer_under_its_own_name(installed: Agent, house: House) -> None:
    script(installed, house, "ask_peer", peer="apollo", message=QUESTION)
    with house.speaking(installed.name, "ask apollo") as turn:
        asked = turn.until("permission.asked", ASKED.get(installed.name, "ask_peer"))["data"]
        assert house.aish("approve", asked["request_id"]).code == 0
        assert (turn.end(), turn.answer) == ("turn.completed", "It keeps things")
    # the offline model quotes the message that it got
    assert f"[From {TITLES[installed.name]}] {QUESTION}" in house.asked(installed)[-1]


def test_an_agent_of_the_hub_does_not_see_the_users_sessions(installed: Agent, house: House) -> None:
    allow_all(installed, house)
    house.say("session", "create", "secret-plan", "--tool", "apollo")
    script(installed, house, "read_events", session_id="secret-plan")
    assert "there is no session 'secret-plan'" in result_of_a_turn(installed, house)


def test_a_chain_through_an_agent_ends_at_the_hop_limit(installed: Agent, house: House) -> None:
    allow_all(installed, house, limits={"hops": 1})
    script(installed, house, "ask_peer", peer="apollo", message=QUESTION)
    result = result_of_a_turn(installed, house)
    assert "the message would pass through 2 peers; the limit is 1" in result
    assert "The message was" not in result


def test_an_agent_that_the_user_starts_asks_for_the_user(installed: Agent, house: House) -> None:
    house.say("list")  # this starts the hub: an agent does not pass on the variables that choose the model
    script(installed, house, "ask_peer", peer="apollo", message=QUESTION)
    alone(installed, house, *ALONE[installed.name])
    result = house.asked(installed)[-1]
    assert "The message was" in result and "[From" not in result
