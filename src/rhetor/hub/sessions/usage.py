"""What turns used, for those who may see it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import starmap
from typing import TYPE_CHECKING

from rhetor.domain.principal import Principal
from rhetor.domain.usage import Cell
from rhetor.domain.usage_report import Grouping, Report, report
from rhetor.hub.catalog.usage import KIND, SESSION, amounts_of, session_of

if TYPE_CHECKING:
    from rhetor.hub.state import State

MOST_MONTHS = 12  # that are read one by one


async def usage(
    state: State,
    principal: Principal,
    by: Grouping,
    *,
    first: str | None = None,
    last: str | None = None,
    project: str | None = None,
    by_day: bool = False,
) -> Report:
    """Return the usage by group. The owner of the hub, on its Unix socket, gets that of all callers, others
    their own.

    `first`, `last`: only from this day to that day, in UTC. `project`: only of this project of the caller.
    `by_day`: each group also has its days.
    """

    owner = principal.subject if project is not None or not _sees_all(principal) else None
    months = _months(first, last)
    sums = await _rows(state, KIND, owner, months)
    sessions = await _rows(state, SESSION, owner, months)

    def wanted(cell: Cell) -> bool:
        after, before = first is None or cell.day >= first, last is None or cell.day <= last
        return after and before and (project is None or cell.project == project)

    def grouped() -> Report:
        return report(
            by,
            (each for each in starmap(amounts_of, sums) if wanted(each[0])),
            (each for each in starmap(session_of, sessions) if wanted(each[1])),
            by_day=by_day,
        )

    return await asyncio.to_thread(grouped)  # it can take 0.1 s


def _sees_all(principal: Principal) -> bool:
    return principal.local and not principal.is_agent


def _months(first: str | None, last: str | None) -> Sequence[str | None]:
    """Return the months whose rows are needed, such as `2026-11`; `[None]` for those of all months."""
    if first is None or last is None:
        return [None]
    count = (int(last[:4]) - int(first[:4])) * 12 + int(last[5:7]) - int(first[5:7]) + 1
    if count > MOST_MONTHS:
        return [None]
    numbers = (int(first[:4]) * 12 + int(first[5:7]) - 1 + more for more in range(count))
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in numbers]


async def _rows(
    state: State, kind: str, owner: str | None, months: Sequence[str | None]
) -> Sequence[tuple[str, bytes]]:
    read = state.store.documents
    found = [await read(kind, owner=owner, parent=month) for month in months]
    return [row for rows in found for row in rows]
