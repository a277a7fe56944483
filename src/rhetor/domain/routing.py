"""Who is asked: peers by capability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .peer import Capability, Peer

THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Match:
    peer: Peer
    capability: Capability


def rank(peers: Iterable[Peer], capability: str, threshold: float = THRESHOLD) -> Sequence[Match]:
    """Peers that have the capability at or above the threshold: primary ones first, then by score, then by
    name, so that the same question has the same answer."""
    found = [Match(p, c) for p in peers if (c := p.capability(capability)) and c.score >= threshold]
    return sorted(found, key=lambda m: (not m.capability.primary, -m.capability.score, m.peer.name))
