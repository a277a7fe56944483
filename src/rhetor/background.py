"""Background tasks: each has a name and an owner, which is notified if the task fails.

The hub has an owner for its own tasks, in `hub/core/background.py`.
"""

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
    """Start `work` in a new task and return the task. The caller keeps it, and cancels it on closing.

    If `work` raises, the error is logged with `name` and passed to `failed`, which must notify everything
    that waits for the task's results. The task itself does not raise the error.
    """
    task = asyncio.create_task(_run(work, name, failed), name=name)
    task.add_done_callback(lambda _: work.close())  # it has not begun if the task was cancelled at once
    return task


async def _run(
    work: Coroutine[Any, Any, None],
    name: str,
    failed: Callable[[Exception], Awaitable[None]] | None,
) -> None:
    try:
        await work
    except Exception as error:  # an error in a driver must not end the hub
        log.exception("background task failed", extra={"task": name})
        if failed is not None:
            await failed(error)


async def stop(*tasks: asyncio.Future[Any]) -> None:
    """Cancel the tasks, and wait until they have ended. Their results and errors are dropped."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
