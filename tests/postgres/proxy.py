"""A proxy in front of a cluster that cuts connections at a given byte of the protocol.

It shows what a client does when a commit has an unknown outcome: its request is lost, arrives in part, or is
executed while the answer is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from msgspec import Struct

from .cluster import Cluster

Side = Literal["request", "answer"]
CHUNK = 1 << 16
LONGEST_TRIGGER = 64
NOTIFICATION, HEAD = b"A", 5  # of the server's messages


class Cut(Struct):
    """Where a connection is cut: after `count` bytes of a side, counted from the beginning of `trigger`.

    `request`: so many bytes of what begins with `trigger` reach the server. `answer`: all of the request
    reaches the server, and so many bytes of what it sends after that reach the client; when the connection is
    cut, the server has executed the request. A trigger has at most 64 bytes.
    """

    trigger: bytes
    side: Side
    count: int
    done: asyncio.Event


class Proxy:
    """Connects each client to the server. `refuses`: closes new connections at once. `loses_notifications`:
    what `NOTIFY` sends does not arrive."""

    def __init__(self, cluster: Cluster, port: int) -> None:
        self._cluster, self._port = cluster, port
        self._armed: Cut | None = None
        self._holds: tuple[bytes, asyncio.Event] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.refuses = False
        self.loses_notifications = False
        self.connections = 0

    def url(self, database: str) -> str:
        """Return the URL of a database through the proxy. `database`: its name, or its URL at the cluster."""
        name = database.partition("?")[0].rpartition("/")[2]
        return f"postgresql://postgres@127.0.0.1:{self._port}/{name}?sslmode=disable"

    def cut_at(self, trigger: bytes, side: Side, count: int = 0) -> asyncio.Event:
        """Cut the next connection that sends `trigger`, once. The event is set when this is done."""
        self._armed = Cut(trigger, side, count, asyncio.Event())
        return self._armed.done

    def cut_no_more(self) -> None:
        """Cut nothing, although nobody has sent the trigger yet."""
        self._armed = None

    async def cut_all(self) -> None:
        """Cut all connections now."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def hold(self) -> None:
        """Keep everything back, in both directions, until `release`; connections stay open."""
        self._open.clear()

    def hold_at(self, trigger: bytes) -> asyncio.Event:
        """Hold as soon as a client sends `trigger` at once, which is passed on. The event is set then."""
        self._holds = trigger, asyncio.Event()
        return self._holds[1]

    def requested(self, chunk: bytes) -> None:
        """Hold if the client sends what was waited for."""
        if self._holds is not None and self._holds[0] in chunk:
            self._holds[1].set()
            self._holds = None
            self.hold()

    def release(self) -> None:
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a client until one side closes its connection, or until it is cut."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            if not self.refuses:
                await self._relay(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        of_server, to_server = await asyncio.open_unix_connection(self._cluster.socket)
        link = _Link(self)
        pumps = [
            asyncio.create_task(self._pump(reader, to_server, link.requested), name="requests"),
            asyncio.create_task(self._pump(of_server, writer, link.answered), name="answers"),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            to_server.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, admitted: _Admitted
    ) -> None:
        while chunk := await reader.read(CHUNK):
            await self._open.wait()
            passed, cut = admitted(chunk)
            writer.write(passed)
            await writer.drain()
            if cut is not None:
                cut.done.set()
                return

    def triggered(self, sent: bytes, passed: int) -> tuple[Cut, int] | None:
        """Take the armed cut if this has its trigger. Return the cut, and where the trigger begins. A trigger
        in the first `passed` bytes was sent earlier."""
        if self._armed is None:
            return None
        if (at := sent.find(self._armed.trigger, max(0, passed - len(self._armed.trigger) + 1))) < 0:
            return None
        cut, self._armed = self._armed, None
        return cut, at


class _Link:
    """A connection through the proxy: how much of each side passes."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._last = b""  # the end of what has passed, which may be the beginning of a trigger
        self._cut: Cut | None = None
        self._left = 0
        self._messages = _Messages()

    def requested(self, chunk: bytes) -> tuple[bytes, Cut | None]:
        """Return what the server gets of what the client has sent, and the cut that follows, if one does."""
        self._proxy.requested(chunk)
        if self._cut is None:
            sent = self._last + chunk
            found = self._proxy.triggered(sent, len(self._last))
            if found is None:
                self._last = sent[-LONGEST_TRIGGER:]
                return chunk, None
            self._cut, at = found
            before = at - len(self._last) if self._cut.side == "request" else 0
            self._left = before + self._cut.count
        return (chunk, None) if self._cut.side == "answer" else self._cut_off(chunk)

    def answered(self, chunk: bytes) -> tuple[bytes, Cut | None]:
        """Return what the client gets of what the server has sent, and the cut that follows, if one does."""
        chunk = self._messages.passed(chunk, without=NOTIFICATION if self._proxy.loses_notifications else b"")
        if self._cut is None or self._cut.side == "request":
            return chunk, None
        return self._cut_off(chunk)

    def _cut_off(self, chunk: bytes) -> tuple[bytes, Cut | None]:
        passed = chunk[: max(0, self._left)]
        self._left -= len(passed)
        return passed, self._cut if len(passed) < len(chunk) else None


class _Messages:
    """What the server sends, as messages: a type of one byte, and four bytes with the length that follows."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0  # bytes of the message
        self._drops = False

    def passed(self, chunk: bytes, *, without: bytes) -> bytes:
        """Return the chunk without messages of a type, and without a head that is not complete yet."""
        found, at = bytearray(), 0
        while at < len(chunk):
            if not self._left:
                more = HEAD - len(self._head)
                self._head, at = self._head + chunk[at : at + more], at + more
                if len(self._head) < HEAD:
                    break
                self._drops = self._head[:1] == without
                self._left = int.from_bytes(self._head[1:]) - 4
                found += b"" if self._drops else self._head
                self._head = b""
            body = chunk[at : at + self._left]
            found += b"" if self._drops else body
            at, self._left = at + len(body), self._left - len(body)
        return bytes(found)


_Admitted = Callable[[bytes], tuple[bytes, Cut | None]]


@asynccontextmanager
async def proxied(cluster: Cluster) -> AsyncIterator[Proxy]:
    """Run a proxy on a port of loopback."""
    proxies: list[Proxy] = []

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await proxies[0].serve(reader, writer)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    proxies.append(Proxy(cluster, server.sockets[0].getsockname()[1]))
    try:
        yield proxies[0]
    finally:
        server.close()
        await proxies[0].cut_all()
