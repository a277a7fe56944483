"""Gates: a place where an answer waits until the test says go, so that no test has to sleep."""

import asyncio


class Gate:
    """Holds whoever passes until `release()`; once released it stays open."""

    def __init__(self) -> None:
        self._arrived = asyncio.Event()
        self._open = asyncio.Event()

    async def passed(self) -> None:
        """Return when the gate is open (for the side that is held)."""
        self._arrived.set()
        await self._open.wait()

    async def reached(self) -> None:
        """Return when an answer stands at the gate: all before it has been written."""
        await self._arrived.wait()

    def release(self) -> None:
        """Let all who wait, and all who come later, go on."""
        self._open.set()
