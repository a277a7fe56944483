"""A bell: who waits for "something is different now" hears it and looks for itself. It carries no data."""

from __future__ import annotations

import asyncio


class Bell:
    def __init__(self) -> None:
        self._next = asyncio.Event()

    def ring(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    def heard(self) -> asyncio.Event:
        """Set by the next ring. Take it before you look, and wait for it after."""
        return self._next
