"""Permission requests of real coding agents, answered with `aish approve` and `aish deny` only."""

from __future__ import annotations

import pytest
from tests.interop.agents import Agent
from tests.interop.home import House
from tests.provider.script import Script


@pytest.fixture
def asking_agent(agent: Agent) -> Agent:
    """An agent that requests permission."""
    if not agent.asks_first:
        pytest.skip("cn 1.5 can request permission only at its own terminal, otherwise it denies")
    return agent


def test_an_approved_call_is_run(asking_agent: Agent, house: House) -> None:
    agent = asking_agent
    house.provider.script(
        Script(tool_calls=(agent.command("touch made", "1"),)), Script(chunks=("It is made",))
    )
    with house.speaking(agent.name, "make it") as turn:
        asked = turn.until("permission.asked")["data"]
        assert house.tool(agent)["status"] == "blocked"
        assert [request["request_id"] for request in house.open_requests()] == [asked["request_id"]]
        assert not (house.work / "made").exists()
        assert house.aish("approve", asked["request_id"]).code == 0
        assert turn.until("permission.answered")["data"]["request_id"] == asked["request_id"]
        assert (turn.end(), turn.answer) == ("turn.completed", "It is made")
    assert (house.work / "made").exists()
    assert (house.tool(agent)["status"], house.open_requests()) == ("idle", [])
    returned = [event["data"]["is_error"] for event in turn.events if event["type"] == "tool.returned"]
    assert returned == [False]


def test_a_denied_call_is_not_run(asking_agent: Agent, house: House) -> None:
    agent = asking_agent
    house.provider.script(
        Script(tool_calls=(agent.command("touch made", "1"),)), Script(chunks=("I leave it",))
    )
    with house.speaking(agent.name, "make it") as turn:
        asked = turn.until("permission.asked")["data"]
        assert house.aish("deny", asked["request_id"]).code == 0
        assert turn.end() == "turn.completed"
    assert not (house.work / "made").exists()
    # an agent that ends its turn at a denial does not call its model again
    assert turn.answer == ("I leave it" if agent.continues_after_denial else agent.denied)
    assert house.open_requests() == []


# the name that each agent gives to its shell tool in a request
SHELL = {"claude-code": "Bash", "codex": "shell"}


@pytest.mark.parametrize("verdict", ["allow", "deny"])
def test_a_rule_answers_requests_without_the_user(asking_agent: Agent, house: House, verdict: str) -> None:
    agent = asking_agent
    rules = {"allow": ["*"], "deny": []} | {verdict: [SHELL.get(agent.name, "exec*")]}
    house.configure({agent.name: {**agent.settings, "permissions": rules}})
    house.provider.script(
        Script(tool_calls=(agent.command("touch made", "1"),)), Script(chunks=("That was it",))
    )
    with house.speaking(agent.name, "make it") as turn:
        answered = turn.until("permission.answered")["data"]
        assert turn.end() == "turn.completed"
    asked = next(event["data"] for event in turn.events if event["type"] == "permission.asked")
    kind = {"allow": "allow_once", "deny": "reject_once"}[verdict]
    chosen = next(o["option_id"] for o in asked["options"] if o["kind"] == kind)
    assert answered == {"request_id": asked["request_id"], "option_id": chosen, "by": "policy"}
    goes_on = verdict == "allow" or agent.continues_after_denial
    assert turn.answer == ("That was it" if goes_on else agent.denied)
    assert (house.work / "made").exists() is (verdict == "allow")


def test_a_message_does_not_answer_a_pending_request(asking_agent: Agent, house: House) -> None:
    agent = asking_agent
    house.provider.script(
        Script(tool_calls=(agent.command("touch made", "1"),)),
        Script(chunks=("It is made",)),
        Script(chunks=("Yes to what?",)),
    )
    with house.speaking(agent.name, "make it") as turn:
        asked = turn.until("permission.asked")["data"]
        with house.speaking(agent.name, "yes") as later:
            later.until("turn.queued")
            assert [request["request_id"] for request in house.open_requests()] == [asked["request_id"]]
            assert (house.tool(agent)["status"], (house.work / "made").exists()) == ("blocked", False)
            assert house.aish("approve", asked["request_id"]).code == 0
            assert (turn.end(), turn.answer) == ("turn.completed", "It is made")
            assert (later.end(), later.answer) == ("turn.completed", "Yes to what?")


@pytest.mark.parametrize("verdict", ["approve", "deny"])
def test_a_pending_request_can_be_answered_after_the_hub_was_killed(
    asking_agent: Agent, house: House, verdict: str
) -> None:
    agent = asking_agent
    house.provider.script(
        Script(chunks=("I look. ",), tool_calls=(agent.command("touch made", "1"),)), Script(chunks=("Done",))
    )
    with house.speaking(agent.name, "make it") as turn:
        asked = turn.until("permission.asked")
        pid = house.pid(agent)
        house.kill_hub()
    house.say("list")  # this starts the next hub
    assert [r["request_id"] for r in house.open_requests()] == [asked["data"]["request_id"]]
    assert (house.pid(agent), house.tool(agent)["status"]) == (pid, "blocked")
    assert house.aish(verdict, asked["data"]["request_id"]).code == 0
    events = house.turn(asked["session_id"], asked["turn_id"])
    assert events[-1]["type"] == "turn.completed", events[-1]
    goes_on = verdict == "approve" or agent.continues_after_denial
    assert events[-1]["data"]["text"] == "I look. " + ("Done" if goes_on else agent.denied)
    assert (house.work / "made").exists() is (verdict == "approve")


def test_an_agent_that_cannot_ask_does_not_run_calls_that_need_permission(agent: Agent, house: House) -> None:
    if agent.asks_first:
        pytest.skip("this agent requests permission")
    house.configure({agent.name: {"args": ["--ask", "Bash"]}})
    house.provider.script(Script(tool_calls=(agent.command("touch made", "1"),)))
    with house.speaking(agent.name, "make it") as turn:
        assert turn.end() == "turn.completed"
    returned = [event["data"]["is_error"] for event in turn.events if event["type"] == "tool.returned"]
    assert (returned, turn.answer, house.open_requests()) == ([True], "", [])
    assert not (house.work / "made").exists()


def test_an_agent_that_cannot_ask_has_no_shell_tool_by_default(agent: Agent, house: House) -> None:
    if agent.asks_first:
        pytest.skip("this agent requests permission")
    house.provider.script(
        Script(tool_calls=(agent.command("touch made", "1"),)), Script(chunks=("I cannot",))
    )
    with house.speaking(agent.name, "make it") as turn:
        assert turn.end() == "turn.completed"
    assert not (house.work / "made").exists()
    asked = [call["body"] for call in house.provider.calls() if agent.asks(call)]
    offered = [tool["function"]["name"] for tool in asked[-1]["tools"]]
    assert ("Read" in offered, "Bash" in offered) == (True, False)


def test_an_allowed_call_is_run_without_a_request(agent: Agent, house: House) -> None:
    if agent.asks_first:
        pytest.skip("this agent requests permission")
    house.configure({agent.name: {"args": ["--allow", "Bash"]}})
    house.provider.script(
        Script(tool_calls=(agent.command("touch made", "1"),)), Script(chunks=("It is made",))
    )
    with house.speaking(agent.name, "make it") as turn:
        assert (turn.end(), turn.answer) == ("turn.completed", "It is made")
    returned = [event["data"]["is_error"] for event in turn.events if event["type"] == "tool.returned"]
    assert (returned, (house.work / "made").exists()) == ([False], True)
