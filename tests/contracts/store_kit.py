"""Helpers of the suites over every store: opening stores, short drafts, reading a whole stream."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from msgspec.structs import replace

from rhetor.domain.event import (
    Event,
    MessageAccepted,
    OutputDelta,
    OutputPartial,
    Payload,
    Position,
    TurnCompleted,
    TurnFailed,
)
from rhetor.sealing.ring import Ring
from rhetor.store.base import Draft, Row, Store
from rhetor.store.memory import MemoryStore
from rhetor.store.postgres.store import PostgresStore
from rhetor.store.sqlite.store import SqliteStore
from rhetor.store.tail import Tail
from tests.postgres.cluster import Cluster, shared

# without a tail, everything is read from the database
POSTGRES = ("postgres-15", "postgres-18", "postgres-15-without-tail", "postgres-15-sealed")
KINDS = (
    "memory",
    "sqlite",
    "sqlite-without-tail",
    "sqlite-sealed",
    *(pytest.param(kind, marks=pytest.mark.postgres) for kind in POSTGRES),
)
_numbers = itertools.count()


def ticking() -> Callable[[], int]:
    """Return a clock that advances by a millisecond with each call."""
    return itertools.count(1_000).__next__


@asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[Store]:
    store = await open_store(kind, folder)
    try:
        yield store
    finally:
        await store.aclose()
        await remove_schema(kind, folder)


async def open_store(kind: str, folder: Path) -> Store:
    """Open the store of that kind in the folder, which may have been opened there before."""
    if kind == "memory":
        return MemoryStore(clock=ticking())
    is_sealed = kind.endswith("-sealed")
    tail = Tail(stream_records=2, total_bytes=0) if is_sealed or kind.endswith("-without-tail") else None
    ring = Ring(folder) if is_sealed else None
    if kind.startswith("postgres"):
        url = await _schema(kind, folder)
        return await PostgresStore.open(url, clock=ticking(), tail=tail, ring=ring, at_rest=is_sealed)
    return await SqliteStore.open(
        folder / "rhetor.db", clock=ticking(), tail=tail, ring=ring, at_rest=is_sealed
    )


async def _schema(kind: str, folder: Path) -> str:
    """Return the URL of the folder's schema, which is created for the first store. This is much faster than a
    database for each test."""
    name = folder / "schema"
    cluster = shared(kind.split("-")[1])
    if not name.exists():
        name.write_text(f"contract_{os.getpid()}_{next(_numbers)}")
        await _execute(cluster, f"CREATE SCHEMA {name.read_text()}")
    return f"{cluster.url()}&search_path={name.read_text()}"


async def remove_schema(kind: str, folder: Path) -> None:
    """Remove the schema of a folder, if it has one."""
    name = folder / "schema"
    if name.exists():
        await _execute(shared(kind.split("-")[1]), f"DROP SCHEMA {name.read_text()} CASCADE")


async def _execute(cluster: Cluster, statement: str) -> None:
    connection = await asyncpg.connect(cluster.url())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def question(text: str, turn: str) -> Draft:
    return Draft(MessageAccepted(f"m_{turn}", "user", text), turn)


def chunk(text: str, turn: str) -> Draft:
    return Draft(OutputDelta(text), turn)


def answer(text: str, turn: str) -> Draft:
    return Draft(TurnCompleted(f"m_{turn}", text, "stop"), turn)


def partial(text: str, turn: str) -> Draft:
    return Draft(OutputPartial(text), turn)


def failure(turn: str) -> Draft:
    return Draft(TurnFailed("provider_failed", "no", retryable=False), turn)


async def stored(store: Store, kind: str, id: str) -> Row:
    """Return the row, which must exist, with its version."""
    row = await store.get(kind, id)
    assert row is not None
    return row


def contents(rows: Sequence[Row]) -> list[Row]:
    """Return the rows as they were given to the store, without versions."""
    return [replace(row, version=0) for row in rows]


async def events(store: Store, stream: str, after: int = 0, limit: int = 500) -> list[Event]:
    """Read all events after `after`, page by page."""
    head = await store.head(stream)
    assert head is not None
    position = Position(head.epoch, after)
    found: list[Event] = []
    while page := await store.page(stream, position, limit):
        found += [record.event for record in page]
        position = page[-1].position
    return found


async def shown(store: Store, stream: str, after: int = 0) -> list[tuple[int, Payload]]:
    return [(event.seq, event.payload) for event in await events(store, stream, after)]


def gapless(found: list[Event], after: int = 0) -> bool:
    """Return whether each event follows the previous one, and the first one the number `after`."""
    return [event.prev for event in found] == [after, *(event.seq for event in found[:-1])]
