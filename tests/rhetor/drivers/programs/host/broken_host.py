"""A host that answers with bytes of a test's choice, and links whose reader fails."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from rhetor.codec import host_frames as frames
from rhetor.drivers.programs.host.folder import HostFolder, boot_id, start_time
from rhetor.drivers.programs.host.link import HostLink
from rhetor.drivers.programs.host.reach import LocalReach
from rhetor.drivers.programs.host.spec import HostIdentity
from rhetor.drivers.programs.host.values import Chunk, Exited

GARBAGE = frames.frame(frames.CHUNK, b"?")  # a chunk that is shorter than its header


@asynccontextmanager
async def broken_host(folder: Path, answer: bytes) -> AsyncIterator[HostLink]:
    """Open a link to a host that accepts connections and answers every request with `answer`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = frames.FrameDecoder()
        while data := await reader.read(4096):
            for kind, _ in decoder.feed(data):
                writer.write(frames.frame(frames.DONE) if kind == frames.HELLO else answer)
        writer.close()
        await writer.wait_closed()

    socket, pid = str(folder / "sock"), os.getpid()
    start = start_time(pid) or 0
    identity = HostIdentity("broken", pid, start, pid, start, boot_id(), bytes(16), "pipes", socket)
    async with await asyncio.start_unix_server(serve, socket):
        link = await HostLink.open(LocalReach(identity, HostFolder(folder / "broken")))
        try:
            yield link
        finally:
            await link.aclose()


class FailingLink(HostLink):
    """A link to a real host whose output cannot be read after the first piece."""

    async def read(self, offset: int) -> AsyncGenerator[Chunk | Exited, None]:
        async with aclosing(super().read(offset)) as items:
            async for item in items:
                yield item
                raise RuntimeError("planted")


@asynccontextmanager
async def failing(link: HostLink) -> AsyncIterator[FailingLink]:
    failing = FailingLink(link.reach, link._hub_connection)
    try:
        yield failing
    finally:
        await failing.aclose()
