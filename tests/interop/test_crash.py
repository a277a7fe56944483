"""Real coding agents when the hub or the agent itself is killed."""

from __future__ import annotations

import pytest
from tests.interop.agents import Agent
from tests.interop.home import House, answer_of, kill
from tests.provider.script import Script

WORDS = ("One ", "two ", "three ", "four")
ENDS = ("turn.completed", "turn.failed", "turn.cancelled", "turn.interrupted")


@pytest.mark.parametrize("continues", ["without a hub", "under the next hub"])
def test_a_turn_survives_its_killed_hub(agent: Agent, house: House, continues: str) -> None:
    house.provider.script(Script(chunks=WORDS, hold={2: "held"}), Script(chunks=("Next",)))
    with house.speaking(agent.name, "count") as turn:
        said = house.held(agent, turn, "two", "held")
        pid = house.pid(agent)
        house.kill_hub()
    if continues == "without a hub":
        house.provider.release("held")
    house.say("list")  # this starts the next hub
    assert house.pid(agent) == pid
    house.provider.release("held")
    events = house.turn(said["session_id"], said["turn_id"])
    whole = "".join(WORDS)
    assert (events[-1]["type"], events[-1]["data"]["text"]) == ("turn.completed", whole)
    assert answer_of(events) == whole
    assert house.say(agent.name, "next").out == "Next\n"
    assert house.pid(agent) == pid
    ends = [e for e in house.events(said["session_id"]) if e["type"] in ENDS]
    assert [(e["turn_id"] == said["turn_id"], e["type"]) for e in ends] == [
        (True, "turn.completed"),
        (False, "turn.completed"),
    ]


def test_a_killed_agent_fails_the_turn_with_its_partial_output(agent: Agent, house: House) -> None:
    house.provider.script(Script(chunks=WORDS, hold={2: "held"}), Script(chunks=("Next",)))
    with house.speaking(agent.name, "count") as turn:
        house.held(agent, turn, "two", "held")
        kill(house.pid(agent))
        assert turn.end() == "turn.failed"
    failed = turn.events[-1]["data"]
    assert (failed["code"], failed["data"]) == ("program_ended", {"exit_code": None, "signal": 9})
    partial = [event["data"]["text"] for event in turn.events if event["type"] == "output.partial"]
    assert partial == (["One two "] if agent.streams else [])
    house.provider.release("held")
    agent.age(house.home)
    assert house.say(agent.name, "next").out == "Next\n"
    assert "count" in house.asked(agent)[-1]  # another process continues the conversation
