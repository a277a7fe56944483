"""Background tasks of the drivers. Each has a name and an owner, and its owner learns of its failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)


def start(
    work: Coroutine[Any, Any, None],
    name: str,
    failed: Callable[[Exception], Awaitable[None]] | None = None,
) -> asyncio.Task[None]:
    """Run `work` in a task of its own. The caller keeps the task, and cancels it when it closes.

    If `work` raises, the error is logged with `name`, and `failed` is called with it: whoever waits for what
    the task produces must be told there. The task itself never raises anything but CancelledError.
    """
    return asyncio.create_task(_run(work, name, failed), name=name)


async def _run(
    work: Coroutine[Any, Any, None],
    name: str,
    failed: Callable[[Exception], Awaitable[None]] | None,
) -> None:
    try:
        await work
    except Exception as error:
        log.exception("background task failed", extra={"task": name})
        if failed is not None:
            await failed(error)


async def stop(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks and return when they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
