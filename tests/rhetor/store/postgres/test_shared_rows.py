"""Which rows other nodes change: named one by one, also after a lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from rhetor.store.base import Addition, Key, Place, Row
from rhetor.store.postgres.store import PostgresStore
from rhetor.store.postgres.wake_ups import MOST_ROWS
from tests.contracts.store_kit import chunk, ticking
from tests.postgres.cluster import Cluster
from tests.postgres.proxy import proxied

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]


class Noted:
    """What a node is told."""

    def __init__(self) -> None:
        self.streams: set[str] = set()
        self.places: set[Place] = set()
        self.own: set[Place] = set()
        self.times_missed = 0
        self._changed = asyncio.Event()

    def elsewhere(self, streams: Sequence[str], places: Sequence[Place]) -> None:
        self.streams.update(streams)
        self.places.update(places)
        self._changed.set()

    def here(self, places: Sequence[Place]) -> None:
        self.own.update(places)

    def missed(self) -> None:
        self.times_missed += 1
        self._changed.set()

    async def until(self, is_so: Callable[[Noted], bool]) -> None:
        async with asyncio.timeout(20):
            while not is_so(self):
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def node(url: str, name: str) -> AsyncIterator[tuple[PostgresStore, Noted]]:
    store, noted = await PostgresStore.open(url, clock=ticking(), node=name), Noted()
    store.watch({"team", "usage"}, noted)
    try:
        yield store, noted
    finally:
        await store.aclose()


async def test_other_nodes_are_told_which_rows_a_commit_changes(postgres_url: str) -> None:
    async with node(postgres_url, "one") as (one, own), node(postgres_url, "two") as (_, told):
        await one.commit("hub", [], rows=[Row("team", "red", "made", b"[]"), Row("note", "n", "kept", b"{}")])
        await one.commit("hub", [], adds=[Addition("usage", "u/1", (3,))], rows=[])
        await told.until(lambda noted: len(noted.places) == 2)
        assert told.places == {("team", "red"), ("usage", "u/1")} == own.own
        told.places.clear()
        await one.commit("hub", [], drop=[("team", "red"), ("note", "n")])
        await told.until(lambda noted: bool(noted.places))
        assert told.places == {("team", "red")}
        assert not own.places
        assert not told.own


async def test_a_removed_stream_is_named_with_its_rows(postgres_url: str) -> None:
    async with node(postgres_url, "one") as (one, _), node(postgres_url, "two") as (_, told):
        await one.commit("s", [chunk("a", "t")], rows=[Row("team", "red", "made", b"[]")])
        await told.until(lambda noted: noted.streams == {"s"})
        told.streams.clear()
        told.places.clear()
        assert await one.forget("s", drop=[("team", "red")])
        await told.until(lambda noted: bool(noted.streams))
        assert (told.streams, told.places) == ({"s"}, {("team", "red")})


async def test_a_replayed_command_changes_no_row(postgres_url: str) -> None:
    key, row = Key("me", "k", "print"), Row("team", "red", "made", b"[]")
    async with node(postgres_url, "one") as (one, own), node(postgres_url, "two") as (_, told):
        await one.commit("hub", [], key=key, rows=[row])
        await told.until(lambda noted: bool(noted.places))
        told.places.clear()
        own.own.clear()
        assert (await one.commit("hub", [], key=key, rows=[row])).replayed
        await one.commit("s", [chunk("a", "t")])
        await told.until(lambda noted: noted.streams == {"s"})
        assert not told.places
        assert not own.own


async def test_only_the_kind_is_named_of_many_rows_and_of_long_ids(postgres_url: str) -> None:
    rows = [Row("team", f"t{number}", "made", b"[]") for number in range(MOST_ROWS + 1)]
    async with node(postgres_url, "one") as (one, _), node(postgres_url, "two") as (_, told):
        await one.commit("hub", [], rows=[*rows, Row("usage", "u" * 2000, "kept", b"[1]")])
        await told.until(lambda noted: len(noted.places) == 2)
        assert told.places == {("team", ""), ("usage", "")}


async def test_rows_are_read_together_and_their_sums_tell_of_each_change(postgres_url: str) -> None:
    async with node(postgres_url, "one") as (one, _), node(postgres_url, "two") as (two, _):
        await one.commit("hub", [], rows=[Row("team", each, "made", b"[]") for each in ("red", "blue")])
        found = await two.rows_at([("team", "red"), ("team", "green"), ("usage", "red")])
        assert [(row.kind, row.id, row.doc) for row in found] == [("team", "red", b"[]")]
        sums = [await two.row_sums({"team", "usage"})]
        await one.commit("hub", [], rows=[Row("team", "red", "made", b'["apollo"]')])
        sums.append(await two.row_sums({"team", "usage"}))
        await one.commit("hub", [], drop=[("team", "red")])
        sums.append(await two.row_sums({"team", "usage"}))
        assert [each["team"][0] for each in sums] == [2, 2, 1]
        assert sums[0] != sums[1]
        assert "usage" not in sums[0]


async def test_a_notification_is_sent_again_if_its_connection_is_lost(
    postgres: Cluster, postgres_url: str
) -> None:
    async with (
        proxied(postgres) as proxy,
        node(proxy.url(postgres_url), "one") as (one, own),
        node(postgres_url, "two") as (_, told),
    ):
        await one.commit("hub", [], rows=[Row("team", "red", "made", b"[]")])
        await told.until(lambda noted: bool(noted.places))
        done = proxy.cut_at(b'"blue"', "request", 0)
        await one.commit("hub", [], rows=[Row("team", "blue", "made", b"[]")])
        await told.until(lambda noted: ("team", "blue") in noted.places)
        assert done.is_set()
        assert not told.times_missed
        await proxy.cut_all()
        await own.until(lambda noted: noted.times_missed == 1)
