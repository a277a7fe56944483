"""Statistics of peers as catalog rows. A turn's end and its peer's statistics are committed together."""

from __future__ import annotations

from collections import Counter
from functools import reduce

import msgspec

from rhetor.domain.event import TurnEnd
from rhetor.domain.peer_stats import PeerStats
from rhetor.store.base import Catalog, Row

KIND = "peer_stats"


class PeerStatistics:
    """The statistics of all peers, held in memory and saved by committing a `row`.

    Each node of a shared database has rows of its own, so that none overwrites those of another. `node`: the
    name of this one; empty if it shares its database with no other. `turns`: how many turns have ended since
    the hub started, by peer and outcome.
    """

    def __init__(self, node: str = "") -> None:
        self.turns: Counter[tuple[str, str]] = Counter()
        self._node = node
        self._own: dict[str, PeerStats] = {}
        self._others: dict[str, dict[str, PeerStats]] = {}  # by peer and the ids of the rows

    async def load(self, catalog: Catalog) -> None:
        """Read the statistics of all peers from the catalog."""
        for row in await catalog.find(KIND, limit=100_000):
            self.mirror(row.id, row)

    def of(self, peer: str) -> PeerStats:
        """Return the statistics of a peer; they are empty if no turn of the peer has ended."""
        own, others = self._own.get(peer, PeerStats()), self._others.get(peer)
        return reduce(PeerStats.plus, others.values(), own) if others else own

    def note(self, peer: str, end: TurnEnd, now: int) -> None:
        """Count a turn that is ending. `now`: Unix time in milliseconds."""
        self.turns[peer, end.type.removeprefix("turn.")] += 1
        self._own[peer] = self._own.get(peer, PeerStats()).after(end, now)

    def row(self, peer: str, now: int) -> Row:
        """Return the row to commit with a turn's end. `now`: Unix time in milliseconds.

        The row includes every turn noted so far, so create a new one for each attempt to commit.
        """
        doc = msgspec.json.encode(self._own.get(peer, PeerStats()))
        return Row(KIND, self._id(peer), "kept", doc, parent=peer if self._node else "", at=now)

    def mirror(self, id: str, row: Row | None) -> None:
        """Use a row as it is stored. None: it was dropped."""
        if row is None:
            for others in self._others.values():
                others.pop(id, None)
            return
        peer, stats = row.parent or id, msgspec.json.decode(row.doc, type=PeerStats)
        if id != self._id(peer):
            self._others.setdefault(peer, {})[id] = stats
        elif peer not in self._own:  # this node writes it
            self._own[peer] = stats

    def _id(self, peer: str) -> str:
        return f"{peer}/{self._node}" if self._node else peer
