"""A relay between a client and a hub that a test can cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path


class Relay:
    """Relays bytes between a socket in `folder` and the hub's. `is_deaf`: the hub's answers are dropped, and
    `deafened` is set when there is one."""

    def __init__(self, folder: Path, hub: Path) -> None:
        self.folder = folder
        self.is_deaf = False
        self.deafened = asyncio.Event()
        self.connections = 0
        self._hub = hub
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Abort every connection at once."""
        self.is_deaf = False
        for writer in list(self._open):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError):
            hub_reader, hub_writer = await asyncio.open_unix_connection(str(self._hub))
            self._open |= {writer, hub_writer}
            await asyncio.gather(
                self._pass_on(reader, hub_writer, answers=False),
                self._pass_on(hub_reader, writer, answers=True),
            )
            self._open -= {writer, hub_writer}

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                if answers and self.is_deaf:
                    self.deafened.set()
                    continue
                writer.write(piece)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def relayed(folder: Path, hub: Path) -> AsyncIterator[Relay]:
    """Run a relay whose socket is in a new subfolder."""
    between = folder / "relay"
    between.mkdir()
    relay = Relay(between, hub)
    server = await asyncio.start_unix_server(relay.serve, str(between / "hub.sock"))
    try:
        yield relay
    finally:
        server.close()
        relay.cut()
