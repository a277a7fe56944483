"""The query of `/api/analytics`."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from rhetor.codec.forms import form
from rhetor.domain.usage_report import Grouping
from rhetor.errors import Unprocessable

from .common import Query

Day = Annotated[
    str,
    form(
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
        "must be a day such as 2026-11-30",
        extra_json_schema={"format": "date"},
    ),
]


class AnalyticsQuery(Query, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Which usage, and how it is grouped. `from`, `to`: the first and the last day, in UTC; both are
    included. `by_day`: each group also has its days."""

    group_by: Grouping = "day"
    from_: Day | None = None
    to: Day | None = None
    by_day: bool = False

    def days(self) -> tuple[str | None, str | None]:
        """Return the first and the last day.

        Raises:
            Unprocessable: there is no such day, or the first is after the last.
        """
        _require_day("from", self.from_)
        _require_day("to", self.to)
        if self.from_ is not None and self.to is not None and self.from_ > self.to:
            raise Unprocessable("query.from: must not be after `to`")
        return self.from_, self.to


def _require_day(name: str, day: str | None) -> None:
    try:
        if day is not None:
            date.fromisoformat(day)
    except ValueError:
        raise Unprocessable(f"query.{name}: there is no day {day}; write it as 2026-11-30") from None
