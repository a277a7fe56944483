"""Budgets: how much may be used per day or month by a peer, in a project, for a caller, or by all together.

Days and months are those of UTC. This module decides which period an amount belongs to, and says how much of
a limit is used; `budget_ledger` adds up what is spent and reserved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from .event import BudgetReached, Payload, Then, UsageReported
from .timestamps import timestamp

GLOBAL, PEER, PROJECT, CALLER = "global", "peer", "project", "caller"
# of the name of a budget, in the syntax that Python and JSON Schema share
NAME = r"^(global|(peer|project|caller)\.[^\s\x00-\x1f\x7f-\x9f\ufeff]{1,200})$"
NOTE_SHARE = Decimal("0.8")  # of a limit, from which on readers are told
Measure = Literal["usd_per_day", "usd_per_month", "tokens_per_day"]
MEASURES: tuple[Measure, ...] = ("usd_per_day", "usd_per_month", "tokens_per_day")
_CENT = Decimal("0.01")
_DAY = 86_400_000  # milliseconds


class Budget(Struct, frozen=True):
    """The limits for what `name` stands for: `global`, `peer.NAME`, `project.NAME` or `caller.NAME`.

    None is no limit. `fallback`: the peer that answers when a limit is reached; None: a person is asked.
    """

    name: str
    usd_per_day: Decimal | None = None
    usd_per_month: Decimal | None = None
    tokens_per_day: int | None = None
    fallback: str | None = None

    @property
    def limits(self) -> Sequence[tuple[Measure, Decimal]]:
        """The limits that are set."""
        found = ((measure, getattr(self, measure)) for measure in MEASURES)
        return [(measure, Decimal(limit)) for measure, limit in found if limit is not None]


class Amount(Struct, frozen=True):
    """An amount that was used or may be used: tokens of input and output, and their cost.

    `unpriced`: the turns whose cost is unknown; `usd` does not include them.
    """

    tokens: int = 0
    usd: Decimal = Decimal(0)
    unpriced: int = 0

    def less(self, other: Amount) -> Amount:
        """Return what is left of this amount without `other`, at least 0."""
        return Amount(max(0, self.tokens - other.tokens), max(Decimal(0), self.usd - other.usd))

    def measured(self, measure: Measure) -> Decimal:
        """Return the part of the amount that counts for a limit."""
        return Decimal(self.tokens) if measure == "tokens_per_day" else self.usd


class Standing(Struct, frozen=True):
    """How much of one limit of a budget is used in the current period.

    `reserved`: for calls that are running. `starts_at`, `resets_at`: the period, as Unix time in
    milliseconds. `unpriced`: turns in the period whose cost is unknown, and not in `spent`.
    """

    name: str
    measure: Measure
    limit: Decimal
    spent: Decimal
    reserved: Decimal
    starts_at: int
    resets_at: int
    unpriced: int = 0

    @property
    def share(self) -> float:
        """The used share of the limit, 1 if all of it is used. A limit of 0 is used from the beginning."""
        return float(self.spent / self.limit) if self.limit else 1.0

    @property
    def is_spent(self) -> bool:
        """Whether the limit is reached, without what is reserved."""
        return self.spent >= self.limit

    @property
    def is_to_be_noted(self) -> bool:
        """Whether so much of the limit is used that readers are told."""
        return bool(self.limit) and self.spent >= self.limit * NOTE_SHARE

    @property
    def period(self) -> str:
        """`day` or `month`."""
        return self.measure.rpartition("_")[2]

    def __str__(self) -> str:
        """Describe what is used: `900 of 1,000 tokens per day`."""
        spent, limit = self.spent, amount_text(self.measure, self.limit)
        return f"{f'{spent:,}' if self.measure == 'tokens_per_day' else _dollars(spent)} of {limit}"


class Reached(Struct, frozen=True):
    """A limit that leaves no room for a call. `is_spent`: also without what other calls have reserved."""

    standing: Standing
    fallback: str | None

    @property
    def is_spent(self) -> bool:
        return self.standing.is_spent


def names_for(peer: str, project: str, caller: str) -> tuple[str, ...]:
    """Return the names of the budgets that a call of the peer draws on, if they exist. `project`: empty if
    there is none."""
    own = (f"{PROJECT}.{project}",) if project else ()
    return GLOBAL, f"{PEER}.{peer}", *own, f"{CALLER}.{caller}"


def period_of(measure: Measure, at: int) -> tuple[int, int]:
    """Return when the period of a limit that `at` is in starts, and when the next one does, as Unix time in
    milliseconds."""
    day = at // _DAY * _DAY
    return (day, day + _DAY) if measure.endswith("_day") else _month(day)


def amount_text(measure: Measure, limit: Decimal) -> str:
    """Return a limit in words: `1,000 tokens per day`, `$2.50 per month`."""
    period = measure.rpartition("_")[2]
    if measure == "tokens_per_day":
        return f"{int(limit):,} tokens per {period}"
    return f"{_dollars(limit)} per {period}"


def raised(standing: Standing, wanted: Decimal) -> Decimal:
    """Return the next higher limit to offer: half as much again, and enough for `wanted` besides what is used
    now, rounded up to two digits."""
    least = max(standing.limit * Decimal("1.5"), standing.spent + standing.reserved + wanted)
    digit = Decimal(1).scaleb(least.adjusted() - 1) if least else Decimal(0)
    step = max(digit, Decimal(1) if standing.measure == "tokens_per_day" else _CENT)
    found = (least / step).to_integral_value(ROUND_CEILING) * step
    return found if found > standing.spent + standing.reserved else found + step


def with_limit(budget: Budget, measure: Measure, limit: Decimal) -> Budget:
    """Return the budget with another value for one of its limits."""
    values = {each: getattr(budget, each) for each in MEASURES}
    values[measure] = int(limit) if measure == "tokens_per_day" else limit
    return Budget(budget.name, fallback=budget.fallback, **values)


def event_of(standing: Standing, then: Then, peer: str | None = None) -> BudgetReached:
    """Return the event for a limit that is reached, or nearly. `then`, `peer`: as in `BudgetReached`."""
    return BudgetReached(
        standing.name,
        standing.measure,
        shown(standing.measure, standing.limit),
        shown(standing.measure, standing.spent),
        round(standing.share, 4),
        timestamp(standing.resets_at),
        then,
        peer,
    )


def shown(measure: Measure, amount: Decimal) -> int | str:
    """Return an amount as clients see it: a number of tokens, or USD as a decimal string."""
    return int(amount) if measure == "tokens_per_day" else f"{amount:f}"


def used(payloads: Iterable[Payload]) -> Amount:
    """Return what the events report that was used, without the number of unknown prices."""
    reports = [payload for payload in payloads if isinstance(payload, UsageReported)]
    tokens = sum(report.input_tokens + report.output_tokens for report in reports)
    costs = (Decimal(report.cost) for report in reports if report.cost is not None)
    usd = sum((cost for cost in costs if cost.is_finite() and cost > 0), start=Decimal(0))
    return Amount(tokens, usd)


def _dollars(usd: Decimal) -> str:
    # four decimal places are enough for a cent's hundredth, and cents are always shown
    exact = usd.quantize(Decimal("0.0001"), ROUND_CEILING).normalize()
    return f"${exact:,.2f}" if exact == exact.quantize(_CENT) else f"${exact:,f}"


@lru_cache(maxsize=64)
def _month(day: int) -> tuple[int, int]:
    """Return the beginning of the month that the day is in, and of the next one."""
    start = datetime.fromtimestamp(day // 1000, UTC).replace(day=1)
    end = (start + timedelta(days=31)).replace(day=1)
    return int(start.timestamp()) * 1000, int(end.timestamp()) * 1000
