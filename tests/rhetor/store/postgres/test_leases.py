"""The leases of nodes, what belongs to each of them, and take-over, in real databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rhetor.domain.event import Position
from rhetor.errors import FenceLost, StoreRefused, StreamElsewhere
from rhetor.store.base import Committed, Key, Row
from rhetor.store.postgres.connection import connect
from rhetor.store.postgres.leases import Leases, Renewed, TakenOver
from rhetor.store.postgres.store import PostgresStore
from tests.contracts.store_kit import chunk, events, question, ticking
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


@asynccontextmanager
async def node(url: str, name: str, seconds: float = LONG) -> AsyncIterator[tuple[Leases, PostgresStore]]:
    """A node with its lease and its store."""
    async with leases(url, name, seconds) as lease:
        await lease.take()
        store = await PostgresStore.open(url, clock=ticking(), lease=lease)
        try:
            yield lease, store
        finally:
            await store.aclose()


def names(renewed: Renewed) -> list[str]:
    return [each.name for each in renewed.nodes]


async def leading(lease: Leases) -> list[TakenOver]:
    """Renew the lease until there is a node to take over; return what was taken."""
    taken: list[TakenOver] = []
    async with asyncio.timeout(SECONDS):
        while not (renewed := await lease.renew()).leads or not taken:
            if renewed.ended:
                taken += await lease.take_over()
            else:
                await asyncio.sleep(0.02)
    return taken


async def test_the_node_that_has_had_its_lease_for_the_longest_time_is_the_lead(postgres_url: str) -> None:
    async with leases(postgres_url, "a") as a, leases(postgres_url, "b") as b, leases(postgres_url, "c") as c:
        assert (await a.take()).leads
        assert not (await b.take()).leads
        renewed = await c.take()
        assert (names(renewed), renewed.leads, renewed.ended) == (["a", "b", "c"], False, False)
        assert [each.address for each in renewed.nodes] == [f"{n}.example:8300" for n in "abc"]
        assert all(0 < each.seconds <= LONG and each.fence == 1 for each in renewed.nodes)
        sinces = [each.since for each in renewed.nodes]
        assert sinces == sorted(sinces)
        await b.renew()  # renewing changes nothing about who leads
        assert (await a.renew()).leads
        assert not (await b.renew()).leads


async def test_one_of_several_nodes_that_start_together_is_the_lead(postgres_url: str) -> None:
    opened = [Leases(postgres_url, f"n{number}", "n.example:8300", LONG) for number in range(5)]
    await asyncio.gather(*(each.take() for each in opened))
    found = await asyncio.gather(*(each.renew() for each in opened))
    assert sum(each.leads for each in found) == 1
    for each in opened:
        await each.aclose()


async def test_the_next_node_leads_only_after_it_has_taken_over_the_lead(postgres_url: str) -> None:
    async with (
        leases(postgres_url, "a", SHORT) as a,
        leases(postgres_url, "b") as b,
        leases(postgres_url, "c") as c,
    ):
        for each in (a, b, c):
            await each.take()
        await asyncio.sleep(SHORT + 0.1)
        later, after = await c.renew(), await b.renew()
        assert (later.leads, later.ended) == (False, False)  # b is the one to take over
        assert (after.leads, after.ended, names(after)) == (False, True, ["b", "c"])
        assert await b.take_over() == [TakenOver("a", 1, [])]
        assert (await b.renew()).leads
        assert not (await c.renew()).leads
        with pytest.raises(FenceLost):
            await a.renew()
        assert a.lost.is_set()
        await a.release()  # of what it no longer has: nothing
        assert await b.take_over() == []


async def test_a_lease_that_ended_is_taken_again_if_no_other_node_took_over(postgres_url: str) -> None:
    async with node(postgres_url, "a", SHORT) as (a, first), node(postgres_url, "b") as (b, _):
        await first.commit("s_1", [chunk("one", "t")])
        await asyncio.sleep(SHORT + 0.1)
        assert (await b.renew()).ended
        await first.commit("s_1", [chunk("two", "t")])  # by a commit
        assert (names(await b.renew()), (await b.renew()).leads) == (["a", "b"], False)
        assert await b.take_over() == []
        await asyncio.sleep(SHORT + 0.1)
        assert (await a.renew()).leads  # by a renewal
        await first.commit("s_1", [chunk("three", "t")])
        assert [each.refused for each in await b.nodes()] == [0, 0]


async def test_a_released_lease_is_taken_over_at_once(postgres_url: str) -> None:
    async with leases(postgres_url, "b") as b:
        async with node(postgres_url, "a") as (a, first):
            await b.take()
            await first.commit("s_1", [])
            await a.release()
        assert await leading(b) == [TakenOver("a", 1, ["s_1"])]


async def test_a_node_that_starts_again_within_its_lease_keeps_its_streams_and_its_place(
    postgres_url: str,
) -> None:
    async with node(postgres_url, "a") as (earlier, first), node(postgres_url, "b") as (b, other):
        await first.commit("s_1", [chunk("one", "t")])
        async with node(postgres_url, "a") as (later, second):
            assert (await later.renew()).leads
            assert not (await b.renew()).ended
            with pytest.raises(FenceLost):
                await earlier.renew()
            with pytest.raises(FenceLost):
                await first.commit("s_1", [chunk("late", "t")])
            await second.commit("s_1", [chunk("two", "t")])
            assert await other.owner("s_1") == "a"
            assert later.fence is not None and earlier.fence is not None
            assert later.fence.node == earlier.fence.node
            assert later.fence.number > earlier.fence.number


async def test_a_stream_belongs_to_the_node_that_began_it(postgres_url: str) -> None:
    async with node(postgres_url, "a") as (_, a), node(postgres_url, "b") as (_, b):
        begun = await a.commit("s_1", [question("hi", "t_1")], key=Key("me", "k", "f", b'"first"'))
        await a.commit("p_1", [], rows=[Row("plan", "p_1", "running", b"{}")])
        with pytest.raises(StreamElsewhere) as refused:
            await b.commit("s_1", [question("hi", "t_2")])
        assert (refused.value.data["stream"], refused.value.data["node"]) == ("s_1", "a")
        for attempt in (
            b.commit("s_1", [], rows=[Row("turn", "t_2", "accepted", b"{}")]),
            b.commit("s_1", [], base=("s_1", Position(begun.epoch, 1))),  # a restore
            b.commit("p_1", [chunk("x", "t")], rows=[Row("plan", "p_1", "ended", b"{}")]),
            b.truncate("s_1", 1),
            b.forget("s_1"),
        ):
            with pytest.raises(StreamElsewhere):
                await attempt
        assert await b.get("turn", "t_2") is None
        # others of the same transaction are stored
        results = await asyncio.gather(
            b.commit("s_2", [chunk("x", "t")]),
            b.commit("s_1", [chunk("x", "t")]),
            b.commit("hub", [chunk("x", "t")]),
            return_exceptions=True,
        )
        assert [type(each) for each in results] == [Committed, StreamElsewhere, Committed]
        assert await b.owners(["s_1", "p_1", "s_2", "hub", "s_3"]) == {"s_1": "a", "p_1": "a", "s_2": "b"}
        # a command that is sent again has its first result at each node
        again = await b.commit("s_1", [question("hi", "t_2")], key=Key("me", "k", "f", b'"second"'))
        assert (again.replayed, again.result, again.last) == (True, b'"first"', 1)


async def test_a_stream_keeps_its_owner_when_it_is_restored_and_a_fork_belongs_to_the_node_that_made_it(
    postgres_url: str,
) -> None:
    async with node(postgres_url, "a") as (_, a), node(postgres_url, "b") as (_, b):
        begun = await a.commit("s_1", [question("hi", "t_1"), chunk("ha", "t_1")])
        place = Position(begun.epoch, 1)
        restored = await a.commit("s_1", [], base=("s_1", place))
        assert restored.epoch != begun.epoch
        await b.commit("s_2", [chunk("of the fork", "t_2")], base=("s_1", place))
        assert await a.owners(["s_1", "s_2"]) == {"s_1": "a", "s_2": "b"}
        for store, stream in ((a, "s_2"), (b, "s_1")):
            with pytest.raises(StreamElsewhere):
                await store.commit(stream, [chunk("x", "t")])


async def test_every_node_writes_the_streams_without_an_owner_and_reads_them_at_once(
    postgres_url: str,
) -> None:
    async with node(postgres_url, "a") as (_, a), node(postgres_url, "b") as (_, b):
        for number in range(20):
            for store, other in ((a, b), (b, a)):
                done = await store.commit("hub", [chunk(f"{number}", "t")])
                after = Position(done.epoch, done.last - 1)
                assert [each.seq for each in await other.page("hub", after)] == [done.last]
        assert await a.owner("hub") is None
        found = await events(a, "hub")
        assert [event.seq for event in found] == list(range(1, 41))


async def test_of_two_nodes_that_begin_a_stream_together_one_owns_it(postgres_url: str) -> None:
    async with node(postgres_url, "a") as (_, a), node(postgres_url, "b") as (_, b):
        for number in range(20):
            stream = f"s_{number}"
            done = await asyncio.gather(
                *(store.commit(stream, [chunk("x", "t")]) for store in (a, b)), return_exceptions=True
            )
            assert sorted(type(each).__name__ for each in done) == ["Committed", "StreamElsewhere"]
            assert await a.owner(stream) == ("a" if isinstance(done[0], Committed) else "b")


async def test_the_lead_takes_over_streams_and_late_writes_are_refused_and_counted(
    postgres_url: str,
) -> None:
    async with node(postgres_url, "a", SHORT) as (_, late), node(postgres_url, "b") as (b, store):
        await late.commit("s_1", [question("in time", "t_1")])
        await late.commit("p_1", [])
        await late.commit("hub", [chunk("x", "t")])
        await store.commit("s_2", [])
        [taken] = await leading(b)
        assert (taken.name, taken.fence, sorted(taken.streams)) == ("a", 1, ["p_1", "s_1"])
        for attempt in (
            late.commit("s_1", [question("too late", "t_2")]),
            late.commit("hub", [chunk("too late", "t_2")]),
            late.truncate("s_1", 2),
        ):
            with pytest.raises(FenceLost):
                await attempt
        await store.commit("s_1", [question("of the new owner", "t_3")])
        await store.commit("s_1", [question("from the tail", "t_4")])
        assert [event.turn_id for event in await events(store, "s_1")] == ["t_1", "t_3", "t_4"]
        assert [event.turn_id for event in await events(late, "s_1")] == ["t_1", "t_3", "t_4"]
        found = {each.name: (each.refused, each.streams) for each in await b.nodes()}
        assert found == {"a": (3, 0), "b": (0, 3)}


async def test_a_node_that_was_taken_over_and_starts_again_owns_only_what_it_begins_then(
    postgres_url: str,
) -> None:
    async with node(postgres_url, "b") as (b, other):
        async with node(postgres_url, "a", SHORT) as (_, first):
            await first.commit("s_1", [chunk("one", "t")])
            await asyncio.sleep(SHORT + 0.1)
            assert [each.name for each in await b.take_over()] == ["a"]
        async with node(postgres_url, "a") as (again, second):
            assert not (await again.renew()).leads
            with pytest.raises(StreamElsewhere):
                await second.commit("s_1", [chunk("two", "t")])
            await second.commit("s_2", [chunk("one", "t")])
            await other.commit("s_1", [chunk("two", "t")])
            assert await second.owners(["s_1", "s_2"]) == {"s_1": "b", "s_2": "a"}


async def test_streams_that_were_taken_over_are_taken_over_again(postgres_url: str) -> None:
    async with leases(postgres_url, "c") as c:
        async with node(postgres_url, "a", SHORT) as (_, a), node(postgres_url, "b", 2 * SHORT) as (b, store):
            await a.commit("s_1", [chunk("one", "t")])
            await leading(b)
            await store.commit("s_1", [chunk("two", "t")])
            await c.take()
        [taken] = await leading(c)
        assert (taken.name, taken.streams) == ("b", ["s_1"])


async def test_a_node_whose_lease_has_ended_takes_nothing_over(postgres_url: str) -> None:
    async with leases(postgres_url, "a", SHORT) as a, leases(postgres_url, "b", SHORT) as b:
        await a.take()
        await b.take()
        await asyncio.sleep(SHORT + 0.1)
        with pytest.raises(FenceLost):
            await b.take_over()
        assert (await a.renew()).leads


async def test_a_take_over_does_not_wait_for_a_transaction_that_stands_still(postgres_url: str) -> None:
    async with leases(postgres_url, "b") as b, node(postgres_url, "a", SHORT) as (_, a):
        await b.take()
        await a.commit("s_1", [chunk("one", "t")])
        held = await connect(postgres_url, "test")
        await held.execute("BEGIN; UPDATE nodes SET commits = commits + 1 WHERE name = 'a'")
        await asyncio.sleep(SHORT + 0.1)
        assert (await b.renew()).ended
        assert await b.take_over() == []  # at once
        await held.execute("COMMIT")
        assert [each.streams for each in await b.take_over()] == [["s_1"]]
        await held.close()


async def test_the_lead_claims_the_sessions_and_plans_of_a_log_that_was_copied(postgres_url: str) -> None:
    async with node(postgres_url, "a") as (lease, store):
        for stream in ("s_1", "p_1", "hub", "audit", "s"):
            await store.commit(stream, [])
        # as rhetor migrate writes them
        connection = await connect(postgres_url, "test")
        await connection.execute("UPDATE incarnations SET node = NULL")
        await connection.close()
        await store.commit("s_1", [chunk("every node may", "t")])
        assert sorted(await lease.claim()) == ["p_1", "s_1"]
        assert await lease.claim() == []
        await store.commit("s_1", [chunk("the owner may", "t")])
        assert await store.owners(["s_1", "p_1", "hub", "audit", "s"]) == {"s_1": "a", "p_1": "a"}


async def test_a_store_that_was_opened_without_a_lease_is_no_node(postgres_url: str) -> None:
    store = await PostgresStore.open(postgres_url, clock=ticking(), node="by itself")
    async with leases(postgres_url, "a") as a:
        renewed = await a.take()
        assert (names(renewed), renewed.leads) == (["a"], True)
        assert [each.name for each in await a.nodes()] == ["a"]
    await store.commit("s", [question("still allowed", "t_1")])
    await store.aclose()


async def test_a_lost_database_is_an_error_and_the_next_attempt_connects_again(postgres: Cluster) -> None:
    with postgres.database() as url:
        async with proxied(postgres) as proxy, leases(proxy.url(url), "a") as a:
            await a.take()
            proxy.refuses = True
            await proxy.cut_all()
            with pytest.raises(StoreRefused):
                await a.renew()
            with pytest.raises(StoreRefused):
                await a.renew()
            proxy.refuses = False
            await a.renew()
            assert not a.lost.is_set()
