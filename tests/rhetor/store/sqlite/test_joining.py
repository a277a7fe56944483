"""Requests that arrive before a transaction is complete become part of it, and see what it has written."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.event import OutputDelta
from rhetor.errors import NameTaken, StateConflict
from rhetor.store.base import Addition, Committed, Draft, Expect, Key, Row, random_epoch
from rhetor.store.requests import Outcome, Ticket
from rhetor.store.sqlite.store import SqliteStore
from rhetor.store.sqlite.transaction import Transaction

pytestmark = pytest.mark.anyio
TURN = Row("turn", "t", "running", b"{}", owner="me", name="plans")
RUNNING = [Expect("turn", "t", frozenset({"running"}))]


class HeldStore:
    """A store whose next transaction waits after its first request until `released`. `batches`: how many
    requests each transaction had."""

    def __init__(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.batches: list[int] = []
        self._began, self._released = asyncio.Event(), threading.Event()
        self._hold(monkeypatch)

    def _hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        write, hand_over = Transaction.write, self.store._writer._hand_over
        loop = asyncio.get_running_loop()

        def held(transaction: Transaction) -> None:
            write(transaction)
            loop.call_soon_threadsafe(self._began.set)
            self._released.wait(30)

        def counted(tickets: Sequence[Ticket], outcomes: Sequence[Outcome]) -> None:
            self.batches.append(len(tickets))
            hand_over(tickets, outcomes)

        monkeypatch.setattr(Transaction, "write", held)
        monkeypatch.setattr(self.store._writer, "_hand_over", counted)

    async def both(self, first: Any, *later: Any) -> list[Any]:
        """Commit the first, and the later ones while its transaction is held. Return their results."""
        commits = [asyncio.ensure_future(first)]
        await self._began.wait()
        commits += [asyncio.ensure_future(each) for each in later]
        await asyncio.sleep(0.01)  # they are handed to the writer
        self._released.set()
        return await asyncio.gather(*commits, return_exceptions=True)


@asynccontextmanager
async def held(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HeldStore]:
    store = await SqliteStore.open(path / "log.db", clock=lambda: 1, new_epoch=random_epoch)
    try:
        yield HeldStore(store, monkeypatch)
    finally:
        await store.aclose()


def _said(text: str) -> list[Draft]:
    return [Draft(OutputDelta(text), "t")]


async def test_a_commit_that_arrives_before_the_end_of_a_transaction_is_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held(tmp_path, monkeypatch) as home:
        store = home.store
        first, second = await home.both(
            store.commit("s", _said("one"), rows=[TURN]), store.commit("s", _said("two"), expects=RUNNING)
        )
        assert home.batches == [2]
        assert (first.first, second.first, second.epoch) == (1, 2, first.epoch)
        again = await store.commit("s", _said("three"))
        assert (again.first, again.epoch) == (3, first.epoch)


async def test_a_commit_that_joins_is_rejected_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = [Expect("turn", "t", frozenset({"accepted"}))]
    async with held(tmp_path, monkeypatch) as home:
        store = home.store
        first, second, third = await home.both(
            store.commit("s", _said("one"), rows=[TURN]),
            store.commit("s", _said("two"), expects=waiting),
            store.commit("s", [], rows=[Row("turn", "u", "running", b"{}", owner="me", name="plans")]),
        )
        assert home.batches == [3]
        assert isinstance(first, Committed)
        assert isinstance(second, StateConflict)
        assert isinstance(third, NameTaken)
        head = await store.head("s")
        assert head is not None
        assert head.head == 1


async def test_a_commit_that_joins_sees_keys_numbers_and_dropped_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Key("me", "c1", "fingerprint", b"{}")
    more = Addition("usage", "u", (1, Decimal("0.5")), owner="me", at=1)
    async with held(tmp_path, monkeypatch) as home:
        store = home.store
        first, second, third, fourth = await home.both(
            store.commit("s", _said("one"), key=key, rows=[TURN], adds=[more]),
            store.commit("s", _said("two"), key=key),
            store.commit("s", [], adds=[more], drop=[("turn", "t")]),
            store.commit("s", [], expects=RUNNING, adds=[more]),
        )
        assert home.batches == [4]
        assert (second.replayed, second.first) == (True, first.first)
        assert isinstance(third, Committed)
        assert isinstance(fourth, StateConflict)
        sums = await store.get("usage", "u")
        assert sums is not None
        assert sums.doc == b'[2,"1.0"]'
        assert await store.get("turn", "t") is None


async def test_a_store_that_is_closed_finishes_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held(tmp_path, monkeypatch) as home:
        store = home.store
        (first,) = await home.both(store.commit("s", _said("one")))
        assert isinstance(first, Committed)
        later = [asyncio.ensure_future(store.commit("s", _said(str(n)))) for n in range(3)]
        await asyncio.sleep(0)
        await store.aclose()
        assert [each.first for each in await asyncio.gather(*later)] == [2, 3, 4]
