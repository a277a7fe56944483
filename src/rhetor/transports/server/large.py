"""Large messages of clients are checked piece by piece, and other tasks run in between."""

from __future__ import annotations

import asyncio

from rhetor.codec.incoming_json import MOST_VALUES, PIECE_BYTES, IncomingJson


async def text_of(data: bytes) -> str:
    """Return the text of a message that is JSON.

    Raises:
        Malformed: it is not UTF-8.
        TooManyValues: it has too many values.
    """
    incoming = IncomingJson()
    pieces = []
    for begin in range(0, len(data), PIECE_BYTES):
        pieces.append(incoming.feed(data[begin : begin + PIECE_BYTES]))
        await asyncio.sleep(0)
    incoming.end()
    text = "".join(pieces)
    await asyncio.sleep(0)
    return text


async def check_values(message: str | bytes, most: int = MOST_VALUES) -> None:
    """Check a message that is JSON.

    Raises:
        Malformed: it is not UTF-8.
        TooManyValues: it has more than `most` values.
    """
    incoming = IncomingJson(most)
    for begin in range(0, len(message), PIECE_BYTES):
        piece = message[begin : begin + PIECE_BYTES]
        incoming.feed(piece.encode() if isinstance(piece, str) else piece)
        await asyncio.sleep(0)
    incoming.end()
