"""Groups the sums of usage by day, peer, model, project or caller, and each group by day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from .usage import Amounts, Cell

Grouping = Literal["day", "peer", "model", "project", "caller"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)


class Group(Struct, frozen=True, gc=False):
    """The usage of one group, or of all. `key`: None if it is unknown, or for all groups. `sessions`: how
    many different sessions had a turn. `days`: the same for each day on which it had any, in their order, if
    that was asked for."""

    key: str | None
    sessions: int
    amounts: Amounts
    days: Sequence[Group] = ()


class Report(Struct, frozen=True):
    """Usage by group. Days come in their order, other groups by their names."""

    by: Grouping
    groups: Sequence[Group]
    total: Group


Sums = Iterable[tuple[Cell, Amounts]]
Sessions = Iterable[tuple[str, Cell]]


def report(by: Grouping, sums: Sums, sessions: Sessions, *, by_day: bool = False) -> Report:
    """Group the sums. `sessions`: the cells in which a session that is kept had a turn. `by_day`: each group
    has its days."""
    sums, sessions = list(sums), list(sessions)
    days: dict[str, list[Group]] = {}
    if by_day:
        each_day = _grouped(lambda cell: (getattr(cell, by), cell.day), sums, sessions)
        for (key, day), each in each_day:
            days.setdefault(key, []).append(replace(each, key=day))
    groups = [
        replace(each, key=key or None, days=days.get(key, ()))
        for (key,), each in _grouped(lambda cell: (getattr(cell, by),), sums, sessions)
    ]
    total = next((each for _, each in _grouped(lambda cell: (), sums, sessions)), _NOTHING)
    return Report(by, groups, total)


_NOTHING = Group(None, 0, Amounts())


def _grouped(
    key_of: Callable[[Cell], tuple[str, ...]], sums: Sums, sessions: Sessions
) -> list[tuple[tuple[str, ...], Group]]:
    amounts: dict[tuple[str, ...], Amounts] = {}
    for cell, more in sums:
        key = key_of(cell)
        known = amounts.get(key)
        amounts[key] = more if known is None else known + more
    had_turns: dict[tuple[str, ...], set[str]] = {}
    for session, cell in sessions:
        had_turns.setdefault(key_of(cell), set()).add(session)
    return [
        (key, Group(None, len(had_turns.get(key, ())) + amounts[key].once, amounts[key]))
        for key in sorted(amounts)
    ]
