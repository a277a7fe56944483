"""Wakes the followers of a stream. A wake-up carries no data; a woken follower reads the log."""

from __future__ import annotations

import asyncio


class Wakeups:
    """The waiting followers in one event loop, by stream. A stream without followers takes no memory."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        """Return the number of waiting followers."""
        return sum(map(len, self._waiting.values()))

    @property
    def streams(self) -> int:
        """The number of streams that followers wait for."""
        return len(self._waiting)

    @property
    def names(self) -> list[str]:
        """The streams that followers wait for."""
        return list(self._waiting)

    def enter(self, stream: str) -> asyncio.Future[None]:
        """Return a future that the next wake-up of the stream completes. The caller must always `leave`.

        Call this first, then read the log, then wait, so that no change is missed. This is not a context
        manager, because one made of a generator would cost more than the rest of a wait.
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
