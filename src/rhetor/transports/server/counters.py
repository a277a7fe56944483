"""What went through the doors, in plain numbers: bytes, and what was refused or broke off.

A door is `rest`, `sse`, or a WebSocket's path without its names (`ws.ai`). It knows no peers and no clients.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from rhetor import errors

REST, SSE = "rest", "sse"
OTHER = "other"


@dataclass(slots=True)
class Traffic:
    """Bytes of a door, bodies of requests and answers or frames of WebSockets, since the start."""

    received: int = 0
    sent: int = 0


def _codes(kind: type[errors.RhetorError]) -> set[str]:
    return {kind.code}.union(*map(_codes, kind.__subclasses__()))


CODES = frozenset(_codes(errors.RhetorError))


@dataclass(slots=True)
class Tally:
    """`errors`: how often a client was told one, by door and code; `closed`: open connections that the hub
    ended, the same way."""

    traffic: defaultdict[str, Traffic] = field(default_factory=lambda: defaultdict(Traffic))
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    closed: Counter[tuple[str, str]] = field(default_factory=Counter)

    def fault(self, door: str, code: str) -> None:
        self.errors[door, _known(code)] += 1

    def end(self, door: str, code: str) -> None:
        """An open connection was ended for this; it is an error, too."""
        self.closed[door, _known(code)] += 1
        self.fault(door, code)


def _known(code: str) -> str:
    """A code of a peer's program is its own: of those there may be any number."""
    return code if code in CODES else OTHER
