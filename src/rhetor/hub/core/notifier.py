"""Wakes everyone who waits for a change, without saying what changed."""

from __future__ import annotations

import asyncio


class Notifier:
    def __init__(self) -> None:
        self._next = asyncio.Event()

    def notify(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    def next(self) -> asyncio.Event:
        """The event that the next `notify` sets. Take it before you look at the state, wait for it after."""
        return self._next
