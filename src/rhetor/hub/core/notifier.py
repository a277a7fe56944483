"""Wakes all tasks that wait for a change, without data about the change."""

from __future__ import annotations

import asyncio


class Notifier:
    """Lets any number of tasks wait for the next change.

    To miss no change, call `next` before you read the state, and wait for the event afterwards.
    """

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def notify(self) -> None:
        """Wake all tasks that wait now."""
        self._next.set()
        self._next = asyncio.Event()

    def next(self) -> asyncio.Event:
        """Return the event that the next call of `notify` sets."""
        return self._next
