"""Joins the connection of a client with one to another node, byte by byte: for a WebSocket that the other
node serves. Its frames are not read here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from .counters import Traffic

if TYPE_CHECKING:
    from .websocket_protocol import SocketProtocol


class End(asyncio.Protocol):
    """One end of a tunnel. What it receives, the other one sends; if that is slow, this one is not read. It
    reads nothing until it is joined. `ended` is set when its connection has ended."""

    def __init__(self) -> None:
        self.other: End | None = None
        self.transport: asyncio.Transport | None = None
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.read(False)

    def join(self, other: End) -> None:
        """Let each of the two send what the other one receives."""
        self.other, other.other = other, self
        self.read(True)
        other.read(True)

    def read(self, wanted: bool) -> None:
        if self.transport is not None and not self.transport.is_closing():
            (self.transport.resume_reading if wanted else self.transport.pause_reading)()

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.read(False)

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.read(True)

    def connection_lost(self, exc: Exception | None) -> None:
        other, self.other, self.transport = self.other, None, None
        if other is not None and other.transport is not None:
            other.transport.abort() if exc else other.transport.close()
        self.ended.set()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class _ClientEnd(End):
    """The end of a client, whose bytes are counted. `was`: the protocol that its connection had before."""

    def __init__(self, was: SocketProtocol) -> None:
        super().__init__()
        self._was = was
        self._traffic: Traffic = was.traffic

    def write(self, data: bytes) -> None:
        self._traffic.sent += len(data)
        super().write(data)

    def data_received(self, data: bytes) -> None:
        self._traffic.received += len(data)
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._was.connection_lost(exc)
        super().connection_lost(exc)


async def tunnel(client: SocketProtocol, node: End, head: bytes) -> None:
    """Send the head of the client's request for a WebSocket to the other node, and join the two connections
    until one of them has ended. If this is cancelled, both end at once."""
    end = _ClientEnd(client)
    early = client.hand_over(end)
    try:
        node.write(head + early)
        end.join(node)
        await end.ended.wait()
    finally:
        end.abort()
        node.abort()
