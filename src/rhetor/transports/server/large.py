"""Large messages of clients are processed piece by piece or in a thread, and other tasks run meanwhile."""

from __future__ import annotations

import asyncio

from rhetor.codec.incoming_json import MOST_VALUES, PIECE_BYTES, IncomingJson
from rhetor.domain.lines import steps_of_line
from rhetor.domain.plan import Step

LONG_LINE = 2000  # characters, which are parsed in about 5 ms


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


async def steps_of(line: str) -> tuple[Step, ...]:
    """Return the steps of a line. A long one is parsed in a thread. The parser is pure Python, so the event
    loop runs in between.

    Raises:
        Unprocessable: as `steps_of_line`.
    """
    if len(line) <= LONG_LINE:
        return steps_of_line(line)
    return await asyncio.to_thread(steps_of_line, line)
