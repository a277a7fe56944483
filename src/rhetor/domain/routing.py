"""Chooses peers by capability."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from .peer import Capability, Peer
from .peer_stats import PeerStats

THRESHOLD = 0.5


class Match(Struct, frozen=True, gc=False):
    """A peer, and the capability for which it was chosen."""

    peer: Peer
    capability: Capability


def rank(
    peers: Iterable[Peer],
    capability: str,
    threshold: float = THRESHOLD,
    stats: Callable[[str], PeerStats] = lambda peer: PeerStats(),
) -> Sequence[Match]:
    """Return the peers whose score for the capability is at least the threshold, best first.

    Peers for which the capability is primary come first, then those with higher scores. Equal ones are
    ordered by their statistics: the higher success rate, then the shorter response time, then the name, so
    that the result is deterministic.
    """
    found = [Match(p, c) for p in peers if (c := p.capability(capability)) and c.score >= threshold]

    def order(match: Match) -> tuple[bool, float, float, float, str]:
        peer_statistics = stats(match.peer.name)
        rate, seconds = peer_statistics.success_rate, peer_statistics.avg_response_time
        return (
            not match.capability.primary,
            -match.capability.score,
            # Rounded, so that one old failure does not outweigh being twice as fast. A peer without turns
            # counts as reliable and slow.
            -round(1.0 if rate is None else rate, 1),
            math.inf if seconds is None else seconds,
            match.peer.name,
        )

    return sorted(found, key=order)
