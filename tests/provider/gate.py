"""Gates, at which an answer waits until the test releases it, so that no test has to sleep."""

import asyncio


class Gate:
    """Blocks callers until `release()`, then stays open."""

    def __init__(self) -> None:
        self._arrived = asyncio.Event()
        self._open = asyncio.Event()

    async def passed(self) -> None:
        """Wait until the gate is open (called by the answer)."""
        self._arrived.set()
        await self._open.wait()

    async def reached(self) -> None:
        """Wait until an answer has reached the gate; everything before the gate has been written."""
        await self._arrived.wait()

    def release(self) -> None:
        """Let all present and later callers pass."""
        self._open.set()
