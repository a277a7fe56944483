"""Statistics of peers, as rows of the catalog. A turn's end and its peer's new statistics are one commit."""

from __future__ import annotations

from collections import Counter

import msgspec

from rhetor.domain.event import TurnEnd
from rhetor.domain.peer_stats import PeerStats
from rhetor.store.base import Catalog, Row

KIND = "peer_stats"


class PeerStatistics:
    """In memory by peer; the catalog has the same as soon as the commit of `note`'s row is in. `turns`: how
    many ended since the hub started, by peer and outcome."""

    def __init__(self) -> None:
        self.turns: Counter[tuple[str, str]] = Counter()
        self._stats: dict[str, PeerStats] = {}

    async def load(self, catalog: Catalog) -> None:
        for row in await catalog.find(KIND, limit=100_000):
            self._stats[row.id] = msgspec.json.decode(row.doc, type=PeerStats)

    def of(self, peer: str) -> PeerStats:
        return self._stats.get(peer, PeerStats())

    def note(self, peer: str, end: TurnEnd, now: int) -> Row:
        """Count a turn, and give the row to commit with its end. `now`: Unix time in milliseconds."""
        self.turns[peer, end.type.removeprefix("turn.")] += 1
        stats = self._stats[peer] = self.of(peer).after(end, now)
        return Row(KIND, peer, "kept", msgspec.json.encode(stats), at=now)
