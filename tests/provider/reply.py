"""Writing one streamed answer with pauses, gates and faults, whatever its dialect."""

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from tests.provider.dialect import Dialect, Frames
from tests.provider.gate import Gate
from tests.provider.script import Script

_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}

Gates = Callable[[str], Gate]


async def stream(request: web.Request, script: Script, frames: Frames, gates: Gates) -> web.StreamResponse:
    """Write a scripted stream to its end, or until the script cuts the connection."""
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request)
    async for piece in _pieces(script, frames, gates):
        await _write(response, piece, script.trickle)
    if script.cut_after is not None and request.transport is not None:
        # written data is still sent; the chunked body has no end
        request.transport.close()
    return response


def damaged(script: Script, frames: Frames, dialect: Dialect) -> Frames:
    """Return the frames with the script's fault; gates and pauses keep their places."""
    for after in (script.cut_after, script.end_after):
        if after is not None:
            return Frames(frames.opening, frames.chunks[:after], b"")
    if script.error_after is not None and script.failure is not None:
        return Frames(
            frames.opening, frames.chunks[: script.error_after], dialect.stream_error(script.failure)
        )
    if script.malformed_after is not None:
        at = script.malformed_after
        chunks = (*frames.chunks[:at], dialect.malformed(), *frames.chunks[at:])
        return Frames(frames.opening, chunks, frames.closing)
    return frames


async def _pieces(script: Script, frames: Frames, gates: Gates) -> AsyncIterator[bytes]:
    """Yield the pieces, each for one write, after the pauses and gates before it."""
    if frames.opening:
        yield frames.opening
    if script.first_delay:
        await asyncio.sleep(script.first_delay)
    for at in range(0, len(frames.chunks), script.burst):
        if at and script.delay:
            await asyncio.sleep(script.delay)
        if at in script.hold:
            await gates(script.hold[at]).passed()
        yield b"".join(frames.chunks[at : at + script.burst])
    if len(frames.chunks) in script.hold:
        await gates(script.hold[len(frames.chunks)]).passed()
    if frames.closing:
        yield frames.closing
    if len(frames.chunks) + 1 in script.hold:
        await gates(script.hold[len(frames.chunks) + 1]).passed()


async def _write(response: web.StreamResponse, piece: bytes, trickle: float) -> None:
    if not trickle:
        await response.write(piece)
        return
    for byte in piece:
        await response.write(bytes((byte,)))
        await asyncio.sleep(trickle)
