"""A list that many subscriptions show: who is told what, and what happens to a reader that is far behind."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from rhetor.errors import StoreRefused
from rhetor.hub.core.changes import Changes
from rhetor.transports.views import board as module
from rhetor.transports.views.board import Board

pytestmark = pytest.mark.anyio


class Names(Board[str]):
    """A list of names; an item is `audience:text`."""

    def __init__(self) -> None:
        super().__init__("names")
        self.source: dict[str, str | None] = {}
        self.changed: Changes[None] = Changes()
        self.faults: list[Exception] = []
        self.reads = 0

    @property
    def changes(self) -> Changes[Any]:
        return self.changed

    async def read(self) -> None:
        self.reads += 1
        if self.faults:
            raise self.faults.pop()
        self.put(self.source)

    def audiences(self, item: str) -> Collection[str]:
        return (item.partition(":")[0],)

    async def change(self, **items: str | None) -> None:
        """Change items, and wait until they were read."""
        self.source |= items
        self.changed.note("x", None)
        async with asyncio.timeout(30):
            while any(self.value_of(id) != value for id, value in items.items()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_only_the_audience_of_an_item_is_told_and_the_one_before_too() -> None:
    names = Names()
    async with names.watched():
        me, you = names.log("me"), names.log("you")
        mine, yours = me.now, you.now
        await names.change(a="me:1")
        assert names.since("me", mine) == [("a", "me:1")]
        assert names.since("you", yours) == []
        mine = me.now
        await names.change(a="you:1")
        assert (names.since("me", mine), names.since("you", yours)) == ([("a", "you:1")], [("a", "you:1")])
        await names.change(a=None)
        assert names.since("you", yours) == [("a", None)]


async def test_items_that_did_not_change_or_were_added_quietly_are_not_told() -> None:
    names = Names()
    async with names.watched():
        seen = names.log("me").now
        names.add({"old": "me:old"})
        names.put({"old": "me:old"})
        assert (names.since("me", seen), names.items) == ([], [("old", "me:old")])


async def test_a_reader_that_is_too_far_behind_reads_everything_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "MOST_ITEMS", 2)
    names = Names()
    async with names.watched():
        seen = names.log("me").now
        names.put({name: f"me:{name}" for name in ("a", "b", "c")})
        assert names.since("me", seen) is None


async def test_a_store_that_refuses_is_read_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.05)
    names = Names()
    async with names.watched():
        seen = names.log("me").now
        names.faults = [StoreRefused("the disk is full")]
        await names.change(a="me:1")
        assert names.since("me", seen) == [("a", "me:1")]
    with pytest.raises(StoreRefused):
        other = Names()
        other.faults = [StoreRefused("the disk is full")]
        async with other.watched():
            pass


async def test_a_bug_ends_the_list_and_wakes_its_readers() -> None:
    names = Names()
    async with names.watched():
        woken = names.log("me").next()
        names.faults = [ValueError("a bug")]
        names.changed.note("x", None)
        async with asyncio.timeout(30):
            await woken.wait()
            while not names.has_ended:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_list_that_nobody_watches_is_not_read(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.05)
    names = Names()
    async with names.watched():
        await names.change(a="me:1")
    async with asyncio.timeout(30):
        while names.is_kept:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    reads = names.reads
    names.changed.note("x", None)
    await asyncio.sleep(0.3)
    assert (names.reads, names.items, names.changed.is_watched) == (reads, [], False)
