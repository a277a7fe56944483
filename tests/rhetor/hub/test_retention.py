"""Which events the settings of `retention` remove, and what stays."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from tests.rhetor.hub.house import ME, House, house

from rhetor.domain.event import Folded, OutputDelta, Position
from rhetor.domain.output import Done, Text
from rhetor.errors import PositionLost
from rhetor.hub.core.ids import Ids
from rhetor.hub.core.limits import Limits, Retention
from rhetor.hub.retention import DAY, sweep
from rhetor.store.base import Draft
from rhetor.store.memory import MemoryStore
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

NOW = 1_700_000_000_000


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


async def test_old_events_are_removed_and_messages_and_usage_stay(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    ids, store = Ids(clock), MemoryStore(clock=clock)
    async with house(
        [Text("an answer"), Done()], [Text("another"), Done()], store=store, ids=ids, limits=limits(1.5)
    ) as home:
        old = await home.send(target="apollo", content="an old question")
        await home.end_of(old)
        clock.now += DAY
        new = await home.send(target="apollo", content="a new question")
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
    async with house(answer, store=store, ids=Ids(clock), limits=limits(max_bytes=1)) as home:
        done = await home.send(target="apollo", content="hi")
        await home.end_of(done)
        for day in range(80):
            clock.now = NOW + day * DAY
            await store.commit(f"s_{day}", [Draft(OutputDelta("x" * 10_000), "t")])
        home.hub.state.limits = limits(max_bytes=await store.size() - 4096)  # folding is enough
        await sweep(home.hub.state)
        page = await store.page(done.session_id, Position(done.after.epoch, 0))
        assert Folded.type in {record.type for record in page}
        assert await store.oldest() == NOW  # nothing was removed

        home.hub.state.upkeep.retained = float("-inf")
        home.hub.state.limits = limits(max_bytes=await store.size() // 2)
        await sweep(home.hub.state)
        oldest = await store.oldest()
        assert oldest is not None
        assert 40 * DAY <= oldest - NOW < 60 * DAY
        assert await store.size() <= home.hub.state.limits.retention.max_bytes  # type: ignore[operator]
        head = await store.head("s_0")
        assert head is not None
        assert await outcome(home, done.session_id, Position(done.after.epoch, 0)) == "truncated"
    await store.aclose()
