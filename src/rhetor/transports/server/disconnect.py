"""Work that ends when its client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.types import Receive

from rhetor.errors import RhetorError


class CallerGone(Exception):
    """The client closed its connection before it had its answer: nobody is left to answer to."""


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[None]:
    """What runs inside is cancelled when the client goes away.

    Raises:
        CallerGone: it went.
    """
    inside = asyncio.current_task()
    assert inside is not None
    gone = False

    async def wait_for_the_end() -> None:
        nonlocal gone
        with suppress(RhetorError):  # a body that nobody asked for, and that has no end
            while (await receive())["type"] != "http.disconnect":
                pass
        gone = True
        inside.cancel()

    async with owned(wait_for_the_end()):
        try:
            yield
        except asyncio.CancelledError:
            if not gone:
                raise
            inside.uncancel()  # the cancellation was ours
            raise CallerGone from None


@asynccontextmanager
async def owned(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """`work` beside what runs inside, and ended with it."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
