"""Pages of a stream: their size is limited, and no event is left out between them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg
import pytest

from rhetor.domain.event import Position
from rhetor.errors import PositionLost
from rhetor.store.base import Record
from rhetor.store.postgres.events import PAGE_BYTES
from rhetor.store.postgres.statements import sql
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
    store.others.is_shared = lambda stream: True  # so that pages are read from the database
    for size in sizes:
        done = await store.commit("s", [chunk("x" * size, "t")])
    read = await pages(store, Position(done.epoch, 0))
    assert [record.seq for page in read for record in page] == list(range(1, len(sizes) + 1))
    assert [len(page) for page in read] == expected
    await store.aclose()


async def test_a_reader_of_pages_is_told_that_its_position_was_lost(postgres_url: str) -> None:
    store = await PostgresStore.open(postgres_url, clock=ticking())
    store.others.is_shared = lambda stream: True
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


LIMIT = 50
# statements that read a page, with the values of their parameters for the stream of `long_stream`
PAGES = {
    "page": (1, 100, LIMIT, PAGE_BYTES),
    "page_before": (1, 4_000, LIMIT, PAGE_BYTES, 1),
    "spoken": (1, 4_000, LIMIT),
    "sweep": (1, 4_000, LIMIT),
    "reseal_events": (LIMIT, 1, 100),
    "reseal_texts": (LIMIT, 100),
    "reseal_keys": (LIMIT, "scope", "key100"),
}


async def long_stream(connection: asyncpg.Connection) -> None:
    """Store 5,000 events of one stream, and as many texts and keys, of which the planner knows nothing."""
    for table in ("events", "texts", "keys", "incarnations"):
        await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    await connection.execute(
        f"""
        INSERT INTO incarnations (id, stream, epoch, present, head, bytes)
        VALUES (1, 's', 'e', true, 5000, {2 * PAGE_BYTES});
        INSERT INTO events (inc, seq, at, type, data)
        SELECT 1, n, 1, 'output.delta', 'x' FROM generate_series(1, 5000) n;
        INSERT INTO texts (inc, seq, turn_id, role, content, sealed, at)
        SELECT 1, n, 't', 'user', 'x', false, 1 FROM generate_series(1, 5000) n;
        INSERT INTO keys (scope, key, fingerprint, epoch, first, last, at, result)
        SELECT 'scope', 'key' || n, '', 'e', 1, 1, 1, 'x' FROM generate_series(1, 5000) n
        """
    )


def scanned(plan: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the tables that a plan has scanned, each with the number of rows that were read."""
    if "Scan" in plan["Node Type"] and (table := plan.get("Relation Name")):
        yield table, (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from scanned(part)


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_of_a_long_stream_reads_little_more_than_it_returns(
    postgres_url: str, name: str
) -> None:
    store = await PostgresStore.open(postgres_url, clock=ticking())
    connection = await asyncpg.connect(postgres_url)
    try:
        await long_stream(connection)
        [(plan,)] = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql(name)}", *PAGES[name])
        tables = {
            table: rows for table, rows in scanned(json.loads(plan)[0]["Plan"]) if table != "incarnations"
        }
        assert tables
        assert max(tables.values()) <= 2 * LIMIT, plan
    finally:
        await connection.close()
        await store.aclose()
