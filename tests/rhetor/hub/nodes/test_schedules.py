"""Schedules whose node is lost: each time has one run, at the node that takes over."""

from __future__ import annotations

import pytest
from tests.rhetor.hub.nodes.together import Node, eventually, node
from tests.rhetor.hub.schedules.scheduling import Clock, Planned, answers, dues, lines

from rhetor.domain.event import ScheduleDue, TurnCompleted
from rhetor.domain.schedule import Schedule
from rhetor.hub.core.ids import Ids
from rhetor.hub.schedules import scheduler
from rhetor.nodes import _recover
from rhetor.store.postgres.leases import TakenOver

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]


async def added(north: Node, south: Node, clock: Clock) -> Schedule:
    """Add a schedule for eight o'clock at one node, and let the other one know it."""
    schedule = await Planned(north.house, clock).add("apollo hello")
    await south.house.hub.state.schedules.load(south.store)
    return schedule


async def taken_over(south: Node) -> None:
    """Wait until the node owns what the other one had, and recover it as `rhetor serve` does."""
    await eventually(lambda: bool(south.taken))
    await _recover(south.house.hub.state, TakenOver("north", 1, tuple(south.taken)))


async def require_one_run(south: Node, clock: Clock, schedule: Schedule) -> None:
    shown = Planned(south.house, clock)
    await shown.until(schedule.session_id, TurnCompleted)
    await shown.set("2026-11-30T09:00:00")
    await shown.set("2026-12-01T08:00:00")  # the next run shows that there is no other one before it
    found = await shown.until(schedule.session_id, TurnCompleted, 2)
    assert dues(found) == ["11-30T08:00", "12-01T08:00"]
    assert len(lines(found)) == len(answers(found)) == len(south.driver.heard) == 2


@pytest.mark.parametrize("is_late", [False, True], ids=["before-the-take-over", "after-it"])
async def test_a_time_that_comes_while_its_node_is_lost_has_one_run(postgres_url: str, is_late: bool) -> None:
    clock = Clock()
    async with (
        node(postgres_url, "north", ids=Ids(clock)) as north,
        node(postgres_url, "south", ids=Ids(clock)) as south,
    ):
        schedule = await added(north, south, clock)
        shown = Planned(south.house, clock)
        await north.die()
        if not is_late:
            await shown.set("2026-11-30T08:00:00")
            await eventually(lambda: south.house.hub.state.schedules.next_time() is None)
        await taken_over(south)
        if is_late:
            await shown.set("2026-11-30T08:00:00")
        await require_one_run(south, clock, schedule)
        assert north.driver.heard == []


async def test_several_times_that_come_while_their_node_is_lost_have_one_run(postgres_url: str) -> None:
    clock = Clock()
    async with (
        node(postgres_url, "north", ids=Ids(clock)) as north,
        node(postgres_url, "south", ids=Ids(clock)) as south,
    ):
        schedule = await added(north, south, clock)
        await north.die()
        shown = Planned(south.house, clock)
        await shown.set("2026-11-30T08:00:00")
        await shown.set("2026-12-02T07:00:00")
        await taken_over(south)
        found = await shown.until(schedule.session_id, TurnCompleted)
        assert dues(found) == ["12-01T08:00"]


async def test_a_run_that_began_before_its_node_was_lost_is_sent_once(postgres_url: str) -> None:
    clock = Clock()
    async with (
        node(postgres_url, "north", ids=Ids(clock)) as north,
        node(postgres_url, "south", ids=Ids(clock)) as south,
    ):
        schedule = await added(north, south, clock)
        clock.now += 60_000  # the timer of the hub does not notice that
        assert await scheduler._begin(north.house.hub.state, schedule.id) is not None
        await north.die()
        await taken_over(south)
        found = await Planned(south.house, clock).until(schedule.session_id, TurnCompleted)
        assert [type(each) for each in found if isinstance(each, ScheduleDue)] == [ScheduleDue]
        await require_one_run(south, clock, schedule)
