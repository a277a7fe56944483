"""Work that is finished even when who asked for it goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_the_end(tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, T], name: str) -> T:
    """What `work` returns or raises. Where the caller is cancelled, the work goes on to its end: between a
    commit and what follows from it nothing may be cut off."""
    outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        try:
            result = await work
        except Exception as error:  # noqa: BLE001  handed to the caller as it is
            if not outcome.done():
                outcome.set_exception(error)
        else:
            if not outcome.done():
                outcome.set_result(result)

    tasks.create_task(run(), name=name)
    return await outcome
