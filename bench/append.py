"""How long an append takes until it is acknowledged, which is when it is on the disk.

    python -m bench.append [folder]

Paced loads come on time whether or not earlier appends are done. The folder says which file system is
measured; how fast that one alone makes a small write durable is printed beside.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from rhetor.domain.event import OutputDelta
from rhetor.store.base import Draft
from rhetor.store.sqlite import SqliteStore

SECONDS = 10.0
STREAMS = 20
TICK = 0.001
CHUNK = Draft(OutputDelta("x" * 60), "turn_1")
TARGETS_MS = {1_000: 3.0, 10_000: 5.0}


def run(folder: str | None = None) -> dict[str, Any]:
    """All figures; times in milliseconds."""
    with tempfile.TemporaryDirectory(dir=folder or Path.cwd()) as place:
        figures: dict[str, Any] = {"fdatasync": fdatasync(Path(place) / "file")}
        for rate in TARGETS_MS:
            figures[f"{rate}/s"] = asyncio.run(_with_store(place, partial(paced, rate=rate)))
        figures["saturated"] = asyncio.run(_with_store(place, saturated))
    return figures


def fdatasync(path: Path, count: int = 2000) -> dict[str, float]:
    """Appending 4 KiB and waiting for the disk, without any database."""
    took = []
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    for _ in range(count):
        os.write(file, b"x" * 4096)
        begun = time.perf_counter()
        os.fdatasync(file)
        took.append(time.perf_counter() - begun)
    os.close(file)
    return percentiles(took)


async def paced(store: SqliteStore, rate: int, seconds: float = SECONDS) -> dict[str, float]:
    """Single appends over some streams, `rate` a second."""
    took: list[float] = []
    started = time.perf_counter()
    sent = 0
    async with asyncio.TaskGroup() as tasks:
        while (now := time.perf_counter() - started) < seconds:
            while sent < now * rate:
                tasks.create_task(_append(store, sent, took), name="append")
                sent += 1
            await asyncio.sleep(TICK)
    return percentiles(took)


async def saturated(store: SqliteStore, writers: int = 500, each: int = 100) -> dict[str, float]:
    """As fast as it goes: writers that each wait for their append before the next."""
    took: list[float] = []

    async def write(number: int) -> None:
        for _ in range(each):
            await _append(store, number, took)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(writers):
            tasks.create_task(write(number), name="writer")
    return percentiles(took) | {"events_per_second": round(len(took) / (time.perf_counter() - started))}


def percentiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    places = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    shown = {name: round(ordered[int(len(ordered) * q)] * 1000, 3) for name, q in places.items()}
    return shown | {"max": round(ordered[-1] * 1000, 3)}


async def _append(store: SqliteStore, number: int, took: list[float]) -> None:
    begun = time.perf_counter()
    await store.commit(f"stream_{number % STREAMS}", [CHUNK])
    took.append(time.perf_counter() - begun)


async def _with_store(
    place: str, measure: Callable[[SqliteStore], Awaitable[dict[str, float]]]
) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=place) as inner:
        store = await SqliteStore.open(Path(inner) / "db", clock=lambda: time.time_ns() // 1_000_000)
        try:
            return await measure(store)
        finally:
            await store.aclose()


def main() -> None:
    figures = run(sys.argv[1] if len(sys.argv) > 1 else None)
    print(f"{'ms':12}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>9}")
    for name, row in figures.items():
        print(f"{name:12}{row['p50']:9.3f}{row['p99']:9.3f}{row['p999']:9.3f}{row['max']:9.3f}")
    print(f"saturated: {figures['saturated']['events_per_second']} events/s")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
