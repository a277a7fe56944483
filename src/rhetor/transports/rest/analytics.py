"""What turns used: `/api/analytics`, as JSON or as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from starlette.responses import Response

from rhetor.domain.usage_report import Group, Report
from rhetor.hub.sessions.usage import usage as usage_of
from rhetor.transports.server.call import Call, json_response

from .bodies import AnalyticsQuery

CSV = "text/csv"
COLUMNS = (
    "key",
    "turns",
    "sessions",
    "input_tokens",
    "output_tokens",
    "cost",
    "unpriced_turns",
    "unreported_turns",
)


async def usage(call: Call, query: AnalyticsQuery) -> Response:
    """Return the usage by group, the group with the most tokens first. Days stay in their order."""
    return await _answer(call, query, lambda group: group.amounts.input_tokens + group.amounts.output_tokens)


async def costs(call: Call, query: AnalyticsQuery) -> Response:
    """Return the usage by group, the most expensive group first. Days stay in their order."""
    return await _answer(call, query, lambda group: Decimal(group.amounts.known_cost or "-1"))


async def sessions(call: Call, query: AnalyticsQuery) -> Response:
    """Return the usage by group, the group with the most sessions first. Days stay in their order."""
    return await _answer(call, query, lambda group: group.sessions)


async def _answer(call: Call, query: AnalyticsQuery, size: Callable[[Group], int | Decimal]) -> Response:
    first, last = query.days()
    found = await usage_of(
        call.hub.state, call.who, query.group_by, first=first, last=last, by_day=query.by_day
    )
    groups = found.groups if found.by == "day" else sorted(found.groups, key=size, reverse=True)
    rows = [_row(group, by_day=query.by_day) for group in groups]
    if CSV in call.headers.get("accept", ""):
        return Response(_csv(rows, by_day=query.by_day), media_type=CSV)
    return json_response(await _json(call, query, found, rows))


async def _json(call: Call, query: AnalyticsQuery, found: Report, rows: Sequence[Any]) -> dict[str, Any]:
    return {
        "group_by": found.by,
        "from": query.from_,
        "to": query.to,
        "rows": rows,
        "total": shown(found.total),
        "prices": await call.node.providers.price_list(),
    }


def _row(group: Group, *, by_day: bool) -> dict[str, Any]:
    row = {"key": group.key, **shown(group)}
    if by_day:
        row["days"] = [{"day": day.key, **shown(day)} for day in group.days]
    return row


def shown(group: Group) -> dict[str, Any]:
    """Return a group as clients see it. A turn without a known price is unpriced, whether it reported tokens
    or not."""
    amounts = group.amounts
    return {
        "turns": amounts.turns,
        "sessions": group.sessions,
        "input_tokens": amounts.input_tokens,
        "output_tokens": amounts.output_tokens,
        "cost": amounts.known_cost,
        "unpriced_turns": amounts.unpriced + amounts.unreported,
        "unreported_turns": amounts.unreported,
    }


def _csv(rows: Sequence[dict[str, Any]], *, by_day: bool) -> str:
    """Return the rows as CSV (RFC 4180), or one row for each group and day. What is unknown is empty."""
    text = io.StringIO()
    if by_day:
        rows = [{"key": row["key"], **day} for row in rows for day in row["days"]]
    columns = (COLUMNS[0], "day", *COLUMNS[1:]) if by_day else COLUMNS
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
