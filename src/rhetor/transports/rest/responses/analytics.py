"""Usage."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from rhetor.domain.usage_report import Grouping

from .common import Cost


class UsageTotal(Struct):
    """What turns used. `turns`: those that ended. `sessions`: how many different ones had a turn. `cost`: of
    what has a known price. `unpriced_turns`: those without a known price; of these, `unreported_turns`
    reported no tokens."""

    turns: int
    sessions: int
    input_tokens: int
    output_tokens: int
    cost: Cost
    unpriced_turns: int
    unreported_turns: int


class DayUsage(UsageTotal):
    """The usage of one group on one day, in UTC."""

    day: str


class UsageRow(UsageTotal, kw_only=True):
    """The usage of one group. `key`: null if it is unknown, or if there is no project. `days`: those on which
    it had usage, if the request has `by_day`."""

    key: str | None
    days: list[DayUsage] | UnsetType = UNSET


class PriceList(Struct):
    """Where known prices come from. `date`: of the newest price in it; null if that is unknown."""

    source: str
    version: str
    date: str | None


class Analytics(Struct, rename={"from_": "from"}):
    """Usage by group. `from`, `to`: as in the request."""

    group_by: Grouping
    from_: str | None
    to: str | None
    rows: list[UsageRow]
    total: UsageTotal
    prices: PriceList
