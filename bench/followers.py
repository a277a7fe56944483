"""A process with many clients that follow one stream. They look for timestamps and do not decode frames.

An event contains `|NANOSECONDS|`, the time at which it was made, by the clock that all processes of a machine
share. Neither the event nor the header of its frame contains another `|`. The process prints `ready` when all
clients are connected. For a line `COUNT` on stdin, it waits until every client has received COUNT more
events, and prints the result. For a line `COUNT STOPPED`, the last STOPPED clients stop reading, and it does
not wait for them.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
import sys
import time
from typing import cast

import msgspec
import uvloop

NEVER = 1 << 62
SMALL_BUFFER = 4096  # bytes
LIMIT_SECONDS = 60.0
GREETINGS = (b"HTTP/1.1 200", b"HTTP/1.1 101", b'"result"', b'"sid"', b'"outcome"')
STAMP = re.compile(rb"\|(\d{20})\|")


class Followers(msgspec.Struct, frozen=True):
    """The clients to start. Each of `count` connections to `port` sends `request` and then each of `calls` as
    a WebSocket message, after the answer to the one before. The last `stopping` of them have a small receive
    buffer, so that the server soon notices when they stop reading. `tls`: the connections have TLS, with any
    certificate."""

    port: int
    request: str
    count: int
    calls: tuple[str, ...] = ()
    stopping: int = 0
    tls: bool = False


class Heard(msgspec.Struct):
    """The result of a measurement, in seconds. `latencies`: from making an event until a client received it,
    for each piece of data in which a whole timestamp was found. `elapsed`: from making the first event until
    the last client received the last one."""

    latencies: list[float]
    elapsed: float


class _Follower(asyncio.Protocol):
    """One connection. It counts the `|` of timestamps and ignores all other data."""

    def __init__(self, crowd: _Crowd, plan: Followers) -> None:
        self._crowd = crowd
        self._says = [plan.request.encode(), *(_masked(call.encode()) for call in plan.calls)]
        self._stamps = 0  # number of `|`, two for each timestamp
        self._is_greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._says.pop(0))

    def data_received(self, data: bytes) -> None:
        if not self._is_greeted:
            self._greet(data)
        stamps = data.count(b"|")
        if stamps:
            self._stamps += stamps
            self._crowd.take(data, self._stamps)

    def reset(self) -> None:
        self._stamps = 0

    def stop(self) -> None:
        self._transport.pause_reading()

    def _greet(self, data: bytes) -> None:
        if not any(sign in data for sign in GREETINGS):
            raise RuntimeError(data[:500].decode(errors="replace"))
        if self._says:
            self._transport.write(self._says.pop(0))
        else:
            self._is_greeted = True
            self._crowd.greet()


def _masked(text: bytes) -> bytes:
    """Return a client's text frame (RFC 6455, 5.2), masked with zeros, which leave the text unchanged."""
    return b"\x81" + struct.pack("!BHI", 0x80 | 126, len(text), 0) + text


class _Crowd:
    """All connections, and what they have received since `prepare`."""

    def __init__(self, plan: Followers) -> None:
        self._plan = plan
        self._members = [_Follower(self, plan) for _ in range(plan.count)]
        self._greeted = 0
        self._all_greeted = asyncio.Event()
        self._done = asyncio.Event()
        self._latencies: list[float] = []
        self._events, self._waiting = 0, 0
        self._first, self._last = NEVER, 0

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        tls = {"ssl": _trusting_anyone(), "server_hostname": "127.0.0.1"} if self._plan.tls else {}
        for n, member in enumerate(self._members):
            connection = socket.socket()
            connection.setblocking(False)
            if n >= len(self._members) - self._plan.stopping:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
            await loop.sock_connect(connection, ("127.0.0.1", self._plan.port))
            await loop.create_connection(lambda made=member: made, sock=connection, **tls)  # type: ignore
        await self._all_greeted.wait()

    def prepare(self, events: int, stopped: int = 0) -> None:
        """Start a measurement in which each client should receive `events` events. The last `stopped` clients
        stop reading."""
        for member in self._members[len(self._members) - stopped :]:
            member.stop()
        self._events, self._waiting = events, len(self._members) - stopped
        self._first, self._last = NEVER, 0
        self._latencies = []
        self._done.clear()
        for member in self._members:
            member.reset()

    async def hear(self) -> Heard:
        """Wait until every client that reads has all events, and return the result.

        Raises:
            TimeoutError: a client did not receive all of them within 60 seconds.
        """
        async with asyncio.timeout(LIMIT_SECONDS):
            await self._done.wait()
        return Heard(self._latencies, (self._last - self._first) / 1e9)

    def greet(self) -> None:
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


def _trusting_anyone() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _run(plan: Followers) -> None:
    crowd = _Crowd(plan)
    await crowd.connect()
    _say(b"ready")
    loop, lines = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        crowd.prepare(*map(int, line.split()))
        _say(b"prepared")
        _say(msgspec.json.encode(await crowd.hear()))


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(_run(msgspec.json.decode(sys.argv[1], type=Followers)))
