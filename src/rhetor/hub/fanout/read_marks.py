"""Tracks which sockets have readers, and the last event that a connection of each socket has received.

The state mirrors the catalog; it is ahead of the catalog while a commit is in progress.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rhetor.domain.event import Position

from .presence import counted


class ReadMarks:
    """The number of readers and the read mark of each socket, by session id."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._received: dict[str, Position] = {}

    @contextmanager
    def reading(self, session_id: str) -> Iterator[None]:
        """Count a connection as a reader of the socket while the context is open."""
        with counted(self._count, session_id):
            yield

    def readers(self, session_id: str) -> int:
        """Return the number of connections to this node that read the socket."""
        return self._count[session_id]

    @property
    def read(self) -> dict[str, int]:
        """The number of connections to this node that read each socket that has any."""
        return dict(self._count)

    def received(self, session_id: str) -> Position | None:
        """Return the position up to which a connection has received the socket's events, if known."""
        return self._received.get(session_id)

    def advance(self, session_id: str, position: Position) -> bool:
        """Move the read mark to `position`; return False if it was there already."""
        before = self._received.get(session_id)
        if before is not None and before.epoch == position.epoch and before.seq >= position.seq:
            return False
        self._received[session_id] = position
        return True

    def forget(self, session_id: str) -> None:
        """Remove the read mark."""
        self._received.pop(session_id, None)
