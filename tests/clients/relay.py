"""A relay between a client and the hub that the test cuts."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Relay:
    """Relays bytes in both directions. `cuts`: numbers of bytes to clients after each of which the connection
    that received the last byte is cut. `made`: how many cuts there were."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._passed = 0
        self.port = 0
        self.cuts: deque[int] = deque()
        self.made = 0
        self._ends: set[asyncio.WriteTransport] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer.transport, back.transport}
        self._ends |= ends
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass_on(reader, back, counted=False))
            tasks.create_task(self._pass_on(there, writer, counted=True))
        self._ends -= ends

    def close(self) -> None:
        for end in self._ends:
            end.abort()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool
    ) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
                if counted and self._is_cut(len(data)):
                    break
        except OSError:
            pass
        writer.transport.abort()

    def _is_cut(self, count: int) -> bool:
        if not self.cuts:
            return False
        self._passed += count
        if self._passed < self.cuts[0]:
            return False
        self.cuts.popleft()
        self._passed, self.made = 0, self.made + 1
        return True


@asynccontextmanager
async def relayed(port: int) -> AsyncIterator[Relay]:
    """Relay to `port` on loopback."""
    relay = Relay(port)
    server = await asyncio.start_server(relay.connected, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        relay.close()
