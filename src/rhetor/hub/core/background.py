"""Runs the hub's background tasks: each has a name, a failure is logged, and no failure ends the hub."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

DRAIN_SECONDS = 5.0
T = TypeVar("T")
log = logging.getLogger(__name__)


class Background:
    """Owns the background tasks of one hub, as a context manager that is open while the hub runs.

    A task that fails is logged with its name and does not affect the others. On exit the tasks have
    `DRAIN_SECONDS` seconds to finish; then they are cancelled.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
        while self._tasks:  # a cancelled task may start another one
            for task in self._tasks:
                log.warning("background work cancelled", extra={"task": task.get_name()})
                task.cancel()
            await asyncio.wait(self._tasks)

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `work` in a task named `name`, which need not be awaited. An exception is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def complete(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Return what `work` returns, or raise what it raises.

        If the caller is cancelled, `work` still runs to completion, so that nothing is cut off between a
        commit and the steps that follow it.
        """
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.start(_report(work, outcome), name)
        try:
            return await outcome
        finally:
            del outcome  # a failure refers to this frame, and would stay in memory with all that it refers to

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background work failed", extra={"task": task.get_name()}, exc_info=error)


async def _report(work: Coroutine[Any, Any, T], outcome: asyncio.Future[T]) -> None:
    try:
        result = await work
    except Exception as error:  # the caller gets it, whatever it is
        if outcome.done():  # the caller was cancelled, so the error can only be logged
            raise
        outcome.set_exception(error)
    else:
        if not outcome.done():
            outcome.set_result(result)
    finally:
        del outcome, work  # as above
