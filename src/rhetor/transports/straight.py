"""Frames straight to a connection's transport, as long as nothing is in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rhetor.hub.outlets import Way


class StraightWay(Way):
    """Asks whether the connection `is_open`, and whether it `is_full` of what its client has not read,
    only after it was told to look again: whatever may change either tells so first."""

    __slots__ = ("_is_full", "_is_open", "_transport")

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        is_open: Callable[[], bool],
        is_full: Callable[[], bool],
    ) -> None:
        super().__init__(self._look)
        self._transport = transport
        self._is_open = is_open
        self._is_full = is_full

    def look_again(self) -> None:
        self.put = self._look

    def _look(self, frames: bytes) -> bool:
        if self._is_full():
            return False
        if self._is_open():
            self._transport.write(frames)
            if not self._is_full():
                self.put = self._transport.write
        return True
