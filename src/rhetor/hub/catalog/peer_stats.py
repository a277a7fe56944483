"""Statistics of peers, as rows of the catalog. A turn's end and its peer's new statistics are one commit."""

from __future__ import annotations

from collections import Counter

import msgspec

from rhetor.domain.event import TurnEnd
from rhetor.domain.peer_stats import PeerStats
from rhetor.store.base import Catalog, Row

KIND = "peer_stats"


class PeerStatistics:
    """The statistics of all peers, in memory; the catalog follows with each commit of a `row`.

    `turns`: how many turns ended since the hub started, by peer and outcome.
    """

    def __init__(self) -> None:
        self.turns: Counter[tuple[str, str]] = Counter()
        self._stats: dict[str, PeerStats] = {}

    async def load(self, catalog: Catalog) -> None:
        for row in await catalog.find(KIND, limit=100_000):
            self._stats[row.id] = msgspec.json.decode(row.doc, type=PeerStats)

    def of(self, peer: str) -> PeerStats:
        return self._stats.get(peer, PeerStats())

    def note(self, peer: str, end: TurnEnd, now: int) -> None:
        """Count a turn that ends. `now`: Unix time in milliseconds."""
        self.turns[peer, end.type.removeprefix("turn.")] += 1
        self._stats[peer] = self.of(peer).after(end, now)

    def row(self, peer: str, now: int) -> Row:
        """The row to commit with a turn's end. It holds every turn that was noted, so make it anew for each
        attempt to commit. `now`: Unix time in milliseconds."""
        return Row(KIND, peer, "kept", msgspec.json.encode(self.of(peer)), at=now)
