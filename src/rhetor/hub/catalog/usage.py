"""What turns used, as catalog rows: one for each day, peer, model, project and caller.

A commit that logs usage or a turn's end adds to these rows, so the events and the sums are stored together or
not at all. A session that is kept has a row for each day and model with which it had a turn; from these,
sessions are counted. Sessions for a single message are only added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import starmap
from typing import get_args

import msgspec
from msgspec.structs import astuple, replace

from rhetor.domain.event import Payload, TurnEnd, TurnStarted, UsageReported
from rhetor.domain.session import Session
from rhetor.domain.usage import Amounts, Cell, Counted, Source, Turns, TurnUsage, count, day_of, start_of
from rhetor.store.base import Addition, Catalog, Row

from .recent_tokens import RecentTokens

KIND, SESSION = "usage", "usage_session"
MOST_WRITTEN = 100_000  # rows of sessions that are known to be in the catalog
MOST_TOTALS = 1_000
# a run commits the start of a turn only if it passes the turn on to another peer
_COUNTED = frozenset((TurnStarted, UsageReported, *get_args(TurnEnd)))
_amounts = msgspec.json.Decoder(Amounts).decode


class Spent(msgspec.Struct, frozen=True):
    """What to commit with events that report usage or end a turn. `at`: their time, Unix time in
    milliseconds."""

    adds: Sequence[Addition] = ()
    rows: Sequence[Row] = ()
    counted: Counted | None = None
    at: int = 0


NOTHING = Spent()


class Usage:
    """Counts what turns use. If it was loaded, it also has the sums of the current month in memory.
    `recent`: what was used within the last hour, if there is a limit for that."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._written: set[str] = set()
        self._month: dict[Cell, Amounts] | None = None
        self._totals: dict[tuple[str, str, str], Amounts] = {}
        self.recent = RecentTokens()

    async def load(self, catalog: Catalog, now: int) -> None:
        """Read the sums of the current month, so that `total` returns them. `now`: Unix time in
        milliseconds."""
        rows = await catalog.documents(KIND, parent=day_of(now)[:7])
        self._month = dict(starmap(amounts_of, rows))

    def mirror(self, id: str, row: Row | None) -> None:
        """Use a row of the sums as it is stored. None: it was dropped."""
        if self._month is None:
            return
        cell = Cell.parse(id)
        if row is None:
            self._month.pop(cell, None)
        else:
            self._month[cell] = _amounts(row.doc)
        self._totals = {key: total for key, total in self._totals.items() if not _matches(cell, key)}

    def total(self, by: str, name: str, since: str) -> Amounts:
        """Return what was used since a day of the current month, of which the first event may be in this
        hub.

        `by`: `peer`, `model`, `project` or `caller`; empty for everything. `name`: the one that is meant.
        `since`: the day in UTC, as `2026-11-30`. `load` must have been called.
        """
        key = (by, name, since)
        if key not in self._totals:
            if len(self._totals) >= MOST_TOTALS:
                self._totals.clear()
            cells = self._month or {}
            found = (amounts for cell, amounts in cells.items() if _matches(cell, key))
            self._totals[key] = sum(found, Amounts())
        return self._totals[key]

    def resume(self, turn_id: str, turn: TurnUsage) -> None:
        """Note what an earlier hub logged of a turn."""
        self._turns.put(turn_id, turn)

    def count(
        self, source: Source, turn_id: str | None, payloads: Iterable[Payload], at: int, *, running: bool
    ) -> Spent:
        """Return what to commit with these payloads of a turn.

        `at`: their time, Unix time in milliseconds. `running`: the turn has started, and its end is not in
        the log.
        """
        known = self._turns.get(turn_id)
        turn = replace(known, started=True) if running else known
        counted = count(source, turn, payloads, day_of(at))
        adds = [*additions(counted.amounts), *self.recent.additions(counted.amounts, at)]
        return Spent(adds, self._rows(source, counted.sessions), counted, at)

    def stored(self, turn_id: str | None, spent: Spent) -> None:
        """Note that the commit was made."""
        if spent.counted is None:
            return
        self._turns.put(turn_id, spent.counted.turn)
        if len(self._written) > MOST_WRITTEN:
            self._written.clear()
        self._written.update(row.id for row in spent.rows)
        self.recent.note(spent.counted.amounts, spent.at)
        if self._month is not None:
            for cell, more in spent.counted.amounts.items():
                self._month[cell] = self._month.get(cell, Amounts()) + more
                for key, total in self._totals.items():
                    if _matches(cell, key):
                        self._totals[key] = total + more

    def _rows(self, source: Source, cells: Sequence[Cell]) -> list[Row]:
        if not cells:
            return []
        rows = [session_row(source.session, cell) for cell in cells]
        return [row for row in rows if row.id not in self._written]


class Meter:
    """Counts what one turn uses. Call `count` for each attempt to commit, and `stored` when it was made."""

    def __init__(self, usage: Usage, source: Source, turn_id: str, clock: Callable[[], int]) -> None:
        self._usage = usage
        self._source = source
        self._turn_id = turn_id
        self._clock = clock
        self._spent = NOTHING

    def time_of(self, payloads: Iterable[Payload]) -> int | None:
        """Return the time that these events must have, so that they and the sums agree on the day, as Unix
        time in milliseconds. None: nothing of them is counted, and the time of the commit will do."""
        return None if _COUNTED.isdisjoint(map(type, payloads)) else self._clock()

    def count(self, payloads: Iterable[Payload], at: int | None, *, once: bool = False) -> Spent:
        """Return what to commit with these payloads of the turn. `at`: as `time_of` returned it. `once`: the
        session was opened for one message, and ends with it."""
        self._spent = NOTHING
        if at is not None:
            source = replace(self._source, once=True) if once else self._source
            self._spent = self._usage.count(source, self._turn_id, payloads, at, running=True)
        return self._spent

    def stored(self) -> None:
        """Note that the last attempt succeeded."""
        self._usage.stored(self._turn_id, self._spent)
        self._spent = NOTHING


def source_of(session: Session) -> Source:
    """Return whose usage that of a session is. Whether it is for one message is known only at its end."""
    return Source(session.peer, session.owner, session.project_id or "", session.id)


def additions(amounts: Mapping[Cell, Amounts]) -> list[Addition]:
    """Return what to commit to add these amounts to their rows."""
    return [
        Addition(KIND, cell.id, astuple(more), cell.caller, cell.day[:7], start_of(cell.day))
        for cell, more in amounts.items()
    ]


def session_row(session: str, cell: Cell) -> Row:
    """Return the row that says that a session had a turn on a day and with a model."""
    id = f"{session}/{cell.day}/{cell.model}"
    return Row(SESSION, id, "kept", cell.id.encode(), cell.caller, cell.day[:7], at=start_of(cell.day))


def amounts_of(id: str, doc: bytes) -> tuple[Cell, Amounts]:
    """Decode a row of sums."""
    return Cell.parse(id), _amounts(doc)


def session_of(id: str, doc: bytes) -> tuple[str, Cell]:
    """Decode a row of a session: its id, and where it had a turn."""
    return id.partition("/")[0], Cell.parse(doc)


def _matches(cell: Cell, key: tuple[str, str, str]) -> bool:
    by, name, since = key
    return cell.day >= since and (not by or getattr(cell, by) == name)
