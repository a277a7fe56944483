"""Many clients that follow one stream, as a process of its own: whatever the frames, they look for stamps.

An event holds `@NANOSECONDS@`, when it was made by the clock that all processes of a machine share, and no
other `@`. Says `ready` when all are connected; a line `COUNT` on stdin waits until everybody has that many
events more, and is answered with what that took.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from functools import partial
from typing import cast

import msgspec
import uvloop

NEVER = 1 << 62
STAMP = re.compile(rb"@(\d{20})@")


class Followers(msgspec.Struct, frozen=True):
    """`request`: what each of `count` connections to `port` sends first."""

    port: int
    request: str
    count: int


class Heard(msgspec.Struct):
    """Seconds: of each event that was seen whole, until its client had it; and from the first event's making
    until the last client had the last one."""

    latencies: list[float]
    elapsed: float


class _Follower(asyncio.Protocol):
    """One connection. What is before an event's stamp is not looked at."""

    def __init__(self, crowd: _Crowd, request: bytes) -> None:
        self._crowd = crowd
        self._request = request
        self._stamps = 0  # halves of them
        self._greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._greeted:
            self._greeted = True
            self._crowd.greet(data)
        stamps = data.count(b"@")
        if stamps:
            self._stamps += stamps
            self._crowd.take(data, self._stamps)

    def reset(self) -> None:
        self._stamps = 0


def _itself(member: _Follower) -> _Follower:
    return member


class _Crowd:
    """All connections, and what they have heard since `prepare`."""

    def __init__(self, plan: Followers) -> None:
        self._plan = plan
        self._members = [_Follower(self, plan.request.encode()) for _ in range(plan.count)]
        self._greeted = 0
        self._all_greeted = asyncio.Event()
        self._done = asyncio.Event()
        self._latencies: list[float] = []
        self._events, self._waiting = 0, 0
        self._first, self._last = NEVER, 0

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        for member in self._members:
            await loop.create_connection(partial(_itself, member), "127.0.0.1", self._plan.port)
        await self._all_greeted.wait()

    def prepare(self, events: int) -> None:
        """From now on, everybody is to get so many."""
        self._events, self._waiting = events, len(self._members)
        self._first, self._last = NEVER, 0
        self._latencies = []
        self._done.clear()
        for member in self._members:
            member.reset()

    async def hear(self) -> Heard:
        """When everybody has them."""
        await self._done.wait()
        return Heard(self._latencies, (self._last - self._first) / 1e9)

    def greet(self, data: bytes) -> None:
        if b" 200 " not in data[:20] and b" 101 " not in data[:20]:
            raise RuntimeError(data[:500].decode())
        self._greeted += 1
        if self._greeted == len(self._members):
            self._all_greeted.set()

    def take(self, data: bytes, stamps: int) -> None:
        now = time.perf_counter_ns()
        stamp = STAMP.search(data)
        if stamp is not None:
            made = int(stamp[1])
            self._first = min(self._first, made)
            self._latencies.append((now - made) / 1e9)
        if stamps == 2 * self._events:
            self._last = now
            self._waiting -= 1
            if not self._waiting:
                self._done.set()


async def _run(plan: Followers) -> None:
    crowd = _Crowd(plan)
    await crowd.connect()
    _say(b"ready")
    loop, lines = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        crowd.prepare(int(line))
        _say(b"prepared")
        _say(msgspec.json.encode(await crowd.hear()))


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(_run(msgspec.json.decode(sys.argv[1], type=Followers)))
