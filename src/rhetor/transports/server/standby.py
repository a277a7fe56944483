"""A node on standby passes the connections of its clients on to the node that serves, byte by byte.

So each API is available at each node. A connection that cannot be passed on is closed at once: its client, or
the proxy before it, tries another node.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

DIAL_SECONDS = 2.0
MOST_CONNECTIONS = 10_000  # further ones are closed at once
BACKLOG = 2048
Address = tuple[str, int]
log = logging.getLogger(__name__)


class Standby:
    """The connections that are passed on. `serving`: returns where the node that serves accepts connections;
    None if no node serves. `passed`: how many connections were passed on so far."""

    def __init__(self, serving: Callable[[], Address | None]) -> None:
        self._serving = serving
        self._open: set[_Client] = set()
        self._dials: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()  # the last connection has
        self.passed = 0
        self._failed: Address | None = None  # where it cannot pass connections on at the moment

    @asynccontextmanager
    async def listening(self, listener: socket.socket) -> AsyncIterator[None]:
        """Pass on what the listener accepts, while the block runs. At its end, these connections are closed,
        and further ones wait until somebody else accepts them."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Client(self), sock=listener.dup(), backlog=BACKLOG)
        try:
            yield
        finally:
            server.close()
            for dial in self._dials:
                dial.cancel()
            for client in self._open:
                client.abort()
            if self._open:
                await self._ended.wait()

    def begin(self, client: _Client) -> None:
        """Connect a client, or close its connection."""
        address = self._serving()
        if address is None or len(self._open) >= MOST_CONNECTIONS:
            client.abort()
            return
        self._open.add(client)
        self._ended.clear()
        dial = asyncio.get_running_loop().create_task(self._dial(client, address), name="standby connection")
        self._dials.add(dial)
        dial.add_done_callback(self._dials.discard)

    async def _dial(self, client: _Client, address: Address) -> None:
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                _, node = await asyncio.get_running_loop().create_connection(lambda: _Side(client), *address)
        except asyncio.CancelledError:
            client.abort()
            raise
        except (OSError, TimeoutError) as error:
            if address != self._failed:  # once, not for each client
                self._failed = address
                place = f"{address[0]}:{address[1]}"
                log.warning("passing connections on fails", extra={"to": place, "reason": str(error)})
            client.abort()
            return
        self.passed, self._failed = self.passed + 1, None
        client.join(node)

    def end(self, client: _Client) -> None:
        self._open.discard(client)
        if not self._open:
            self._ended.set()


class _Side(asyncio.Protocol):
    """One of two connections that are joined. What it receives, the other one sends; if that is slow, this
    one is not read."""

    def __init__(self, other: _Side | None = None) -> None:
        self.other = other
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write_eof()
        return True  # the other direction stays open

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.abort() if exc else self.other.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class _Client(_Side):
    """The connection of a client, which is not read until it is joined with one to the node that serves."""

    def __init__(self, standby: Standby) -> None:
        super().__init__()
        self._standby = standby
        self._early: list[bytes] = []  # a transport may read a piece before it notices that it must not

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._standby.begin(self)

    def join(self, node: _Side) -> None:
        assert node.transport is not None
        assert self.transport is not None
        self.other = node
        if self.transport.is_closing():  # the client left meanwhile
            node.abort()
            return
        for data in self._early:
            node.transport.write(data)
        self._early.clear()
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.other is None and self.transport is not None:
            self._early.append(data)
            self.transport.pause_reading()
        else:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._standby.end(self)
        super().connection_lost(exc)
