"""Budgets of real coding agents: what they report counts, and at the limit their turn asks."""

from __future__ import annotations

import json

from tests.interop.agents import Agent, named
from tests.interop.home import House
from tests.provider.script import Script, Usage


def test_what_an_agent_reports_counts_and_at_the_limit_its_turn_asks(agent: Agent, house: House) -> None:
    tools = {each.name: each.settings for each in [named(agent.name)] if each.settings}
    house.configure(tools, budgets={f"peer.{agent.name}": {"tokens_per_day": 1000}})
    house.provider.script(default=Script(chunks=("Fine",), usage=Usage(900, 200)))
    assert house.say(agent.name, "remember the heron").out == "Fine\n"
    (budget,) = json.loads(house.say("usage", "--budgets", "--json").out)
    (limit,) = budget["limits"]
    if budget["note"]:  # this version of the agent reports no tokens
        assert (limit["spent"], "reports no tokens" in budget["note"]) == (0, True)
        return
    calls = len(house.asked(agent))
    assert limit["spent"] >= 1100
    with house.speaking(agent.name, "which bird?") as turn:
        asked = turn.until("permission.asked")
        assert asked["data"]["detail"]["budget"]["name"] == f"peer.{agent.name}"
        assert len(house.asked(agent)) == calls
        house.say("approve", asked["data"]["request_id"], "raise")
        assert turn.end() == "turn.completed"
    assert "remember the heron" in house.asked(agent)[-1]
    (budget,) = json.loads(house.say("usage", "--budgets", "--json").out)
    assert budget["source"] == "api"
    assert budget["limits"][0]["spent"] >= 2200
