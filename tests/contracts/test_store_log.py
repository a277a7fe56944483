"""Reading and following: a gapless view of the stream, or an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from msgspec.structs import replace

from rhetor.domain.event import Event, Folded, OutputDelta, Position
from rhetor.errors import NotFound, PositionLost
from rhetor.store.base import Committed, Head, Record, Store, follow, resumed
from tests.scale import FULL

from .store_kit import answer, chunk, events, gapless, question, shown

pytestmark = pytest.mark.anyio

SUBSCRIBES = 10_000 if FULL else 200


async def fill(store: Store, count: int, stream: str = "s") -> Committed:
    return await store.commit(stream, [chunk(str(n), "t") for n in range(1, count + 1)])


async def test_a_page_has_at_most_the_limit_and_is_empty_only_at_the_head(store: Store) -> None:
    done = await fill(store, 10)
    sizes = []
    position = Position(done.epoch, 0)
    while page := await store.page("s", position, 4):
        assert [record.seq for record in page] == list(range(position.seq + 1, position.seq + len(page) + 1))
        sizes.append(len(page))
        position = page[-1].position
    assert (sizes, position.seq) == ([4, 4, 2], 10)


async def test_a_page_with_much_data_is_shorter_and_nothing_is_left_out(store: Store) -> None:
    for n in range(12):
        await store.commit("s", [chunk(str(n) * (1 << 20), "t")])
    found = await events(store, "s")
    assert [event.seq for event in found] == list(range(1, 13))


@pytest.mark.parametrize(
    ("seq", "outcome"),
    [(4, "ok"), (7, "ok"), (10, "ok"), (3, "truncated"), (0, "truncated"), (11, "ahead"), (1 << 60, "ahead")],
)
async def test_resuming_is_ok_truncated_or_ahead(store: Store, seq: int, outcome: str) -> None:
    done = await fill(store, 10)
    await store.truncate("s", 5)
    head = await store.head("s")
    assert head == Head(done.epoch, 10, 5)
    answered = resumed(head, Position(done.epoch, seq))
    expected = {"outcome": outcome, "epoch": done.epoch, "head": 10, "earliest": 5}
    assert answered == {**expected, "recovered": outcome == "ok"}
    if outcome == "ok":
        assert [event.seq for event in await events(store, "s", seq)] == list(range(seq + 1, 11))
        return
    with pytest.raises(PositionLost) as lost:
        await store.page("s", Position(done.epoch, seq))
    assert lost.value.data == {**expected, "recovered": False}


async def test_a_position_of_another_epoch_is_lost(store: Store) -> None:
    old = await fill(store, 3)
    new = await store.commit("s", [chunk("x", "t")], base=("s", Position(old.epoch, 3)))
    for epoch in (old.epoch, "f" * 32, "nonsense"):
        with pytest.raises(PositionLost) as lost:
            await store.page("s", Position(epoch, 1))
        assert lost.value.data == {
            "outcome": "epoch_changed",
            "recovered": False,
            "epoch": new.epoch,
            "head": 1,
            "earliest": 1,
        }


async def test_a_missing_stream_is_not_found(store: Store) -> None:
    nowhere = Position("0" * 32, 0)
    with pytest.raises(NotFound):
        await store.page("none", nowhere)
    with pytest.raises(NotFound):
        await store.spoken("none", 1)
    with pytest.raises(NotFound):
        await store.fold("none", "t")
    with pytest.raises(NotFound):
        await store.truncate("none", 1)
    with pytest.raises(NotFound):
        await anext(follow(store, "none", nowhere))
    await store.wait("none", nowhere)
    assert await store.head("none") is None


async def test_records_have_the_fields_of_their_event_and_share_their_frames(store: Store) -> None:
    done = await store.commit("s", [chunk("a", "t")])
    [record] = await store.page("s", Position(done.epoch, 0))
    assert record == Record("s", done.epoch, 1, record.at, "output.delta", "t", None, record.data)
    assert record.data == b'{"text":"a","channel":"answer"}'
    assert record.prev == 0
    record.frames["raw"] = b"frame"
    [same] = await store.page("s", Position(done.epoch, 0))
    assert same.frames == {"raw": b"frame"}


async def test_waiting_returns_at_once_if_there_are_events_or_the_position_is_lost(store: Store) -> None:
    done = await fill(store, 3)
    async with asyncio.timeout(60):
        await store.wait("s", Position(done.epoch, 2))
        await store.wait("s", Position(done.epoch, 9))
        await store.wait("s", Position("0" * 32, 3))


async def test_a_commit_wakes_only_the_followers_of_its_stream(store: Store) -> None:
    here, there = await fill(store, 1), await fill(store, 1, "other")
    waiting = [
        asyncio.create_task(store.wait(stream, Position(done.epoch, 1)), name=stream)
        for stream, done in (("s", here), ("s", here), ("other", there))
    ]
    await asyncio.sleep(0)
    await store.commit("s", [chunk("x", "t")])
    async with asyncio.timeout(60):
        await asyncio.gather(*waiting[:2])
    assert not waiting[2].done()
    waiting[2].cancel()
    await asyncio.gather(waiting[2], return_exceptions=True)


async def test_a_new_epoch_wakes_followers(store: Store) -> None:
    done = await fill(store, 1)
    waiting = asyncio.create_task(store.wait("s", Position(done.epoch, 1)), name="waiting")
    await asyncio.sleep(0)
    await store.commit("s", [], base=("s", Position(done.epoch, 1)))
    async with asyncio.timeout(60):
        await waiting


async def test_a_cancelled_follower_does_not_affect_others(store: Store) -> None:
    done = await fill(store, 1)
    waiting = [
        asyncio.create_task(store.wait("s", Position(done.epoch, 1)), name=f"waiter {n}") for n in range(10)
    ]
    await asyncio.sleep(0)
    for gone in waiting[::2]:
        gone.cancel()
    await asyncio.gather(*waiting[::2], return_exceptions=True)
    assert not any(waiter.done() for waiter in waiting[1::2])
    await store.commit("s", [chunk("x", "t")])
    async with asyncio.timeout(60):
        await asyncio.gather(*waiting[1::2])


async def collect(batches: AsyncIterator[Sequence[Record]], until: int) -> list[Event]:
    found: list[Event] = []
    async for batch in batches:
        found += [record.event for record in batch]
        if found[-1].seq >= until:
            break
    return found


@pytest.mark.long
async def test_followers_see_each_event_once_wherever_they_begin(store: Store) -> None:
    total, writers = 600, 3
    done = await store.commit("s", [])

    async def write(writer: int) -> None:
        for n in range(total // writers):
            await store.commit("s", [chunk(f"{writer}:{n}", "t")])
            await asyncio.sleep(0)

    async def subscribe(tasks: asyncio.TaskGroup) -> list[tuple[int, asyncio.Task[list[Event]]]]:
        begun = []
        for n in range(SUBSCRIBES):
            head = await store.head("s")
            assert head is not None
            after = head.head if n % 2 else head.head // 2
            batches = follow(store, "s", Position(done.epoch, after), limit=50)
            begun.append((after, tasks.create_task(collect(batches, total + 1), name=f"follower {n}")))
            await asyncio.sleep(0)
        return begun

    async with asyncio.timeout(180 if FULL else 90), asyncio.TaskGroup() as tasks:
        writing = [tasks.create_task(write(writer), name=f"writer {writer}") for writer in range(writers)]
        followers = await subscribe(tasks)
        await asyncio.gather(*writing)
        await store.commit("s", [chunk("the last", "t")])
    everything = await events(store, "s")
    assert [event.seq for event in everything] == list(range(1, total + 2))
    for after, follower in followers:
        assert follower.result() == everything[after:]


async def test_a_follower_of_a_restored_stream_loses_its_position(store: Store) -> None:
    done = await fill(store, 2)
    batches = follow(store, "s", Position(done.epoch, 0))
    assert [record.seq for record in await anext(batches)] == [1, 2]
    upcoming = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    await store.commit("s", [], base=("s", Position(done.epoch, 1)))
    async with asyncio.timeout(60):
        with pytest.raises(PositionLost) as lost:
            await upcoming
    assert lost.value.data["outcome"] == "epoch_changed"


async def test_a_slow_follower_lags_and_gets_the_rest_in_one_batch(store: Store) -> None:
    done = await store.commit("s", [])
    batches = follow(store, "s", Position(done.epoch, 0))
    await store.commit("s", [chunk("1", "t")])
    assert len(await anext(batches)) == 1
    await asyncio.gather(*(store.commit("s", [chunk(str(n), "t")]) for n in range(2, 100)))
    assert [record.seq for record in await anext(batches)] == list(range(2, 100))
    await batches.aclose()  # type: ignore[attr-defined]


async def test_truncating_keeps_the_rest_and_its_numbers(store: Store) -> None:
    done = await fill(store, 5_000)
    await store.truncate("s", 4_990)
    assert await store.head("s") == Head(done.epoch, 5_000, 4_990)
    assert [event.seq for event in await events(store, "s", 4_989)] == list(range(4_990, 5_001))
    for before in (0, -5, 4_980):
        await store.truncate("s", before)
    assert await store.head("s") == Head(done.epoch, 5_000, 4_990)


async def test_a_fully_truncated_stream_continues_with_its_next_number(store: Store) -> None:
    done = await fill(store, 3)
    await store.truncate("s", 99)
    assert await store.head("s") == Head(done.epoch, 3, 4)
    assert await shown(store, "s", after=3) == []
    again = await store.commit("s", [chunk("x", "t")])
    assert (again.first, again.last) == (4, 4)
    assert await shown(store, "s", after=3) == [(4, OutputDelta("x"))]


async def test_a_reader_inside_a_folded_range_gets_the_fold(store: Store) -> None:
    done = await store.commit(
        "s", [question("q", "t"), *(chunk(c, "t") for c in "abcd"), answer("abcd", "t")]
    )
    assert await store.fold("s", "t") == 4
    for after in range(1, 5):
        [fold, end] = await events(store, "s", after)
        assert (fold.position, fold.payload) == (Position(done.epoch, 5), Folded(2, 5))
        assert (fold.prev, end.prev) == (1, 5)
    assert [event.seq for event in await events(store, "s", 5)] == [6]
    assert gapless(await events(store, "s"))


async def test_folding_while_a_follower_reads_leaves_no_gap(store: Store) -> None:
    done = await store.commit("s", [question("q", "t"), *(chunk("x", "t") for _ in range(50))])
    batches = follow(store, "s", Position(done.epoch, 0), limit=7)
    seen = [record.event for record in await anext(batches)]
    await store.commit("s", [answer("x" * 50, "t")])
    await store.fold("s", "t")
    seen += [record.event for record in await anext(batches)]
    assert [event.seq for event in seen] == [*range(1, 8), 51, 52]
    assert seen[7].prev == 1
    await batches.aclose()  # type: ignore[attr-defined]


async def test_streams_with_old_events_are_found_with_what_is_to_be_kept(store: Store) -> None:
    assert await store.oldest() is None
    for stream, times in (("a", (10, 20, 30)), ("b", (40, 50)), ("c", (5, 6)), ("d", ())):
        await store.commit(stream, [replace(chunk("x", "t"), at=at) for at in times])
    assert await store.oldest() == 5
    assert await store.oldest(without="c") == 10
    assert sorted(await store.old_events(20)) == [("a", 2), ("c", 3)]
    assert await store.old_events(5) == []
    for stream, first in await store.old_events(30):
        await store.truncate(stream, first)
    assert await store.oldest() == 30
    assert sorted(await store.old_events(35)) == [("a", 4)]
    assert [event.seq for event in await events(store, "a", 2)] == [3]


async def test_a_store_is_smaller_after_its_events_were_removed(store: Store) -> None:
    for _ in range(4):
        await fill(store, 2_000)
    before = await store.size()
    await store.truncate("s", 8_001)
    assert 0 <= await store.size() < before / 2
