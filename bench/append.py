"""How long an append to the log takes until it is durable on disk, and how fast the log is read back.

    python -m bench.append [folder]      (a folder on the file system to measure)

Appends at a fixed rate are sent on schedule, whether or not earlier ones have completed. The first row shows
how long the file system alone takes to make a small write durable. The figure for 500 callers is compared
with SQLite alone: one thread without an event loop writes the same rows in transactions of 250. The two are
measured alternately, and their medians are compared. The event loop and the garbage collector have the hub's
settings.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import uvloop

from bench.disk import disk_figure
from bench.stats import milliseconds, percentile
from bench.table import Figure, table
from rhetor.domain.event import OutputDelta, Position
from rhetor.serving import collect_seldom
from rhetor.store.base import Draft, Store
from rhetor.store.encoding import encode
from rhetor.store.sqlite.connection import connect
from rhetor.store.sqlite.schema import migrate
from rhetor.store.sqlite.store import SqliteStore
from rhetor.store.sqlite.transaction import insert

SECONDS = 10.0
STREAMS = 20
ROUNDS = 5
TICK = 0.001
TARGETS_MS = {1_000: 3.0, 10_000: 5.0}
REPLAYED = 100_000
CHUNK = Draft(OutputDelta("x" * 60), "turn_1")
T = TypeVar("T")


def run(folder: str | None = None) -> list[Figure]:
    collect_seldom()
    with tempfile.TemporaryDirectory(prefix=".append-", dir=folder or Path.cwd()) as place:
        figures = [disk_figure(place)]
        for rate, target in TARGETS_MS.items():
            took = uvloop.run(_with_store(place, partial(paced, rate=rate)))
            holds = percentile(took, 0.99) * 1000 < target
            figures.append(
                Figure(f"append at {rate}/s, p50 · p99", milliseconds(took), f"p99 <{target:.0f} ms", holds)
            )
        figures += _beside_sqlite_alone(place)
        read = uvloop.run(_with_store(place, replayed))
        figures.append(Figure("reading the log from disk, page by page", f"{read:,.0f} events/s"))
    return figures


def _beside_sqlite_alone(place: str) -> list[Figure]:
    rounds = [(sqlite_alone(place), uvloop.run(_with_store(place, saturated))) for _ in range(ROUNDS)]
    alone, ours = (median(column) for column in zip(*rounds, strict=True))
    ratio = ours / alone
    return [
        Figure("SQLite alone, 250 events per transaction", f"{alone:,.0f} events/s"),
        Figure("appends, 500 callers", f"{ours:,.0f} events/s ({ratio:.2f}×)", "≥0.4×", ratio >= 0.4),
    ]


def sqlite_alone(place: str, events: int = 50_000, batch: int = 250) -> float:
    """Return the events per second that SQLite alone writes: an upper bound for the store."""
    data = encode(CHUNK.payload)
    with tempfile.TemporaryDirectory(dir=place) as folder, closing(connect(Path(folder) / "db")) as database:
        migrate(database)
        started = time.perf_counter()
        for first in range(1, events, batch):
            rows = [
                (n % STREAMS, n, 1, CHUNK.payload.type, CHUNK.turn_id, None, data)
                for n in range(first, first + batch)
            ]
            database.execute("BEGIN IMMEDIATE")
            insert(database, "INSERT INTO events (inc, seq, at, type, turn_id, step, data)", rows)
            database.execute("COMMIT")
        return events / (time.perf_counter() - started)


async def paced(store: Store, rate: int, seconds: float = SECONDS, prefix: str = "stream") -> list[float]:
    """Append single events to several streams, `rate` per second. Return how long each took, in seconds.
    `prefix`: of the names of the streams."""
    took: list[float] = []
    started = time.perf_counter()
    sent = 0
    async with asyncio.TaskGroup() as tasks:
        while (now := time.perf_counter() - started) < seconds:
            while sent < now * rate:
                tasks.create_task(_append(store, sent, took, prefix), name="append")
                sent += 1
            await asyncio.sleep(TICK)
    return took


async def saturated(store: SqliteStore, writers: int = 500, each: int = 100) -> float:
    """Return the events per second of many writers that each wait for one append before the next."""
    took: list[float] = []

    async def write(number: int) -> None:
        for _ in range(each):
            await _append(store, number, took)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(writers):
            tasks.create_task(write(number), name="writer")
    return len(took) / (time.perf_counter() - started)


async def replayed(store: Store) -> float:
    """Return the events per second when a stream is read from its beginning."""
    for _ in range(REPLAYED // 1_000):
        done = await store.commit("s", [CHUNK] * 1_000)
    position = Position(done.epoch, 0)
    started = time.perf_counter()
    while page := await store.page("s", position):
        position = page[-1].position
    return REPLAYED / (time.perf_counter() - started)


async def _append(store: Store, number: int, took: list[float], prefix: str = "stream") -> None:
    begun = time.perf_counter()
    await store.commit(f"{prefix}_{number % STREAMS}", [CHUNK])
    took.append(time.perf_counter() - begun)


async def _with_store(place: str, measure: Callable[[SqliteStore], Awaitable[T]]) -> T:
    with tempfile.TemporaryDirectory(dir=place) as folder:
        store = await SqliteStore.open(Path(folder) / "db", clock=lambda: time.time_ns() // 1_000_000)
        try:
            return await measure(store)
        finally:
            await store.aclose()


if __name__ == "__main__":
    sys.stdout.write(table(run(*sys.argv[1:])) + "\n")
