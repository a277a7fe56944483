"""Which sockets are being read, and up to where their connections have received events.

This mirrors the catalog and is ahead of it by what is being committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rhetor.domain.event import Position

from .presence import counted


class ReadMarks:
    """By session id."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._received: dict[str, Position] = {}

    @contextmanager
    def reading(self, session_id: str) -> Iterator[None]:
        """Count a connection that reads the socket for as long as the context lasts."""
        with counted(self._count, session_id):
            yield

    def readers(self, session_id: str) -> int:
        return self._count[session_id]

    def received(self, session_id: str) -> Position | None:
        """The position up to which some connection has received the socket's events."""
        return self._received.get(session_id)

    def advance(self, session_id: str, position: Position) -> bool:
        """Move the mark to `position`; False if it was there already."""
        before = self._received.get(session_id)
        if before is not None and before.epoch == position.epoch and before.seq >= position.seq:
            return False
        self._received[session_id] = position
        return True

    def forget(self, session_id: str) -> None:
        self._received.pop(session_id, None)
