"""Statistics of a peer: how often it answers, how fast, and at what price. Older turns count less."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from .event import TurnCompleted, TurnEnd, TurnFailed

SUMS = ("turns", "answered", "seconds", "tokens", "cost", "metered", "used")
HALF_LIFE_MS = 7 * 24 * 3600 * 1000


class PeerStats(Struct, frozen=True, gc=False):
    """Sums over the turns of a peer; the weight of a turn halves every week.

    `tokens` and `cost` (USD) cover the turns whose price is known. `metered` and `used`: the turns whose
    tokens are known, and their tokens. `at`: the end of the last turn, as Unix time in milliseconds.
    """

    turns: float = 0.0
    answered: float = 0.0
    seconds: float = 0.0
    tokens: float = 0.0
    cost: float = 0.0
    at: int = 0
    metered: float = 0.0
    used: float = 0.0

    def after(self, end: TurnEnd, now: int) -> PeerStats:
        """Return the statistics with one more turn. `now`: Unix time in milliseconds.

        A turn that was cancelled or interrupted does not count.
        """
        if isinstance(end, TurnFailed):
            faded = self._faded(now)
            return replace(faded, turns=faded.turns + 1)
        return self._answered(end, now) if isinstance(end, TurnCompleted) else self

    def plus(self, other: PeerStats) -> PeerStats:
        """Return the statistics of the turns of both."""
        at = max(self.at, other.at)
        one, two = self._faded(at), other._faded(at)
        sums = (getattr(one, each) + getattr(two, each) for each in SUMS)
        return PeerStats(at=at, **dict(zip(SUMS, sums, strict=True)))

    @property
    def success_rate(self) -> float | None:
        """The share of turns that were answered, from 0 to 1; None without turns."""
        return self.answered / self.turns if self.turns else None

    @property
    def avg_response_time(self) -> float | None:
        """Seconds from the start of a turn to its end; None without answers."""
        return self.seconds / self.answered if self.answered else None

    @property
    def cost_per_1k_tokens(self) -> str | None:
        """USD as a decimal string, or None if no price is known."""
        if not self.tokens:
            return None
        return format(Decimal(self.cost / self.tokens * 1000).quantize(Decimal("0.000001")), "f")

    def _answered(self, end: TurnCompleted, now: int) -> PeerStats:
        faded = self._faded(now)
        used = _tokens(end.usage)
        priced = used if end.cost is not None else 0
        return replace(
            faded,
            turns=faded.turns + 1,
            answered=faded.answered + 1,
            seconds=faded.seconds + end.seconds,
            tokens=faded.tokens + priced,
            cost=faded.cost + (float(end.cost) if end.cost is not None and priced else 0.0),
            metered=faded.metered + (end.usage is not None),
            used=faded.used + used,
        )

    def _faded(self, now: int) -> PeerStats:
        left = 0.5 ** (max(0, now - self.at) / HALF_LIFE_MS)
        return PeerStats(
            self.turns * left,
            self.answered * left,
            self.seconds * left,
            self.tokens * left,
            self.cost * left,
            now,
            self.metered * left,
            self.used * left,
        )


def _tokens(usage: dict[str, Any] | None) -> int:
    return int(usage["input_tokens"] + usage["output_tokens"]) if usage else 0
