"""Databases that were restored to an earlier state, by the tools of PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rhetor.domain.event import Position
from rhetor.errors import StoreRefused
from rhetor.sealing.ring import Ring
from rhetor.store.base import Key, Row, check_position
from rhetor.store.postgres import history
from rhetor.store.postgres.leases import Leases
from rhetor.store.postgres.store import PostgresStore
from tests.contracts.store_kit import chunk, ticking
from tests.postgres.cluster import Cluster

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]


@asynccontextmanager
async def node(
    url: str, folder: Path, name: str = "one", ring: Ring | None = None
) -> AsyncIterator[PostgresStore]:
    """Run a node with a state folder. With a ring, all content is sealed."""
    file, clock = folder / f"{name}.witness", ticking()
    sealed = ring is not None
    store = await PostgresStore.open(url, clock=clock, node=name, witness=file, ring=ring, at_rest=sealed)
    try:
        yield store
    finally:
        await store.aclose()


async def written(store: PostgresStore, count: int, stream: str = "s_1") -> Position:
    """Commit some events, and return the position of the last one."""
    for number in range(count):
        last = await store.commit(stream, [chunk("t", f"{number}")])
    return Position(last.epoch, last.last)


@pytest.mark.parametrize("sealed", [False, True])
async def test_cursors_end_when_the_database_lost_what_a_node_has_committed(
    postgres: Cluster, postgres_url: str, tmp_path: Path, sealed: bool
) -> None:
    ring = Ring(tmp_path) if sealed else None
    async with node(postgres_url, tmp_path, ring=ring) as store:
        kept = await written(store, 3)
        doc = b'{"cursor":"%s"}' % str(kept).encode()
        key = Key("me", "k", "f", b"1")
        await store.commit("s_1", [chunk("t", "row")], rows=[Row("checkpoint", "c", "made", doc)], key=key)
        file = postgres.dump(postgres_url, f"{tmp_path.name}.dump")
        lost = await written(store, 2)
    postgres.restore(postgres_url, file)
    async with node(postgres_url, tmp_path, ring=ring) as store:
        (notice,) = [each for each in store.notices if "restored" in each]
        assert "new epochs" in notice
        head = await store.head("s_1")
        assert head is not None
        assert head.epoch != kept.epoch
        for position in (kept, lost):
            assert check_position(head, position) == "epoch_changed"
        records = await store.page("s_1", Position(head.epoch, 0))
        assert [record.event.position.seq for record in records] == [1, 2, 3, 4]
        row = await store.get("checkpoint", "c")
        assert row is not None
        assert row.doc == b'{"cursor":"%s"}' % str(Position(head.epoch, 3)).encode()
        again = await store.commit("s_1", [chunk("t", "row")], key=key)
        assert (again.replayed, again.epoch) == (True, head.epoch)
        assert (await written(store, 1)).epoch == head.epoch
    async with node(postgres_url, tmp_path, ring=ring) as store:
        assert not [each for each in store.notices if "restored" in each]
        assert (await store.head("s_1")).epoch == head.epoch  # type: ignore[union-attr]


async def test_cursors_stay_when_nothing_was_lost(
    postgres: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    async with node(postgres_url, tmp_path) as store:
        last = await written(store, 3)
    file = postgres.dump(postgres_url, f"{tmp_path.name}.dump")
    postgres.restore(postgres_url, file)
    async with node(postgres_url, tmp_path) as store:
        head = await store.head("s_1")
        assert head is not None
        assert check_position(head, last) == "ok"
        assert not [each for each in store.notices if "restored" in each]


async def test_another_node_finds_the_new_epochs_and_begins_none(
    postgres: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    async with node(postgres_url, tmp_path) as one, node(postgres_url, tmp_path, "two") as two:
        await written(one, 1)
        await written(two, 1, "s_2")
        file = postgres.dump(postgres_url, f"{tmp_path.name}.dump")
        await written(one, 1)
        await written(two, 1, "s_2")
    postgres.restore(postgres_url, file)
    async with node(postgres_url, tmp_path) as one:
        first = await one.head("s_2")
        async with node(postgres_url, tmp_path, "two") as two:
            assert await two.head("s_2") == first
    # an even earlier state, of which the nodes have forgotten how much they had committed
    postgres.restore(postgres_url, file)
    async with node(postgres_url, tmp_path, "two") as two:
        assert [each for each in two.notices if "restored" in each]


async def test_a_node_that_misses_something_does_not_start_while_others_use_the_database(
    postgres: Cluster, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "WAIT_SECONDS", 0.5)
    async with node(postgres_url, tmp_path) as one:
        await written(one, 1)
        file = postgres.dump(postgres_url, f"{tmp_path.name}.dump")
        await written(one, 1)
    postgres.restore(postgres_url, file)
    other = Leases(postgres_url, "two", "127.0.0.1:8302")
    await other.take()
    try:
        with pytest.raises(StoreRefused, match=r"restored to an earlier state.*127\.0\.0\.1:8302") as caught:
            async with node(postgres_url, tmp_path):
                pass
        assert caught.value.data["hint"] == "stop all nodes, and start this one first"
    finally:
        await other.release()
        await other.aclose()
    async with node(postgres_url, tmp_path) as one:
        assert [each for each in one.notices if "restored" in each]


async def test_a_node_that_runs_writes_nothing_more_when_the_database_is_restored(
    postgres: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    async with node(postgres_url, tmp_path) as store:
        await written(store, 1)
        file = postgres.dump(postgres_url, f"{tmp_path.name}.dump")
        await written(store, 1)
        postgres.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            postgres_url.partition("?")[0].rpartition("/")[2],
        )
        await asyncio.to_thread(postgres.restore, postgres_url, file)
        for _ in range(3):
            with pytest.raises(StoreRefused) as caught:
                await written(store, 1)
        assert "in an earlier state" in caught.value.detail


async def test_another_database_is_not_mistaken_for_an_earlier_state(
    postgres: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    async with node(postgres_url, tmp_path) as store:
        await written(store, 5)
    with postgres.database() as url:
        async with node(url, tmp_path) as store:
            assert not [each for each in store.notices if "restored" in each]
