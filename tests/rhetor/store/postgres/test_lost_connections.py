"""Lost connections and servers: nothing acknowledged is lost, and nothing that was refused is stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from rhetor.domain.event import OutputPartial, Position
from rhetor.errors import CommitUnresolved, FenceLost, StoreRefused
from rhetor.hub.core.commits import until_accepted
from rhetor.store.base import Committed, Draft, Expect, Key, Row, follow
from rhetor.store.postgres import wake_ups
from rhetor.store.postgres.store import PostgresStore
from rhetor.store.postgres.wake_ups import Name
from tests.contracts.store_kit import chunk, events, question, ticking
from tests.postgres.cluster import Cluster, running
from tests.postgres.proxy import Side, proxied

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]


@asynccontextmanager
async def node(url: str, name: str = "main") -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(url, clock=ticking(), node=name)
    store.others.is_shared = lambda stream: stream == "s"
    try:
        yield store
    finally:
        await store.aclose()


async def texts(url: str, stream: str = "s") -> list[str]:
    """Return what a new node reads."""
    async with node(url, "reader") as store:
        if await store.head(stream) is None:
            return []
        return [event.payload.text for event in await events(store, stream)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("side", "count", "is_stored"),
    [("request", 0, False), ("request", 3, False), ("answer", 0, True), ("answer", 4, True)],
)
@pytest.mark.parametrize("what", ["events", "message", "rows", "key"])
async def test_a_commit_whose_connection_is_cut_has_its_true_outcome(
    postgres: Cluster, postgres_url: str, side: Side, count: int, is_stored: bool, what: str
) -> None:
    async with proxied(postgres) as proxy, node(proxy.url(postgres_url)) as store:
        await store.commit("own", [chunk("before", "t")])
        # events alone are written in one statement, which commits
        done = proxy.cut_at(b"a last word" if what == "events" else b"COMMIT", side, count)
        row = Row("session", "s1", "active", b"{}")
        try:
            if what == "events":
                await store.commit("own", [chunk("a last word", "t")])
            elif what == "message":
                await store.commit("own", [Draft(OutputPartial("a last word"), "t")])
            elif what == "rows":
                await store.commit("s", [], rows=[row])
            else:
                await store.commit("s", [], key=Key("me", "k", "print"))
            was_stored = True
        except StoreRefused:
            was_stored = False
        assert done.is_set()
        assert was_stored == is_stored
        await store.commit("own", [chunk("after", "t")])
        lost = [] if what in ("rows", "key") or not is_stored else ["a last word"]
        assert await texts(postgres_url, "own") == ["before", *lost, "after"]
        assert (await store.get("session", "s1") is not None) == (what == "rows" and is_stored)
        again = await store.commit("s", [], key=Key("me", "k", "print"))
        assert again.replayed == (what == "key" and is_stored)


async def test_a_connection_that_is_cut_before_commit_refuses_the_commit(
    postgres: Cluster, postgres_url: str
) -> None:
    async with proxied(postgres) as proxy, node(proxy.url(postgres_url)) as store:
        await store.commit("s", [chunk("a", "t")])
        for trigger in (b"BEGIN", b"INSERT INTO texts"):
            proxy.cut_at(trigger, "answer")
            with pytest.raises(StoreRefused):
                await store.commit("s", [question("lost", "t")])
        await store.commit("s", [chunk("b", "t")])
        assert await texts(postgres_url) == ["a", "b"]


async def test_nobody_is_answered_while_the_outcome_is_not_known(
    postgres: Cluster, postgres_url: str
) -> None:
    async with proxied(postgres) as proxy, node(proxy.url(postgres_url)) as store:
        await store.commit("s", [chunk("a", "t")])
        done = proxy.cut_at(b"a last word", "answer")
        proxy.refuses = True
        commit = asyncio.ensure_future(store.commit("s", [chunk("a last word", "t")]))
        await done.wait()
        with pytest.raises(StoreRefused):  # which is certain
            await store.commit("s", [chunk("c", "t")])
        await asyncio.sleep(0.5)
        assert not commit.done()
        proxy.refuses = False
        async with asyncio.timeout(60):
            assert (await commit).last == 2
    assert await texts(postgres_url) == ["a", "a last word"]


async def test_a_store_that_closes_before_it_knows_says_so(postgres: Cluster, postgres_url: str) -> None:
    async with proxied(postgres) as proxy:
        store = await PostgresStore.open(proxy.url(postgres_url), clock=ticking())
        done = proxy.cut_at(b"COMMIT", "request")
        proxy.refuses = True
        commit = asyncio.ensure_future(store.commit("s", [chunk("b", "t")]))
        await done.wait()
        await asyncio.gather(store.aclose(), return_exceptions=True)
        with pytest.raises(CommitUnresolved):
            await commit
    assert await texts(postgres_url) == []


async def test_nothing_acknowledged_is_lost_when_the_server_is_killed() -> None:
    acknowledged: set[str] = set()
    refused: set[str] = set()
    is_over = asyncio.Event()
    with running("15") as cluster:
        async with node(cluster.url()) as store:

            async def write(writer: int) -> None:
                number = 0
                while not is_over.is_set():
                    number += 1
                    name = f"{writer}-{number}"
                    try:
                        await store.commit(f"s{writer % 3}", [chunk(name, "t")])
                        acknowledged.add(name)
                    except StoreRefused:
                        refused.add(name)
                        await asyncio.sleep(0.05)

            async def kill() -> None:
                for _ in range(3):
                    await asyncio.sleep(0.3)
                    await asyncio.to_thread(cluster.kill)
                    await asyncio.sleep(0.2)
                    await asyncio.to_thread(cluster.start)
                await asyncio.sleep(0.2)
                is_over.set()

            async with asyncio.timeout(120):
                await asyncio.gather(kill(), *map(write, range(8)))
            for stream in ("s0", "s1", "s2"):
                end = partial(store.commit, stream, [chunk("end", "t")])
                await until_accepted(end, stream)
        found = [name for stream in ("s0", "s1", "s2") for name in await texts(cluster.url(), stream)]
    names = [name for name in found if name != "end"]
    assert len(names) == len(set(names))
    assert set(names) == acknowledged
    assert acknowledged and refused and not acknowledged & refused


async def test_a_node_whose_lease_or_fence_is_lost_writes_nothing(
    postgres: Cluster, postgres_url: str
) -> None:
    name = postgres_url.split("@/")[1].split("?")[0]
    async with node(postgres_url) as store:
        await store.commit("s", [chunk("a", "t")])
        postgres.sql("UPDATE nodes SET expires_at = now() - interval '1 second'", name)
        for commit in (store.commit("s", [chunk("b", "t")]), store.truncate("s", 1)):
            with pytest.raises(FenceLost):
                await commit
        postgres.sql("UPDATE nodes SET expires_at = 'infinity', fence = fence + 1", name)
        with pytest.raises(FenceLost):
            await store.commit("s", [chunk("b", "t")])
    assert await texts(postgres_url) == ["a"]


async def test_two_nodes_append_to_one_stream_without_gaps(postgres_url: str) -> None:
    async with node(postgres_url, "one") as one, node(postgres_url, "two") as two:

        async def write(store: PostgresStore, name: str) -> list[Committed]:
            return await asyncio.gather(
                *(store.commit("s", [chunk(f"{name}{n}", "t")]) for n in range(100)),
                *(store.commit(f"own {name}", [chunk(f"{name}{n}", "t")]) for n in range(100)),
            )

        done = [each for both in await asyncio.gather(write(one, "a"), write(two, "b")) for each in both]
        assert len(done) == 400
        whole = await events(one, "s")
        assert [event.seq for event in whole] == list(range(1, 201))
        assert whole == await events(two, "s")
        assert len({event.payload.text for event in whole}) == 200  # type: ignore[union-attr]


async def test_one_of_two_nodes_that_expect_the_same_row_wins(postgres_url: str) -> None:
    async with node(postgres_url, "one") as one, node(postgres_url, "two") as two:
        for number in range(30):
            absent = Expect.absent("lease", f"l{number}")
            row = Row("lease", f"l{number}", "taken", b"{}", name=f"n{number}")
            done = await asyncio.gather(
                *(store.commit("s", [], expects=[absent], rows=[row]) for store in (one, two)),
                return_exceptions=True,
            )
            assert sum(isinstance(each, Committed) for each in done) == 1, done
            keyed = await asyncio.gather(
                *(store.commit("s", [], key=Key("me", f"k{number}", "p")) for store in (one, two))
            )
            assert sorted(each.replayed for each in keyed) == [False, True]


async def test_an_event_of_another_node_wakes_a_follower_soon(postgres_url: str) -> None:
    async with node(postgres_url, "one") as one, node(postgres_url, "two") as two:
        done = await one.commit("s", [chunk("a", "t")])
        following = follow(two, "s", Position(done.epoch, done.last))
        for number in range(5):
            waiting = asyncio.ensure_future(anext(following))
            await asyncio.sleep(0.05)
            began = time.monotonic()
            await one.commit("s", [chunk(str(number), "t")])
            async with asyncio.timeout(60):
                [record] = await waiting
            assert record.seq == number + 2
            assert time.monotonic() - began < 4  # not by the sweep
        await following.aclose()  # type: ignore[attr-defined]


async def test_events_of_the_only_node_of_a_database_are_not_announced(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced: list[list[Name]] = []
    async with node(postgres_url, "one") as one:
        monkeypatch.setattr(one._wake_ups, "notify", lambda names: announced.append(list(names)))
        for number in range(3):
            await one.commit("own", [chunk(str(number), "t")])
        assert announced == [["own"]]  # the stream began in an ordinary transaction, which does not look
        async with node(postgres_url, "two"):
            await one.commit("own", [chunk("for the other one", "t")])
        assert announced == [["own"], ["own"]]


async def test_a_follower_finds_what_a_lost_notification_was_about(
    postgres: Cluster, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake_ups, "SWEEP", 0.5)
    async with node(postgres_url, "one") as one, node(postgres_url, "two") as two:
        done = await one.commit("s", [chunk("a", "t")])
        monkeypatch.setattr(one._wake_ups, "notify", lambda names: None)
        following = follow(two, "s", Position(done.epoch, done.last))
        for number in range(3):
            waiting = asyncio.ensure_future(anext(following))
            await asyncio.sleep(0.05)
            await one.commit("s", [chunk("b", "t")])
            async with asyncio.timeout(60):
                assert [record.seq for record in await waiting] == [number + 2]
        await following.aclose()  # type: ignore[attr-defined]


async def test_a_node_that_listens_again_wakes_all_followers(postgres: Cluster, postgres_url: str) -> None:
    async with proxied(postgres) as proxy, node(proxy.url(postgres_url)) as store:
        done = await store.commit("s", [chunk("a", "t")])
        waiting = asyncio.ensure_future(store.wait("s", Position(done.epoch, done.last)))
        await asyncio.sleep(1)  # until it has read the head, and waits
        await proxy.cut_all()
        async with asyncio.timeout(60):
            await waiting


async def test_a_node_that_was_behind_reads_what_another_one_wrote_in_between(postgres_url: str) -> None:
    """The records in the memory of a node are those of its own commits: they must not hide others."""
    async with node(postgres_url, "one") as one, node(postgres_url, "two") as two:
        for number in range(5):
            await one.commit("s", [chunk(f"a{number}", "t")])
            await two.commit("s", [chunk(f"b{number}", "t")])
        for store in (one, two):
            head = await store.head("s")
            assert head is not None and head.head == 10
        await one.commit("s", [chunk("end", "t")])
        assert [event.seq for event in await events(one, "s")] == list(range(1, 12))
