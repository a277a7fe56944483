"""Responses that their clients do not want stored: they are found as long as the connection is open through
which they were requested."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rhetor.dialects.openai_responses import Before
from rhetor.domain.given import KeptWithTurn
from rhetor.transports.server.node import Node

_NAME = "responses"
MOST_OPEN = 16  # of one WebSocket; clients continue the last one


class OpenResponses:
    """The responses of all open connections, by the ids of their turns."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, KeptWithTurn]] = {}
        self._prepared: dict[str, tuple[str, Before]] = {}

    def of(self, turn_id: str, subject: str) -> KeptWithTurn | None:
        """Return what is kept of a response of the caller; None if there is none."""
        owner, kept = self._kept.get(turn_id, ("", None))
        return kept if owner == subject else None

    def prepared(self, id: str, subject: str) -> Before | None:
        """Return the conversation that the caller has prepared under an id; None if there is none."""
        owner, before = self._prepared.get(id, ("", None))
        return before if owner == subject else None

    def add(self, turn_id: str, subject: str, kept: KeptWithTurn) -> None:
        """Keep a response, until it is dropped."""
        self._kept[turn_id] = subject, kept

    def prepare(self, id: str, subject: str, before: Before) -> None:
        """Keep a conversation that is to be answered later, until it is dropped."""
        self._prepared[id] = subject, before

    def drop(self, turn_id: str) -> None:
        self._kept.pop(turn_id, None)
        self._prepared.pop(turn_id, None)

    @contextmanager
    def held(self, turn_id: str, subject: str, kept: KeptWithTurn) -> Iterator[None]:
        """Keep a response for the time of the context."""
        self.add(turn_id, subject, kept)
        try:
            yield
        finally:
            self.drop(turn_id)


class OwnResponses:
    """The responses of one WebSocket: the last `MOST_OPEN` of them, and the last prepared conversation."""

    def __init__(self, all: OpenResponses) -> None:
        self._all = all
        self._turns: dict[str, None] = {}  # the oldest first
        self._prepared = ""

    def add(self, turn_id: str, subject: str, kept: KeptWithTurn) -> None:
        self._all.add(turn_id, subject, kept)
        self._turns[turn_id] = None
        if len(self._turns) > MOST_OPEN:
            self.drop(next(iter(self._turns)))

    def prepare(self, id: str, subject: str, before: Before) -> None:
        """Keep a conversation instead of the one that was prepared before. It may be large."""
        self._all.drop(self._prepared)
        self._all.prepare(id, subject, before)
        self._prepared = id

    def drop(self, turn_id: str) -> None:
        """Forget a response, if it is one of these."""
        if turn_id in self._turns:
            del self._turns[turn_id]
            self._all.drop(turn_id)
        elif turn_id == self._prepared:
            self._all.drop(turn_id)

    def close(self) -> None:
        self._all.drop(self._prepared)
        for turn_id in list(self._turns):
            self.drop(turn_id)


def open_responses(node: Node) -> OpenResponses:
    """Return the open responses of the hub."""
    found = node.components.setdefault(_NAME, OpenResponses())
    assert isinstance(found, OpenResponses)
    return found
