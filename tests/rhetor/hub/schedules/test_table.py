"""The schedules in memory, in the order of their times."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from rhetor.domain.schedule import Schedule
from rhetor.hub.catalog.schedules import Schedules

pytestmark = pytest.mark.anyio


def schedule(number: int, due: int | None) -> Schedule:
    name = f"s{number}"
    return Schedule(f"c_{number}", "me", name, "@daily", "UTC", "apollo hi", name, f"s_{number}", 0, due=due)


def test_the_earliest_time_comes_first_whatever_the_order_of_changes() -> None:
    table = Schedules()
    for number, due in enumerate((30, 10, None, 20)):
        table.put(schedule(number, due))
    assert (table.next_time(), table.waiting, len(table)) == (10, 3, 4)
    table.put(schedule(1, 40))
    assert table.next_time() == 20
    table.remove(schedule(3, 20))
    table.put(schedule(2, 5))
    assert table.take_due(30, 10) == ["c_2", "c_0"]
    assert table.next_time() == 40
    table.queue("c_2")
    assert table.next_time() == 5
    table.put(schedule(2, None))
    assert (table.take_due(100, 10), table.waiting) == (["c_1"], 2)


def test_a_schedule_that_is_put_twice_with_one_time_is_taken_once() -> None:
    table = Schedules()
    table.put(schedule(1, 10))
    table.put(schedule(1, 10))
    assert table.take_due(10, 10) == ["c_1"]
    table.put(schedule(1, 20))
    assert table.take_due(10, 10) == []


def test_many_edits_leave_no_more_entries_than_twice_the_schedules() -> None:
    table = Schedules()
    for number in range(100):
        table.put(schedule(number, 1000 + number))
    for due in range(5000):
        table.put(schedule(7, 100_000 - due))
    assert len(table._times) <= 2 * 100 + 64
    assert len(table.take_due(1_000_000, 1000)) == 100


def test_the_number_of_those_that_wait_is_reported_when_it_changes() -> None:
    told: list[int] = []
    table = Schedules(counted=told.append)
    one = schedule(1, 10)
    table.put(one)
    table.put(replace(one, due=20))
    table.put(replace(one, due=None))
    table.remove(one)
    assert told == [1, 0]


async def test_a_change_wakes_the_scheduler() -> None:
    table = Schedules()
    changed = table.changed.next()
    table.put(schedule(1, 10))
    await asyncio.wait_for(changed.wait(), 5)
