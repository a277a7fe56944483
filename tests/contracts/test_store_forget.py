"""Forgetting a stream removes all of it, and nothing of another one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rhetor.domain.event import Position
from rhetor.errors import NotFound, StateConflict
from rhetor.store.base import Expect, Row, Store, follow

from .store_kit import answer, chunk, events, open_store, question

pytestmark = pytest.mark.anyio


def row(kind: str, id: str, parent: str = "") -> Row:
    return Row(kind, id, "kept", b"{}", parent=parent)


async def fill(store: Store, stream: str, rows: tuple[Row, ...] = ()) -> Position:
    drafts = [
        question(f"where is {stream}", stream),
        chunk("he", stream),
        answer(f"here is {stream}", stream),
    ]
    done = await store.commit(stream, drafts, rows=rows)
    return Position(done.epoch, done.last)


async def test_a_forgotten_stream_has_no_event_no_message_and_no_row(store: Store) -> None:
    position = await fill(store, "old", (row("session", "old"), row("turn", "t", "old")))
    await fill(store, "new", (row("session", "new"), row("turn", "u", "new")))
    assert await store.forget("old", drop=[("session", "old"), ("turn", "t")])
    assert await store.head("old") is None
    for reading in (store.page("old", position), store.spoken("old", 10)):
        with pytest.raises(NotFound):
            await reading
    assert await store.get("session", "old") is None
    assert [each.id for each in await store.find("turn")] == ["u"]
    assert await store.search("old") == []
    assert [hit.stream for hit in await store.search("here")] == ["new"]
    assert {exchange.stream for exchange in await store.recent(10)} == {"new"}
    assert len(await events(store, "new")) == 3
    with pytest.raises(NotFound):
        await store.forget("old")


async def test_all_incarnations_of_a_stream_are_forgotten(store: Store) -> None:
    position = await fill(store, "s")
    await store.commit("s", [question("again", "v")], base=("s", position))
    assert await store.forget("s")
    assert await store.of_types(("message.accepted",)) == []
    assert await store.search("again") == []
    await store.commit("s", [question("anew", "w")])
    assert [event.seq for event in await events(store, "s")] == [1]


async def test_a_stream_that_another_one_continues_is_kept(store: Store) -> None:
    position = await fill(store, "s", (row("session", "s"),))
    await store.commit("fork", [question("again", "v")], base=("s", position))
    assert not await store.forget("s", drop=[("session", "s")])
    assert await store.get("session", "s") is not None
    assert "here is s" in [each.content for each in await store.spoken("fork", 10)]
    assert await store.forget("fork")
    assert await store.forget("s", drop=[("session", "s")])


async def test_nothing_is_forgotten_if_a_condition_is_not_met(store: Store) -> None:
    await fill(store, "s", (row("session", "s"),))
    with pytest.raises(StateConflict):
        await store.forget(
            "s", drop=[("session", "s")], expects=[Expect("session", "s", frozenset({"ended"}))]
        )
    assert len(await events(store, "s")) == 3
    assert await store.get("session", "s") is not None


async def test_a_follower_of_a_forgotten_stream_finds_no_stream(store: Store) -> None:
    position = await fill(store, "s")
    following = follow(store, "s", position)
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0.01)
    assert await store.forget("s")
    with pytest.raises(NotFound):
        await asyncio.wait_for(waiting, 10)


async def test_forgetting_and_appending_at_once_leaves_one_or_the_other(store: Store) -> None:
    for _ in range(20):
        await fill(store, "s")
        removed, done = await asyncio.gather(
            store.forget("s"), store.commit("s", [chunk("x", "t")]), return_exceptions=True
        )
        assert removed is True and not isinstance(done, BaseException)
        head = await store.head("s")
        assert head is None or head.head == 1
        if head is not None:
            assert [event.seq for event in await events(store, "s")] == [1]
            await store.forget("s")


@pytest.mark.parametrize("kind", ["sqlite", "sqlite-without-tail"])
async def test_a_database_whose_last_stream_was_forgotten_is_not_taken_for_an_older_one(
    tmp_path: Path, kind: str
) -> None:
    store = await open_store(kind, tmp_path)
    kept = await fill(store, "kept")
    await fill(store, "last")
    assert await store.forget("last")
    await store.aclose()
    store = await open_store(kind, tmp_path)
    head = await store.head("kept")
    assert head is not None
    assert head.epoch == kept.epoch
    assert await store.head("last") is None
    await store.aclose()
