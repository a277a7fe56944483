"""Rows that cannot be read: the others are used all the same, and reading is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from tests.rhetor.hub.house import house

from rhetor.errors import SealBroken, StoreRefused
from rhetor.hub.core.changes import Changes
from rhetor.hub.nodes import mirrors as module
from rhetor.hub.nodes.mirrors import Mirrors
from rhetor.store.base import Place, Row, RowSum, RowWatcher

pytestmark = pytest.mark.anyio


class FailingRows:
    """Rows of a database that fails as often as `failures` says, and in which one row cannot be opened."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.rows = {("team", name): Row("team", name, "made", b'["apollo"]') for name in ("red", "blue")}
        self.broken: Place = ("team", "broken")

    def watch(self, kinds: Collection[str], watcher: RowWatcher) -> None:
        pass

    async def rows_at(self, places: Sequence[Place]) -> Sequence[Row]:
        if self.failures:
            raise self.failures.pop(0)
        if self.broken in places:
            raise SealBroken("its key is missing")
        return [self.rows[place] for place in places if place in self.rows]

    async def row_sums(self, kinds: Collection[str]) -> Mapping[str, RowSum]:
        return {}


@pytest.mark.parametrize("failure", [None, StoreRefused("away"), RuntimeError("a bug")])
async def test_rows_that_can_be_read_are_used(
    failure: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY", 0.01)
    rows = FailingRows(*[failure] * 2 if failure else [])
    async with house() as home:
        mirrors = Mirrors(home.hub.state, rows)
        await mirrors.begin()
        running = asyncio.create_task(mirrors.run())
        mirrors.elsewhere(["hub"], [("team", "red"), rows.broken, ("team", "blue")])
        await mirrors.caught_up()
        assert {"red", "blue"} <= home.hub.state.peers.teams.keys()
        del rows.rows["team", "red"]
        mirrors.elsewhere(["hub"], [("team", "red")])
        await mirrors.caught_up()
        assert "red" not in home.hub.state.peers.teams
        running.cancel()


async def test_those_who_watch_read_everything_again_if_something_was_missed() -> None:
    async with house() as home:
        live = home.hub.state.live
        mirrors = Mirrors(home.hub.state, FailingRows())
        changes: list[Changes[Any]] = [live.peers, live.sessions, live.said, live.rows]
        with ExitStack() as stack:
            for each in changes:
                stack.enter_context(each.watched())
            for cause in (mirrors.missed, lambda: mirrors.elsewhere([], [("session", "")])):
                before = [each.now for each in changes]
                cause()
                assert [each.since(now) for each, now in zip(changes, before, strict=True)] == [None] * 4
