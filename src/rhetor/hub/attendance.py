"""How many attend to what, and a call when the last of them has been away for too long.

It knows neither sessions nor connections, and has no task of its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Attendance:
    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = False

    def __contains__(self, id: str) -> bool:
        """Whether somebody attends to it now."""
        return id in self._count

    @contextmanager
    def attend(self, id: str, patience: float, deserted: Callable[[], None]) -> Iterator[None]:
        """For as long as somebody attends; `deserted` is called when nobody has for `patience` seconds."""
        self._count[id] += 1
        if timer := self._timers.pop(id, None):
            timer.cancel()
        try:
            yield
        finally:
            self._count[id] -= 1
            if not self._count[id]:
                del self._count[id]
                self.expect(id, patience, deserted)

    def expect(self, id: str, patience: float, deserted: Callable[[], None]) -> None:
        """Nobody attends; `deserted` is called when nobody has come after `patience` seconds."""
        if self._closed or id in self._count:
            return

        def left() -> None:
            del self._timers[id]
            deserted()

        self._timers[id] = asyncio.get_running_loop().call_later(patience, left)

    def close(self) -> None:
        """Nobody is called any more."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
