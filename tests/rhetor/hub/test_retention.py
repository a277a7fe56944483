"""Which events the settings of `retention` remove, and what stays."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.hub.house import ME, House, house

from rhetor.domain.command import (
    ForkSession,
    MakeCheckpoint,
    ShareSession,
    StartPlan,
    StartSession,
    StopSession,
)
from rhetor.domain.event import Folded, OutputDelta, Position
from rhetor.domain.output import Done, Text
from rhetor.domain.plan import Step
from rhetor.domain.session import Session
from rhetor.errors import NotFound, PositionLost
from rhetor.hub.core.ids import Ids
from rhetor.hub.core.limits import Limits, Retention
from rhetor.hub.retention import DAY, sweep
from rhetor.hub.sessions.states import expire_old
from rhetor.store.base import Draft, Store
from rhetor.store.memory import MemoryStore
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

NOW = 1_700_000_000_000
MINUTE = 60_000


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def limits(max_age_days: float | None = None, max_bytes: int | None = None) -> Limits:
    return Limits(retention=Retention(max_age_days, max_bytes))


async def outcome(home: House, stream: str, position: Position) -> str:
    try:
        await home.hub.position(ME, stream, str(position))
    except PositionLost as lost:
        return str(lost.data["outcome"])
    return "ok"


async def opened(home: House, **fields: Any) -> str:
    """Open a session, which stays open."""
    session: Session = await home.execute(StartSession("apollo", **fields))  # type: ignore[assignment]
    return session.id


async def test_old_events_of_open_sessions_are_removed_and_messages_and_usage_stay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    ids, store = Ids(clock), MemoryStore(clock=clock)
    async with house(
        [Text("an answer"), Done()], [Text("another"), Done()], store=store, ids=ids, limits=limits(1.5)
    ) as home:
        old = await home.send(session_id=await opened(home), content="an old question")
        await home.end_of(old)
        clock.now += DAY
        new = await home.send(session_id=await opened(home), content="a new question")
        await home.end_of(new)
        usage = await store.find("usage")
        assert usage
        clock.now += DAY
        with caplog.at_level(logging.INFO, "rhetor.hub.retention"):
            await sweep(home.hub.state)
        assert usage == await store.find("usage")
        head = await store.head(old.session_id)
        assert head is not None
        assert head.earliest == head.head + 1
        assert await outcome(home, old.session_id, old.after) == "truncated"
        assert await outcome(home, old.session_id, head.position) == "ok"
        assert await outcome(home, new.session_id, new.after) == "ok"
        said = [each.content for each in await store.spoken(old.session_id, 10)]
        assert said == ["an old question", "an answer"]
        (record,) = [r for r in caplog.records if r.message == "old events removed"]
        assert vars(record)["setting"] == "retention.max_age_days"
        await sweep(home.hub.state)  # an hour has not passed
        assert len([r for r in caplog.records if r.message == "old events removed"]) == 1


async def test_a_session_with_a_running_turn_keeps_its_events() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    async with house([Text("x"), asyncio.Event()], store=store, ids=Ids(clock), limits=limits(1)) as home:
        running = await home.send(target="apollo", content="hi")
        await home.until(running.session_id, running.after, OutputDelta)
        clock.now += 2 * DAY
        await sweep(home.hub.state)
        head = await store.head(running.session_id)
        assert head is not None
        assert head.earliest == 1


async def test_by_default_nothing_is_removed_or_read() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    async with house([Text("an answer"), Done()], store=store, ids=Ids(clock)) as home:
        done = await home.send(target="apollo", content="hi")
        await home.end_of(done)
        clock.now += 10_000 * DAY
        await sweep(home.hub.state)
        assert await outcome(home, done.session_id, done.after) == "ok"
        assert home.hub.state.upkeep.retained == float("-inf")


async def test_a_database_that_is_too_large_loses_chunks_first_and_then_its_oldest_events(
    tmp_path: Path,
) -> None:
    clock = Clock()
    store = await SqliteStore.open(tmp_path / "hub.db", clock=clock)
    answer = [*[Text("word " * 20)] * 200, Done()]
    await store.commit("audit", [Draft(OutputDelta("x"), "t", at=NOW - 10_000 * DAY)])  # always stays
    async with house(answer, store=store, ids=Ids(clock), limits=limits(max_bytes=1)) as home:
        done = await home.send(session_id=await opened(home), content="hi")
        await home.end_of(done)
        for day in range(80):
            clock.now = NOW + day * DAY
            await store.commit(f"s_{day}", [Draft(OutputDelta("x" * 10_000), "t")])
        home.hub.state.limits = limits(max_bytes=await store.size() - 4096)  # folding is enough
        await sweep(home.hub.state)
        page = await store.page(done.session_id, Position(done.after.epoch, 0))
        assert Folded.type in {record.type for record in page}
        assert await store.oldest(without="audit") == NOW  # nothing was removed

        home.hub.state.upkeep.retained = float("-inf")
        home.hub.state.limits = limits(max_bytes=await store.size() // 2)
        await sweep(home.hub.state)
        oldest = await store.oldest(without="audit")
        assert oldest is not None
        assert 40 * DAY <= oldest - NOW < 60 * DAY
        assert await store.size() <= home.hub.state.limits.retention.max_bytes  # type: ignore[operator]
        head = await store.head("s_0")
        assert head is not None
        assert await store.oldest() == NOW - 10_000 * DAY
        assert await outcome(home, done.session_id, Position(done.after.epoch, 0)) == "truncated"
    await store.aclose()


async def gone(home: House, session_id: str) -> bool:
    """Return whether nothing is left of a session or a plan but its usage."""
    store = home.store
    if await store.head(session_id) is not None:
        return False
    rows = [await store.get(kind, session_id) for kind in ("session", "plan")]
    kinds = ("turn", "checkpoint", "share", "permission", "call", "pause", "standing")
    left = [row for kind in kinds for row in await store.find(kind, parent=session_id)]
    with pytest.raises(NotFound):
        await store.spoken(session_id, 10)
    with pytest.raises(NotFound):
        await home.hub.position(ME, session_id, f"{'0' * 32}:0")
    assert (rows, left) == ([None, None], [])
    return True


async def swept(home: House) -> None:
    """Do what the hub does once an hour, when nothing runs."""
    while home.hub.state.running:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    home.hub.state.upkeep.retained = float("-inf")
    await expire_old(home.hub.state)
    await sweep(home.hub.state)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_sessions_and_plans_that_ended_long_ago_are_removed_as_a_whole(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    store: Store = MemoryStore(clock=clock)
    if kind == "sqlite":
        store = await SqliteStore.open(tmp_path / "hub.db", clock=clock)
    async with house(store=store, ids=Ids(clock), limits=limits(10)) as home:
        once = await home.send(target="apollo", content="a question for once")
        await home.end_of(once)
        stopped, open_one = await opened(home), await opened(home, name="kept")
        for session_id in (stopped, open_one):
            await home.end_of(await home.send(session_id=session_id, content="a longer talk"))
        await home.execute(MakeCheckpoint(stopped))
        await home.execute(ShareSession(stopped, "guest", ("read",)))
        await home.execute(StopSession(stopped))
        plan = (await home.run_plan(StartPlan((Step("s1", "apollo", "a plan"),))))[0].stream
        usage = await store.find("usage")
        clock.now += 9 * DAY
        await swept(home)
        assert await store.head(stopped) is not None
        clock.now += 2 * DAY
        with caplog.at_level(logging.INFO, "rhetor.hub.retention"):
            await swept(home)
        assert await gone(home, once.session_id) and await gone(home, stopped) and await gone(home, plan)
        assert (await store.spoken(open_one, 10))[0].content == "a longer talk"
        assert await store.search("once") == []
        assert home.hub.state.shares.of_session(stopped) == []
        assert await store.find("usage") == usage
        assert "old sessions and plans removed" in caplog.text
    await store.aclose()


async def test_a_session_with_a_fork_or_a_named_checkpoint_is_kept() -> None:
    clock = Clock()
    async with house(store=MemoryStore(clock=clock), ids=Ids(clock), limits=limits(MINUTE / DAY)) as home:
        original, named = await opened(home), await opened(home)
        for session_id in (original, named):
            await home.end_of(await home.send(session_id=session_id, content="hi"))
        forked: Any = await home.execute(ForkSession(original))
        await home.execute(MakeCheckpoint(named, "before the change"))
        for session_id in (original, named):
            await home.execute(StopSession(session_id))
        clock.now += 10 * MINUTE
        await swept(home)
        assert (await home.store.spoken(forked.session.id, 10))[0].content == "hi"
        assert await home.store.head(original) is not None
        assert len(await home.store.find("checkpoint", parent=named)) == 1
        await home.execute(StopSession(forked.session.id))
        clock.now += 10 * MINUTE
        await swept(home)
        await swept(home)  # the original after the copy
        assert await gone(home, forked.session.id) and await gone(home, original)


@pytest.mark.long
async def test_a_database_that_is_too_large_loses_its_oldest_ended_sessions(tmp_path: Path) -> None:
    clock = Clock()
    store = await SqliteStore.open(tmp_path / "hub.db", clock=clock)
    async with house(store=store, ids=Ids(clock), limits=limits(max_bytes=1)) as home:
        sessions = []
        for day in range(40):
            clock.now = NOW + day * DAY
            sessions.append(await opened(home))
            await home.end_of(await home.send(session_id=sessions[-1], content="x" * 20_000))
            await home.execute(StopSession(sessions[-1]))
        home.hub.state.limits = limits(max_bytes=await store.size() // 2)
        await swept(home)
        assert await store.size() <= home.hub.state.limits.retention.max_bytes  # type: ignore[operator]
        heads = [await store.head(session_id) for session_id in sessions]
        first = next(number for number, head in enumerate(heads) if head is not None)
        assert 10 <= first < 30
        assert all(heads[first:])
    await store.aclose()
