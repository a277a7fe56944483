"""The lease of the node that serves, in real databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rhetor.errors import FenceLost, StoreRefused
from rhetor.store.postgres.leases import Leases, Serving
from rhetor.store.postgres.store import PostgresStore
from tests.contracts.store_kit import events, question, ticking
from tests.postgres.cluster import Cluster
from tests.postgres.proxy import proxied

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
LONG, SHORT = 600.0, 0.5
SECONDS = 60.0


@asynccontextmanager
async def leases(url: str, name: str, seconds: float = LONG) -> AsyncIterator[Leases]:
    found = Leases(url, name, f"{name}.example:8300", seconds)
    try:
        yield found
    finally:
        await found.aclose()


async def taken(found: Leases) -> float:
    """Try until the node has the lease; return how many seconds that took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(SECONDS):
        while await found.take() is not None:  # noqa: ASYNC110  # the database tells nobody
            await asyncio.sleep(0.02)
    return loop.time() - began


async def test_one_of_several_nodes_that_start_together_gets_the_lease(postgres_url: str) -> None:
    names = [f"n{number}" for number in range(5)]
    opened = [Leases(postgres_url, name, f"{name}.example:8300", LONG) for name in names]
    found = await asyncio.gather(*(each.take() for each in opened))
    assert found.count(None) == 1
    winner = opened[found.index(None)]
    serving = [each for each in found if each is not None]
    assert {(each.name, each.address) for each in serving} == {(winner.name, f"{winner.name}.example:8300")}
    assert all(0 < each.seconds <= LONG for each in serving)
    for each in opened:
        await each.aclose()


async def test_a_lease_ends_by_itself_and_its_node_is_fenced_off(postgres_url: str) -> None:
    async with leases(postgres_url, "a", SHORT) as a, leases(postgres_url, "b", SHORT) as b:
        assert await a.take() is None
        for _ in range(4):  # while it is renewed, nobody else gets it
            await asyncio.sleep(SHORT / 2)
            await a.renew()
            assert isinstance(await b.take(), Serving)
        assert SHORT / 2 < await taken(b) < SHORT + 2
        with pytest.raises(FenceLost):
            await a.renew()
        assert a.lost.is_set()
        await a.release()  # of what it no longer has: nothing
        assert isinstance(await a.take(), Serving)
        await b.renew()
        assert [each.name for each in await b.nodes()] == ["b", "a"]


async def test_a_lease_that_ended_can_be_renewed_until_another_node_takes_it(postgres_url: str) -> None:
    async with leases(postgres_url, "a", SHORT) as a, leases(postgres_url, "b") as b:
        assert await a.take() is None
        await asyncio.sleep(SHORT + 0.1)
        await a.renew()
        assert isinstance(await b.take(), Serving)


async def test_a_released_lease_is_free_at_once(postgres_url: str) -> None:
    async with leases(postgres_url, "a") as a, leases(postgres_url, "b") as b:
        assert await a.take() is None
        await a.release()
        assert await b.take() is None


async def test_a_node_that_starts_again_takes_its_own_lease_and_the_earlier_life_ends(
    postgres_url: str,
) -> None:
    async with leases(postgres_url, "a") as earlier, leases(postgres_url, "a") as later:
        assert await earlier.take() is None
        assert await later.take() is None
        with pytest.raises(FenceLost):
            await earlier.renew()
        await later.renew()
        assert later.fence is not None and earlier.fence is not None
        assert later.fence.node == earlier.fence.node
        assert later.fence.number > earlier.fence.number


async def test_late_writes_of_a_node_are_refused_and_counted(postgres_url: str) -> None:
    async with leases(postgres_url, "a", SHORT) as a, leases(postgres_url, "b") as b:
        assert await a.take() is None
        late = await PostgresStore.open(postgres_url, clock=ticking(), lease=a)
        await late.commit("s", [question("in time", "t_1")])
        await taken(b)
        store = await PostgresStore.open(postgres_url, clock=ticking(), lease=b)
        for _ in range(3):
            with pytest.raises(FenceLost):
                await late.commit("s", [question("too late", "t_2")])
        await store.commit("s", [question("of the other node", "t_3")])
        assert [event.turn_id for event in await events(store, "s")] == ["t_1", "t_3"]
        assert [(each.name, each.refused) for each in await b.nodes()] == [("b", 0), ("a", 3)]
        await late.aclose()
        await store.aclose()


async def test_a_store_that_was_opened_without_a_lease_keeps_no_node_from_serving(postgres_url: str) -> None:
    store = await PostgresStore.open(postgres_url, clock=ticking(), node="by itself")
    async with leases(postgres_url, "a") as a:
        assert await a.take() is None
        assert [each.name for each in await a.nodes()] == ["a"]
    await store.commit("s", [question("still allowed", "t_1")])
    await store.aclose()


async def test_a_lost_database_is_an_error_and_the_next_attempt_connects_again(postgres: Cluster) -> None:
    with postgres.database() as url:
        async with proxied(postgres) as proxy, leases(proxy.url(url), "a") as a:
            assert await a.take() is None
            proxy.refuses = True
            await proxy.cut_all()
            with pytest.raises(StoreRefused):
                await a.renew()
            with pytest.raises(StoreRefused):
                await a.renew()
            proxy.refuses = False
            await a.renew()
            assert not a.lost.is_set()
