"""A process for `test_durability`: appends before, while and after fsync fails, and prints the results.

FSYNC_FAILS=file python -m tests.rhetor.store.sqlite.failing_fsync database recover|die
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from rhetor.domain.event import OutputDelta, Position
from rhetor.errors import StoreRefused
from rhetor.store.base import Draft
from rhetor.store.sqlite.store import SqliteStore

STREAMS = ("a", "b")


async def append(store: SqliteStore, stream: str, text: str) -> str:
    try:
        done = await store.commit(stream, [Draft(OutputDelta(text))])
    except StoreRefused as refused:
        return str(refused.data["reason"])
    return str(done.last)


async def seen(store: SqliteStore, stream: str) -> list[dict[str, Any]]:
    head = await store.head(stream)
    assert head is not None
    page = await store.page(stream, Position(head.epoch, 0))
    return [{"seq": record.seq, "data": json.loads(record.data)} for record in page]


async def main(path: str, how: str) -> None:
    fails = Path(os.environ["FSYNC_FAILS"])
    store = await SqliteStore.open(path, clock=lambda: 1)
    steps: dict[str, Any] = {"before": [await append(store, stream, "before") for stream in STREAMS]}
    await asyncio.to_thread(fails.touch)
    steps["failing"] = [await append(store, stream, "lost") for stream in STREAMS * 2]
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    steps["read"] = [await seen(store, stream) for stream in STREAMS]
    await asyncio.to_thread(fails.unlink)
    steps["after"] = [await append(store, stream, "after") for stream in STREAMS]
    steps["kept"] = [await seen(store, stream) for stream in STREAMS]
    await store.aclose()
    sys.stdout.write(json.dumps(steps))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
