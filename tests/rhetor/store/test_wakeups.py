from __future__ import annotations

import asyncio

import pytest

from rhetor.store.wakeups import Wakeups

pytestmark = pytest.mark.anyio


async def waiter(wakeups: Wakeups, stream: str) -> None:
    woken = wakeups.enter(stream)
    try:
        await woken
    finally:
        wakeups.leave(stream, woken)


async def begin(wakeups: Wakeups, stream: str, count: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(waiter(wakeups, stream), name=f"waiter {n}") for n in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_a_waiter_of_a_stream_is_woken_and_forgotten() -> None:
    wakeups = Wakeups()
    here, there = await begin(wakeups, "here", 3), await begin(wakeups, "there", 2)
    wakeups.wake("here")
    await asyncio.gather(*here)
    assert (len(wakeups), [task.done() for task in there]) == (2, [False, False])
    wakeups.wake_all()
    await asyncio.gather(*there)
    assert (len(wakeups), wakeups.streams) == (0, 0)


async def test_a_cancelled_waiter_leaves_nothing_and_others_are_woken() -> None:
    wakeups = Wakeups()
    tasks = await begin(wakeups, "s", 4)
    for task in tasks[:2]:
        task.cancel()
    await asyncio.gather(*tasks[:2], return_exceptions=True)
    assert (len(wakeups), wakeups.streams) == (2, 1)
    for task in tasks[2:]:
        task.cancel()
    wakeups.wake("s")  # in the same moment
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (len(wakeups), wakeups.streams) == (0, 0)


async def test_a_wake_up_between_entering_and_waiting_counts() -> None:
    wakeups = Wakeups()
    woken = wakeups.enter("s")
    wakeups.wake("s")
    async with asyncio.timeout(60):
        await woken
    wakeups.leave("s", woken)
    assert (len(wakeups), wakeups.streams) == (0, 0)


async def test_a_new_waiter_is_not_affected_by_one_that_leaves_late() -> None:
    wakeups = Wakeups()
    [first] = await begin(wakeups, "s", 1)
    wakeups.wake("s")
    woken = wakeups.enter("s")  # before the first one has left
    await first
    assert len(wakeups) == 1
    wakeups.wake("s")
    await woken
    wakeups.leave("s", woken)
