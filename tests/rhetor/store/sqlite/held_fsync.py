"""A process for `test_durability`: appends while fsync is blocked, and prints what became visible.

    FSYNC_GATE=file FSYNC_WAITS=descriptor \\
        python -m tests.rhetor.store.sqlite.held_fsync database tail|no-tail

Prints one JSON object while fsync is blocked, and another after the reader of the first has released it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from rhetor.domain.event import OutputDelta, Position
from rhetor.store.base import Draft, Row, follow
from rhetor.store.sqlite.store import SqliteStore
from rhetor.store.tail import Tail

COMMITS = 20


class Observed:
    """What a caller, a waiter, a follower and readers can see of commits from the second one on."""

    def __init__(self, store: SqliteStore, epoch: str) -> None:
        self.store = store
        self.start = Position(epoch, 1)
        self.waiter = asyncio.create_task(store.wait("s", self.start), name="waiter")
        self.follower = asyncio.ensure_future(anext(follow(store, "s", self.start)))
        self.commits: list[asyncio.Task[object]] = []

    def begin(self) -> None:
        for n in range(COMMITS):
            commit = self.store.commit(
                "s", [Draft(OutputDelta(str(n)))], rows=[Row("turn", str(n), "x", b"")]
            )
            self.commits.append(asyncio.create_task(commit, name=f"commit {n}"))

    async def look(self) -> dict[str, int]:
        head = await self.store.head("s")
        assert head is not None
        return {
            "replies": sum(commit.done() for commit in self.commits),
            "woken": int(self.waiter.done()),
            "followed": int(self.follower.done()),
            "head": head.head,
            "page": len(await self.store.page("s", self.start)),
            "rows": len(await self.store.find("turn")),
        }

    async def until_all_visible(self) -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(self.waiter, self.follower, *self.commits)


async def first_wait(descriptor: int) -> None:
    """Wait until a call of fsync waits at the gate."""
    waits = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, waits.set)
    async with asyncio.timeout(60):
        await waits.wait()
    asyncio.get_running_loop().remove_reader(descriptor)


def hold_fsync() -> None:
    Path(os.environ["FSYNC_GATE"]).touch()


def say(seen: dict[str, int]) -> None:
    sys.stdout.write(f"{json.dumps(seen)}\n")
    sys.stdout.flush()


async def main(path: str, tail: str) -> None:
    reading, writing = os.pipe()
    os.environ["FSYNC_WAITS"] = str(writing)
    small = Tail(stream_records=1, total_bytes=0)
    store = await SqliteStore.open(
        path, clock=lambda: time.time_ns() // 1_000_000, tail=Tail() if tail == "tail" else small
    )
    done = await store.commit("s", [Draft(OutputDelta("first"))])
    if tail != "tail":
        await store.commit(
            "other", []
        )  # the only stream that stays in the tail, so that all of `s` is read from the file
    observed = Observed(store, done.epoch)
    await asyncio.sleep(0)
    hold_fsync()
    observed.begin()
    await first_wait(reading)
    # each look goes through reader threads and many loop turns, so that everything has time to become visible
    looks = [await observed.look() for _ in range(20)]
    say({key: max(look[key] for look in looks) for key in looks[0]})
    await observed.until_all_visible()
    say(await observed.look())
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
