"""A bell: who waits for "something is different now" hears it and looks for itself. It carries no data."""

from __future__ import annotations

import asyncio


class Notifier:
    def __init__(self) -> None:
        self._next = asyncio.Event()

    def notify(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    def next(self) -> asyncio.Event:
        """Set by the next ring. Take it before you look, and wait for it after."""
        return self._next
