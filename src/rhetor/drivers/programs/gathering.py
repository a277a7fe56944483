"""Gathers a program's output between turns, so that a burst is committed in a few events and not in many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from rhetor import background
from rhetor.domain.output import Plain, Spooled, Text

GATHER_SECONDS = 0.020
GATHER_CHARACTERS = 4096


async def gathered(source: AsyncGenerator[Spooled, None]) -> AsyncGenerator[Spooled, None]:
    """Yield the outputs of `source`, which is closed at the end.

    An output is yielded at once if the last one was yielded at least `GATHER_SECONDS` ago. Otherwise, outputs
    are gathered for at most `GATHER_SECONDS` or `GATHER_CHARACTERS`, by their spool. When `source` ends, the
    gathered outputs are yielded first.
    """
    loop = asyncio.get_running_loop()
    yielded_at = loop.time() - GATHER_SECONDS
    upcoming: asyncio.Task[Spooled | None] | None = None
    async with aclosing(source):
        try:
            spooled = await _next(source)
            while spooled is not None:
                held, size = {spooled.source: spooled}, _length(spooled)
                while size < GATHER_CHARACTERS and (left := yielded_at + GATHER_SECONDS - loop.time()) > 0:
                    upcoming = upcoming or asyncio.create_task(_next(source), name="next output")
                    await asyncio.wait((upcoming,), timeout=left)
                    if not upcoming.done() or (more := upcoming.result()) is None:
                        break
                    upcoming = None
                    held[more.source] = _joined(held.get(more.source), more)
                    size += _length(more)
                for one in held.values():
                    yield one
                yielded_at = loop.time()
                spooled = await (upcoming or _next(source))
                upcoming = None
        finally:
            if upcoming is not None:
                await background.stop(upcoming)


async def _next(source: AsyncGenerator[Spooled, None]) -> Spooled | None:
    return await anext(source, None)


def _joined(before: Spooled | None, after: Spooled) -> Spooled:
    if before is None:
        return after
    outputs: list[Plain] = [*before.outputs]
    for output in after.outputs:
        last = outputs[-1] if outputs else None
        if isinstance(output, Text) and isinstance(last, Text) and output.channel == last.channel:
            outputs[-1] = Text(last.text + output.text, output.channel)
        else:
            outputs.append(output)
    return Spooled(after.source, after.offset, tuple(outputs))


def _length(spooled: Spooled) -> int:
    return sum(len(output.text) for output in spooled.outputs if isinstance(output, Text))
