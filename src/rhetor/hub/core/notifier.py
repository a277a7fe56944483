"""Wakes all tasks that wait for a change, without data about the change."""

from __future__ import annotations

import asyncio


class Notifier:
    """Lets any number of tasks wait for the next change.

    To miss no change, call `next` before you read the state, and wait for the event afterwards. `also` is
    notified of each change, too.
    """

    def __init__(self, also: Notifier | None = None) -> None:
        self._next: asyncio.Event | None = None
        self._also = also

    def notify(self) -> None:
        """Wake all tasks that wait now."""
        if self._next is not None:
            self._next.set()
            self._next = None
        if self._also is not None:
            self._also.notify()

    def next(self) -> asyncio.Event:
        """Return the event that the next call of `notify` sets."""
        if self._next is None:
            self._next = asyncio.Event()
        return self._next
