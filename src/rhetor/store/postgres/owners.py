"""Which node may write a stream: the sessions and plans that were begun at a node are its own."""

from __future__ import annotations

from collections.abc import Iterable

from rhetor.errors import StreamElsewhere
from rhetor.store.incarnation import Incarnation

from .connection import Connection
from .statements import sql

OWNED = ("s_", "p_")  # what the names of sessions and plans begin with


def has_owner(stream: str) -> bool:
    """Whether only one node may write a stream. The others are written by every node."""
    return stream.startswith(OWNED)


class Owners:
    """The streams of a transaction that belong to other nodes. `own`: the number of this node."""

    def __init__(self, own: int) -> None:
        self.own = own
        self._elsewhere: dict[str, str] = {}  # the name of the node, by stream

    async def read(self, connection: Connection, incarnations: Iterable[Incarnation]) -> None:
        """Note which of these incarnations other nodes own."""
        others = {each.stream: each.node for each in incarnations if each.node not in (None, self.own)}
        if others:
            found = await connection.fetch(sql("names_of_nodes"), sorted(set(others.values())))
            names = dict(found)
            self._elsewhere.update({stream: names.get(node, "") for stream, node in others.items()})

    def require_own(self, stream: str) -> None:
        """Check that this node may write the stream.

        Raises:
            StreamElsewhere: another node owns it.
        """
        if stream in self._elsewhere:
            raise StreamElsewhere(stream, self._elsewhere[stream])

    def of_new(self, stream: str) -> int | None:
        """Return the node that a new incarnation belongs to."""
        return self.own if has_owner(stream) else None
