"""Who reads which socket now, and how far any of its connections was given what is there.

A mirror of what the catalog keeps: it is ahead of it by what is being committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rhetor.domain.event import Position


class ReadMarks:
    """By session."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._given: dict[str, Position] = {}

    @contextmanager
    def reading(self, session_id: str) -> Iterator[None]:
        """For as long as a connection reads."""
        self._count[session_id] += 1
        try:
            yield
        finally:
            self._count[session_id] -= 1
            if not self._count[session_id]:
                del self._count[session_id]

    def readers(self, session_id: str) -> int:
        return self._count[session_id]

    def given(self, session_id: str) -> Position | None:
        return self._given.get(session_id)

    def give(self, session_id: str, position: Position) -> bool:
        """Some connection has what is up to there; False where one had it before."""
        before = self._given.get(session_id)
        if before is not None and before.epoch == position.epoch and before.seq >= position.seq:
            return False
        self._given[session_id] = position
        return True

    def forget(self, session_id: str) -> None:
        self._given.pop(session_id, None)
