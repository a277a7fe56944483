"""Reading URLs: what a server may answer."""

from __future__ import annotations

import asyncio
import gzip
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rhetor.drivers.models.documents import download
from rhetor.errors import Unprocessable

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def server(headers: bytes, content: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server on loopback with one answer: its URL, and the requests that it got."""
    asked: list[bytes] = []

    async def respond(reader: StreamReader, writer: StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        length = b"content-length: %d\r\n" % len(content)
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n" + length + headers + b"\r\n" + content)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/a%20b.png", asked


async def test_a_download_is_what_the_server_sends() -> None:
    async with server(b"content-type: image/png\r\n", b"content") as (url, asked):
        found = await download(url, loopback=True)
    assert (found.content, found.media_type, found.name) == (b"content", "image/png", "a b.png")
    assert b"accept-encoding: identity\r\n" in asked[0].lower()


async def test_a_compressed_answer_is_rejected_before_it_grows() -> None:
    async with server(b"content-encoding: gzip\r\n", gzip.compress(bytes(1 << 20))) as (url, _):
        with pytest.raises(Unprocessable, match="answered with gzip"):
            await download(url, loopback=True)
