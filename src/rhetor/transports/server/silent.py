"""Accepted connections: how many there may be, and how many of them may be silent.

A connection is silent while no request is in progress on it. If there are too many, the one that has been
silent longest makes room, so a client that only connects cannot keep others out. TCP as a whole counts as one
client, because a program may use many addresses; on the Unix socket, each process is one.
"""

from __future__ import annotations

import resource
from collections import Counter
from typing import Protocol

MOST_SILENT = 500  # of one client
RESERVED = 256  # descriptors for other clients, the store and programs
TCP = 0  # the client of all connections over TCP; others are process ids


class Closable(Protocol):
    def drop(self) -> None:
        """End the connection now. It then reports its end, as any other connection does."""
        ...


class AcceptedConnections:
    """All connections of the hub. `most_silent`: of one client; `most`: of one client, silent or not."""

    def __init__(self, most_silent: int = MOST_SILENT, most: int | None = None) -> None:
        self._most_silent = most_silent
        self._most = most or _most_of_one_client()
        self._count: Counter[int] = Counter()
        self._silent: dict[int, dict[Closable, None]] = {}  # the longest silent one first

    def add(self, client: int, connection: Closable) -> None:
        """Count a new connection, which is silent. If the client has too many, a silent one is dropped: the
        new one if there is no other."""
        self._count[client] += 1
        self.fall_silent(client, connection)
        if self._count[client] > self._most:
            self._drop_oldest(client)

    def remove(self, client: int, connection: Closable) -> None:
        """Count the end of a connection."""
        self.speak(client, connection)
        self.ended(client)

    def ended(self, client: int) -> None:
        """Count the end of a connection that is not silent."""
        self._count[client] -= 1
        if not self._count[client]:
            del self._count[client]

    def fall_silent(self, client: int, connection: Closable) -> None:
        silent = self._silent.setdefault(client, {})
        silent.pop(connection, None)
        silent[connection] = None
        if len(silent) > self._most_silent:
            self._drop_oldest(client)

    def speak(self, client: int, connection: Closable) -> None:
        """Note that a request begins on the connection."""
        silent = self._silent.get(client, {})
        silent.pop(connection, None)
        if not silent:
            self._silent.pop(client, None)

    def _drop_oldest(self, client: int) -> None:
        oldest = next(iter(self._silent[client]))
        self.speak(client, oldest)
        oldest.drop()


def _most_of_one_client() -> int:
    """Return how many connections leave enough descriptors for everything else."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(descriptors // 2, descriptors - 2 * RESERVED)
