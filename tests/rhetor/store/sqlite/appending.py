"""A process for `test_durability`: appends for ever and prints each append that was acknowledged.

    python -m tests.rhetor.store.sqlite.appending database

A line is `<stream> <number> <text>`. Each append also writes a row and an offset with the same number.
"""

from __future__ import annotations

import asyncio
import sys
import time

from rhetor.domain.event import OutputDelta
from rhetor.store.base import Draft, Row, SourceOffset
from rhetor.store.sqlite.store import SqliteStore

STREAMS = ("a", "b", "c", "d")


async def append(store: SqliteStore, stream: str) -> None:
    head = await store.head(stream)
    number = head.head if head else 0
    while True:
        number += 1
        text = f"{time.time_ns()}"
        done = await store.commit(
            stream,
            [Draft(OutputDelta(text), f"t{number}")],
            rows=[Row("count", stream, str(number), b"")],
            sources=[SourceOffset(stream, number)],
        )
        assert done.last == number
        sys.stdout.write(f"{stream} {done.last} {text}\n")
        sys.stdout.flush()


async def main(path: str) -> None:
    store = await SqliteStore.open(path, clock=lambda: time.time_ns() // 1_000_000)
    async with asyncio.TaskGroup() as tasks:
        for stream in STREAMS:
            tasks.create_task(append(store, stream), name=stream)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
