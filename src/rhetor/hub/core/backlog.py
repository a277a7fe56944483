"""Counts changes that a task deals with later, and lets others wait for it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from .notifier import Notifier


class Backlog:
    """The changes so far. `number`: how many there were."""

    def __init__(self) -> None:
        self.number = 0
        self._done = 0
        self._progress = Notifier()

    def add(self) -> None:
        """Count one more change."""
        self.number += 1

    def done(self, number: int) -> None:
        """Note that so many changes, from the first one on, have been dealt with."""
        self._done = number
        self._progress.notify()

    async def until_done(self, seconds: float) -> None:
        """Wait until the changes so far have been dealt with, but at most so many seconds."""
        number = self.number
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._done < number:
                    await self._progress.next().wait()
