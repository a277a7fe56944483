"""Statistics of peers as catalog rows. A turn's end and its peer's statistics are committed together."""

from __future__ import annotations

from collections import Counter

import msgspec

from rhetor.domain.event import TurnEnd
from rhetor.domain.peer_stats import PeerStats
from rhetor.store.base import Catalog, Row

KIND = "peer_stats"


class PeerStatistics:
    """The statistics of all peers, held in memory and saved by committing a `row`.

    `turns`: how many turns have ended since the hub started, by peer and outcome.
    """

    def __init__(self) -> None:
        self.turns: Counter[tuple[str, str]] = Counter()
        self._stats: dict[str, PeerStats] = {}

    async def load(self, catalog: Catalog) -> None:
        """Read the statistics of all peers from the catalog."""
        for row in await catalog.find(KIND, limit=100_000):
            self._stats[row.id] = msgspec.json.decode(row.doc, type=PeerStats)

    def of(self, peer: str) -> PeerStats:
        """Return the statistics of a peer; they are empty if no turn of the peer has ended."""
        return self._stats.get(peer, PeerStats())

    def note(self, peer: str, end: TurnEnd, now: int) -> None:
        """Count a turn that is ending. `now`: Unix time in milliseconds."""
        self.turns[peer, end.type.removeprefix("turn.")] += 1
        self._stats[peer] = self.of(peer).after(end, now)

    def row(self, peer: str, now: int) -> Row:
        """Return the row to commit with a turn's end. `now`: Unix time in milliseconds.

        The row includes every turn noted so far, so create a new one for each attempt to commit.
        """
        return Row(KIND, peer, "kept", msgspec.json.encode(self.of(peer)), at=now)
