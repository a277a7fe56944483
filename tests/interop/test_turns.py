"""Messages to real coding agents, through the real shell and the real hub."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
from tests.interop.agents import AGENTS, Agent
from tests.interop.conftest import WANTED
from tests.interop.home import House, answer_of
from tests.provider.process import ProviderProcess
from tests.provider.script import Script


def test_a_message_is_answered(agent: Agent, house: House) -> None:
    house.provider.script(Script(chunks=("Hello ", "from ", "the model")))
    assert house.say(agent.name, "say hello").out == "Hello from the model\n"
    assert "say hello" in house.asked(agent)[-1]
    assert (house.tool(agent)["status"], house.pid(agent) > 0) == ("idle", True)


def test_the_agents_report_about_itself_is_shown(agent: Agent, house: House) -> None:
    house.provider.script(Script(chunks=("Hello",)))
    house.say(agent.name, "say hello")
    found = json.loads(house.say("tools", "capabilities", agent.name, "--json").out)
    if not agent.reports:
        pytest.skip("cn 1.5 reports nothing, and copilot 1.0 no model of the user's own provider")
    assert found["reported"].get("model") or found["reported"].get("models")
    assert set(found["origins"].values()) == {"declared"}


def test_an_answer_is_streamed(agent: Agent, house: House) -> None:
    if not agent.streams:
        pytest.skip("cn 1.5 reports an answer only when it is complete")
    chunks = ("One ", "two ", "three")
    house.provider.script(Script(chunks=chunks, hold={1: "first", 2: "second"}))
    with house.speaking(agent.name, "count") as turn:
        for gate, word in (("first", "One"), ("second", "two")):
            turn.until("output.delta", word)  # while the model waits at the gate
            house.provider.release(gate)
        assert turn.end() == "turn.completed"
    assert turn.answer == "One two three"


def test_reasoning_is_separate_from_the_answer(agent: Agent, house: House) -> None:
    if not agent.thinks:
        pytest.skip("cn 1.5 does not pass on reasoning")
    house.provider.script(Script(reasoning=("Let me ", "think"), chunks=("Done",)))
    with house.speaking(agent.name, "think") as turn:
        assert turn.end() == "turn.completed"
    deltas = [event["data"] for event in turn.events if event["type"] == "output.delta"]
    thoughts = "".join(delta["text"] for delta in deltas if delta["channel"] == "reasoning")
    assert all(thought in thoughts for thought in ("Let me", "think"))  # gemini adds headings
    assert turn.answer == "Done"


def test_an_interrupted_turn_ends_and_the_next_message_is_answered(agent: Agent, house: House) -> None:
    house.provider.script(Script(chunks=("Working ", "on"), hold={1: "held"}), Script(chunks=("Next",)))
    with house.speaking(agent.name, "work") as turn:
        said = house.held(agent, turn, "Working", "held")
        turn.process.send_signal(signal.SIGINT)
        turn.process.wait(20)
        assert turn.process.returncode == 130
    events = house.turn(said["session_id"], said["turn_id"])
    heard = "Working " if agent.streams else ""
    assert (events[-1]["type"], answer_of(events)) == ("turn.interrupted", heard)
    assert house.say(agent.name, "next").out == "Next\n"
    house.provider.release("held")


def test_another_process_continues_the_conversation(agent: Agent, house: House) -> None:
    house.provider.script(Script(chunks=("I keep it",)), Script(chunks=("Heron",)))
    house.say(agent.name, "remember the heron")
    before = house.pid(agent)
    assert house.aish("tools", "terminate", agent.name).code == 0
    agent.age(house.home)
    assert house.say(agent.name, "which bird?").out == "Heron\n"
    assert house.pid(agent) != before
    assert all(said in house.asked(agent)[-1] for said in ("remember the heron", "I keep it", "which bird?"))


def test_a_lost_conversation_is_reported_and_a_new_one_starts(agent: Agent, house: House) -> None:
    if not agent.kept:
        pytest.skip("opencode 1.18 reports a lost conversation as `service failure`, like any other failure")
    house.provider.script(Script(chunks=("I keep it",)), Script(chunks=("No",)))
    house.say(agent.name, "remember the heron")
    assert house.aish("tools", "terminate", agent.name).code == 0
    shutil.rmtree(house.home / agent.kept)
    ran = house.aish(agent.name, "which bird?")
    assert (ran.code, ran.err.strip().endswith("; the next message begins a new conversation")) == (
        1,
        True,
    ), ran
    assert house.say(agent.name, "do you know one?").out == "No\n"
    assert "remember the heron" not in house.asked(agent)[-1]


def test_sessions_of_one_agent_do_not_mix(agent: Agent, house: House) -> None:
    house.provider.script(
        Script(chunks=("First ", "answer"), hold={1: "first"}),
        Script(chunks=("Second ", "answer"), hold={1: "second"}),
        Script(chunks=("Third answer",)),
    )
    with house.speaking(agent.name, "the first question") as first:
        house.held(agent, first, "First", "first")
        with house.speaking(agent.name, "the second question", "-s") as second:
            said = house.held(agent, second, "Second", "second")
            house.provider.release("second")
            assert (second.end(), second.answer) == ("turn.completed", "Second answer")
        house.provider.release("first")
        assert (first.end(), first.answer) == ("turn.completed", "First answer")
    house.say(agent.name, "the third question", "--session-id", said["session_id"])
    asked = house.asked(agent)[-1]
    assert ("the second question" in asked, "the first question" in asked) == (True, False)


def test_sessions_of_two_agents_do_not_mix(agent: Agent, house: House) -> None:
    others = [one for one in AGENTS if one.name in WANTED and one != agent]
    if not others:
        pytest.skip("RHETOR_TEST_AGENTS names no other agent")
    other = others[0]
    house.provider.script(
        Script(chunks=("First ", "answer"), hold={1: "first"}),
        Script(chunks=("Second ", "answer"), hold={1: "second"}),
    )
    with house.speaking(agent.name, "the first question", "-s") as first:
        house.held(agent, first, "First", "first")
        with house.speaking(other.name, "the second question", "-s") as second:
            house.held(other, second, "Second", "second")
            house.provider.release("second")
            assert (second.end(), second.answer) == ("turn.completed", "Second answer")
        house.provider.release("first")
        assert (first.end(), first.answer) == ("turn.completed", "First answer")
    assert "the second question" in house.asked(other)[-1]


def test_each_folder_has_its_own_conversation(agent: Agent, house: House, place: Path) -> None:
    here, there = place / "here", place / "there"
    for folder in (here, there):
        folder.mkdir()
        house.provider.script(Script(chunks=(f"In {folder.name}",)))
        assert house.aish(agent.name, f"a question {folder.name}", folder=folder).out == f"In {folder.name}\n"
        assert str(folder) in house.asked(agent)[-1]
    house.provider.script(Script(chunks=("Again",)))
    assert house.aish(agent.name, "again", folder=here).out == "Again\n"
    asked = house.asked(agent)[-1]
    assert ("a question here" in asked, "a question there" in asked) == (True, False)
    assert (str(here) in asked, str(there) in asked) == (True, False)


def test_a_missing_agent_is_reported_with_its_install_command(
    agent: Agent, provider: ProviderProcess, place: Path
) -> None:
    house = House(place, provider, kinds=())
    try:
        ran = house.aish(agent.name, "hello")
        assert (ran.code, ran.out, f"npm install -g {agent.package}" in ran.err) == (1, "", True), ran
        assert provider.calls() == []
    finally:
        assert house.close() == []
