"""Reading backwards: the page before a position, so that a reader can begin at the end of a long stream."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from rhetor.domain.event import Folded, Position
from rhetor.errors import NotFound, PositionLost
from rhetor.store.base import Record, Store

from .store_kit import answer, chunk, question

pytestmark = pytest.mark.anyio


async def conversation(store: Store, turns: int, chunks: int) -> Position:
    """Store turns of one question, many chunks and one answer; return the position of the head."""
    for turn in map(str, range(turns)):
        texts = [f"{turn}.{n} " for n in range(chunks)]
        drafts = [question("why", turn), *(chunk(text, turn) for text in texts)]
        await store.commit("s", drafts)
        await store.commit("s", [answer("".join(texts), turn)])
    head = await store.head("s")
    assert head is not None
    return head.position


def numbers(records: Sequence[Record]) -> list[int]:
    return [record.seq for record in records]


async def backwards(store: Store, head: Position, limit: int) -> list[Record]:
    """Return all records, read page by page from the end."""
    found: list[Record] = []
    before = Position(head.epoch, head.seq + 1)
    while page := await store.page_before("s", before, limit):
        assert len(page) <= limit
        found = [*page, *found]
        before = Position(head.epoch, page[0].prev + 1)
    return found


async def forwards(store: Store, epoch: str, after: int = 0) -> list[Record]:
    found: list[Record] = []
    while page := await store.page("s", Position(epoch, found[-1].seq if found else after)):
        found += page
    return found


async def test_the_last_events_are_read_first_and_in_order(store: Store) -> None:
    head = await conversation(store, 2, 3)
    last = await store.page_before("s", Position(head.epoch, head.seq + 1), 4)
    assert numbers(last) == [7, 8, 9, 10]
    assert numbers(await store.page_before("s", last[0].position, 4)) == [3, 4, 5, 6]
    assert numbers(await store.page_before("s", Position(head.epoch, 3), 4)) == [1, 2]
    assert await store.page_before("s", Position(head.epoch, 1), 4) == []
    assert await store.page_before("s", Position(head.epoch, 0), 4) == []


@pytest.mark.parametrize("limit", [1, 3, 500])
async def test_all_pages_together_are_the_whole_stream(store: Store, limit: int) -> None:
    head = await conversation(store, 4, 20)
    await store.fold("s", "1")
    assert await backwards(store, head, limit) == await forwards(store, head.epoch)


async def test_a_folded_event_across_the_position_is_the_last_one(store: Store) -> None:
    head = await conversation(store, 2, 10)
    await store.fold("s", "0")
    whole = await forwards(store, head.epoch)
    fold = next(record for record in whole if record.type == Folded.type)
    for seq in range(fold.prev + 2, fold.seq + 2):
        page = await store.page_before("s", Position(head.epoch, seq), 5)
        assert (seq, page[-1]) == (seq, fold)
    assert numbers(await store.page_before("s", Position(head.epoch, fold.prev + 1), 5)) == [fold.prev]


async def test_what_is_not_kept_is_not_an_error(store: Store) -> None:
    head = await conversation(store, 2, 3)
    await store.truncate("s", 6)
    assert numbers(await store.page_before("s", Position(head.epoch, 8), 5)) == [6, 7]
    assert await store.page_before("s", Position(head.epoch, 6), 5) == []
    assert await store.page_before("s", Position(head.epoch, 2), 5) == []


async def test_a_position_ahead_or_of_another_epoch_is_lost(store: Store) -> None:
    head = await conversation(store, 1, 1)
    for place, outcome in (
        (Position(head.epoch, head.seq + 2), "ahead"),
        (Position("0" * 32, 1), "epoch_changed"),
    ):
        with pytest.raises(PositionLost) as lost:
            await store.page_before("s", place)
        assert lost.value.data["outcome"] == outcome
    with pytest.raises(NotFound):
        await store.page_before("none", head)


async def test_large_events_make_shorter_pages_and_none_is_left_out(store: Store) -> None:
    done = await store.commit("s", [chunk(str(n) * (1 << 20), "t") for n in range(9)])
    found = await backwards(store, Position(done.epoch, done.last), 500)
    assert numbers(found) == list(range(1, 10))


async def test_random_folds_and_truncations_are_read_alike_in_both_directions(store: Store) -> None:
    chance = random.Random(7)
    head = await conversation(store, 12, 6)
    for turn in map(str, chance.sample(range(12), 8)):
        await store.fold("s", turn)
        whole = await forwards(store, head.epoch)
        for _ in range(4):
            seq, limit = chance.randint(1, head.seq + 1), chance.randint(1, 9)
            expected = [record for record in whole if record.prev + 1 < seq][-limit:]
            assert await store.page_before("s", Position(head.epoch, seq), limit) == expected
    await store.truncate("s", 30)
    assert await backwards(store, head, 4) == await forwards(store, head.epoch, 29)
