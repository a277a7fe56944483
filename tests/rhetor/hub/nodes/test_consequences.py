"""Plans, teams, forwards and schedules act on sessions of other nodes, too."""

from __future__ import annotations

import asyncio

import pytest
from tests.rhetor.hub.nodes.together import Node, eventually, node, several

from rhetor.domain import command as c
from rhetor.domain import rule_commands as r
from rhetor.domain.event import (
    MessageForwarded,
    PlanEnded,
    Position,
    StepDone,
    TurnCancelled,
    TurnCompleted,
    TurnInterrupted,
)
from rhetor.domain.output import Done, Text
from rhetor.domain.plan import Step
from rhetor.store.base import follow

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]


async def forwards_of(node: Node) -> None:
    """Let a node read the routing table again."""
    await node.house.hub.state.routing_table.load(node.store)


async def test_a_step_runs_in_a_session_of_another_node(postgres_url: str) -> None:
    async with several(postgres_url, "north", "south") as (north, south):
        session = await north.execute(c.StartSession("apollo", context_window=5))
        steps = (Step("one", "athena", "first"), Step("two", "apollo", "", ("one",), session_id=session.id))
        events = await south.house.run_plan(c.StartPlan(steps))
        done = [event.payload for event in events if isinstance(event.payload, StepDone)]
        assert [each.step for each in done] == ["one", "two"]
        assert done[1].text.startswith("apollo heard:")
        assert [peer for peer, _ in north.driver.heard] == ["apollo"]
        assert [peer for peer, _ in south.driver.heard] == ["athena"]


async def test_a_plan_that_is_stopped_stops_its_steps_at_other_nodes(postgres_url: str) -> None:
    waits = [Text("so far"), asyncio.Event(), Done()]
    async with node(postgres_url, "north", waits) as north, node(postgres_url, "south") as south:
        await south.until_it_sees("north")
        await north.until_it_sees("south")
        session = await north.execute(c.StartSession("apollo"))
        planned = await south.execute(c.StartPlan((Step("one", "apollo", "hi", session_id=session.id),)))
        await eventually(lambda: bool(north.driver.heard))
        await north.execute(c.StopPlan(planned.plan_id))  # the plan is south's
        events = await south.house.until(planned.plan_id, planned.after, PlanEnded)
        assert isinstance(events[-1].payload, PlanEnded)
        assert events[-1].payload.status == "cancelled"
        assert any(isinstance(payload, TurnCancelled) for payload in await south.house.log(session.id))


async def test_a_member_of_a_team_keeps_its_session_at_another_node(postgres_url: str) -> None:
    async with several(postgres_url, "north", "south") as (north, south):
        first = await north.house.send(target="team:reviewers", content="one", context_window=5)
        assert isinstance(await north.house.end_of(first), TurnCompleted)
        second = await south.house.send(session_id=first.session_id, content="two")
        end = await south.house.end_of(second)
        assert isinstance(end, TurnCompleted)
        assert "athena heard: two" in end.text
        assert south.driver.heard == []
        assert len(north.driver.heard) == 4


async def test_a_forwarded_answer_is_sent_once_to_the_session_of_another_node(postgres_url: str) -> None:
    async with several(postgres_url, "north", "south") as (north, south):
        await north.execute(r.PutForward("apollo", "athena"))
        first = await north.house.send(target="apollo", content="one")
        await north.house.end_of(first)
        table = north.house.hub.state.routing_table
        await eventually(lambda: bool((forward := table.forward_of("me", "apollo")) and forward.session_id))
        await forwards_of(south)
        second = await south.house.send(target="apollo", content="two")
        await south.house.end_of(second)
        await eventually(lambda: len(north.driver.heard) == 3)
        assert [peer for peer, _ in north.driver.heard] == ["apollo", "athena", "athena"]
        assert south.driver.heard == [("apollo", "two")]
        assert await south.store.find("delivery") == []


async def test_a_forwarded_answer_is_shown_once_in_a_shell_of_any_node(postgres_url: str) -> None:
    async with several(postgres_url, "north", "south") as (north, south):
        shell = await north.execute(r.PutTerminal("main"))
        await north.execute(r.PutForward("apollo", "main"))
        await forwards_of(south)
        for each in (north, south):
            sent = await each.house.send(target="apollo", content=each.nodes.own)
            await each.house.end_of(sent)
        head = await south.store.head(shell.stream)
        assert head is not None
        shown: list[MessageForwarded] = []
        async for records in follow(south.store, shell.stream, Position(head.epoch, 0)):
            payloads = [record.event.payload for record in records]
            shown += [payload for payload in payloads if isinstance(payload, MessageForwarded)]
            if len(shown) >= 2:
                break
        assert sorted(each.content for each in shown) == ["apollo heard: north", "apollo heard: south"]


async def test_a_schedule_runs_only_at_the_node_of_its_session(postgres_url: str) -> None:
    async with several(postgres_url, "north", "south") as (north, south):
        added = await north.execute(r.PutSchedule("often", "0 0 1 1 *", "apollo hello"))
        await south.house.hub.state.schedules.load(south.store)
        ran = await south.execute(r.RunSchedule("often"))
        assert ran.session_id == added.session_id
        end = await south.house.end_of(ran)
        assert isinstance(end, TurnCompleted | TurnInterrupted)
        assert {peer for peer, _ in north.driver.heard} == {"apollo"}
        assert south.driver.heard == []
