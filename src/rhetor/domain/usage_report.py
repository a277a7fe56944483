"""Groups the sums of usage by day, peer, model, project or caller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from msgspec import Struct

from .usage import Amounts, Cell

Grouping = Literal["day", "peer", "model", "project", "caller"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)


class Group(Struct, frozen=True, gc=False):
    """The usage of one group, or of all. `key`: None if it is unknown, or for all groups. `sessions`: how
    many different sessions had a turn."""

    key: str | None
    sessions: int
    amounts: Amounts


class Report(Struct, frozen=True):
    """Usage by group. Days come in their order, other groups by their names."""

    by: Grouping
    groups: Sequence[Group]
    total: Group


def report(
    by: Grouping, sums: Iterable[tuple[Cell, Amounts]], sessions: Iterable[tuple[str, Cell]]
) -> Report:
    """Group the sums. `sessions`: the cells in which a session that is kept had a turn."""
    amounts: dict[str, Amounts] = {}
    for cell, more in sums:
        key = getattr(cell, by)
        known = amounts.get(key)
        amounts[key] = more if known is None else known + more
    total = sum(amounts.values(), Amounts())
    had_turns: dict[str, set[str]] = {}
    for session, cell in sessions:
        had_turns.setdefault(getattr(cell, by), set()).add(session)
    groups = [
        Group(key or None, len(had_turns.get(key, ())) + each.once, each)
        for key, each in sorted(amounts.items())
    ]
    kept = set().union(*had_turns.values())
    return Report(by, groups, Group(None, len(kept) + total.once, total))
