"""Cancel work when the client that waits for it disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.types import Receive

from rhetor.errors import RhetorError


class CallerGone(Exception):
    """The client closed its connection before it received its answer."""


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[None]:
    """Cancel the body of the `async with` when the client disconnects.

    Raises:
        CallerGone: the client disconnected.
    """
    inside = asyncio.current_task()
    assert inside is not None
    gone = False

    async def wait_for_the_end() -> None:
        nonlocal gone
        with suppress(RhetorError):  # an unexpected body that is too large or too slow
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
    """Run `work` while the body of the `async with` runs, and cancel it at the end."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
