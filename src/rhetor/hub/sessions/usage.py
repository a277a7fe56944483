"""What turns used, for those who may see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rhetor.domain.command import Principal
from rhetor.domain.usage import Cell
from rhetor.domain.usage_report import Grouping, Report, report
from rhetor.hub.catalog.usage import KIND, MOST_ROWS, SESSION, amounts_of, session_of
from rhetor.store.base import Row

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def usage(
    state: State,
    principal: Principal,
    by: Grouping,
    *,
    first: str | None = None,
    last: str | None = None,
    project: str | None = None,
) -> Report:
    """Return the usage by group. The owner of the hub, on its Unix socket, gets that of all callers, others
    their own.

    `first`, `last`: only from this day to that day, in UTC. `project`: only of this project of the caller.
    """

    def wanted(cell: Cell) -> bool:
        after, before = first is None or cell.day >= first, last is None or cell.day <= last
        return after and before and (project is None or cell.project == project)

    owner = principal.subject if project is not None or not _sees_all(principal) else None
    sums = map(amounts_of, await _rows(state, KIND, owner, first, last))
    sessions = map(session_of, await _rows(state, SESSION, owner, first, last))
    return report(
        by,
        (each for each in sums if wanted(each[0])),
        (each for each in sessions if wanted(each[1])),
    )


def _sees_all(principal: Principal) -> bool:
    return principal.local and not principal.is_agent


async def _rows(
    state: State, kind: str, owner: str | None, first: str | None, last: str | None
) -> Sequence[Row]:
    is_one_month = first is not None and last is not None and first[:7] == last[:7]
    month = first[:7] if first is not None and is_one_month else None
    return await state.store.find(kind, owner=owner, parent=month, limit=MOST_ROWS)
