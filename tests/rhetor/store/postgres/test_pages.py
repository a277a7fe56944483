"""Pages of a stream: their size is limited, and no event is left out between them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rhetor.domain.event import Position
from rhetor.errors import PositionLost
from rhetor.store.base import Record
from rhetor.store.postgres.events import PAGE_BYTES
from rhetor.store.postgres.store import PostgresStore
from tests.contracts.store_kit import chunk, ticking

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]


async def pages(store: PostgresStore, begin: Position) -> list[Sequence[Record]]:
    found, after = [], begin
    while page := await store.page("s", after, 5):
        found.append(page)
        after = page[-1].position
    return found


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([10] * 12, [5, 5, 2]),
        ([10] * 7 + [PAGE_BYTES + 1] + [10] * 7, [5, 3, 5, 2]),
        ([10] * 3 + [PAGE_BYTES // 3] * 8 + [10] * 2, [5, 3, 3, 2]),
    ],
    ids=["small", "one large", "many large"],
)
async def test_a_page_ends_with_the_event_that_makes_it_large(
    postgres_url: str, sizes: list[int], expected: list[int]
) -> None:
    store = await PostgresStore.open(postgres_url, clock=ticking())
    store.is_shared = lambda stream: True  # so that pages are read from the database
    for size in sizes:
        done = await store.commit("s", [chunk("x" * size, "t")])
    read = await pages(store, Position(done.epoch, 0))
    assert [record.seq for page in read for record in page] == list(range(1, len(sizes) + 1))
    assert [len(page) for page in read] == expected
    await store.aclose()


async def test_a_reader_of_pages_is_told_that_its_position_was_lost(postgres_url: str) -> None:
    store = await PostgresStore.open(postgres_url, clock=ticking())
    store.is_shared = lambda stream: True
    done = await store.commit("s", [chunk(str(number), "t") for number in range(9)])
    begin = Position(done.epoch, 0)
    assert len(await store.page("s", begin, 5)) == 5  # from here on, it knows the incarnation
    await store.truncate("s", 4)
    with pytest.raises(PositionLost):
        await store.page("s", begin, 5)
    assert [record.seq for record in await store.page("s", Position(done.epoch, 3), 5)] == [4, 5, 6, 7, 8]
    await store.commit("s", [chunk("again", "t")], base=("s", Position(done.epoch, 6)))
    with pytest.raises(PositionLost):
        await store.page("s", Position(done.epoch, 7), 5)
    await store.aclose()
