"""Who waits for which stream. A wake-up carries no data: who is woken reads the log."""

from __future__ import annotations

import asyncio


class Wakeups:
    """Waiters by stream, in one event loop. A stream that nobody waits for takes no room."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def streams(self) -> int:
        """How many streams are waited for."""
        return len(self._waiting)

    def enter(self, stream: str) -> asyncio.Future[None]:
        """A future that the next wake-up of the stream completes; to be left in any case.

        It counts from here on: look at the log after entering, and nothing is missed between the look and
        the wait. No context manager: one of a generator costs more than all else of a wait.
        """
        woken = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(stream, set()).add(woken)
        return woken

    def leave(self, stream: str, woken: asyncio.Future[None]) -> None:
        others = self._waiting.get(stream)
        if others is not None:
            others.discard(woken)
            if not others:
                del self._waiting[stream]

    def wake(self, stream: str) -> None:
        for woken in self._waiting.pop(stream, ()):
            if not woken.done():  # its waiter may have been cancelled since
                woken.set_result(None)

    def wake_all(self) -> None:
        for stream in list(self._waiting):
            self.wake(stream)
