"""The open sessions of one caller, kept in memory while they are watched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from rhetor.hub.catalog.sessions import OPEN, session_of
from rhetor.store.base import Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

MOST = 100_000


class Brief(Struct, frozen=True, gc=False):
    """What is kept of a session. `project`: None if it belongs to none."""

    peer: str
    name: str | None
    project: str | None


class OwnSessions:
    """The sessions of `subject` that have not ended. `state.live.rows` must be watched while this is used.
    `counts`: how many there are, by peer."""

    def __init__(self, state: State, subject: str) -> None:
        self.counts: Mapping[str, int] = {}
        self._state = state
        self._subject = subject
        self._open: dict[str, Brief] = {}
        self._read_at = -1

    async def refresh(self) -> None:
        """Take over what has changed since the last call."""
        rows = self._state.live.rows
        moment, changed = rows.now, rows.since(self._read_at)
        is_other = changed is None
        if changed is None:
            found = await self._state.store.find(
                "session", owner=self._subject, state=OPEN, limit=MOST, newest=True
            )
            self._open = {row.id: _brief(row) for row in found}
            changed = rows.since(moment) or {}  # while the others were read
        self._read_at = moment
        for id, row in reversed(changed.items()):
            is_open = row is not None and row.owner == self._subject and row.state in OPEN
            now = _brief(row) if row is not None and is_open else None
            is_other |= now != self._open.get(id)
            if now is not None:
                self._open[id] = now
            else:
                self._open.pop(id, None)
        if is_other:
            self.counts = Counter(each.peer for each in self._open.values())

    def of_project(self, name: str) -> list[str]:
        return [id for id, each in self._open.items() if each.project == name]

    def name_of(self, id: str) -> str | None:
        """Return the name of an open session, if it has one."""
        found = self._open.get(id)
        return found.name if found else None


def _brief(row: Row) -> Brief:
    session = session_of(row)
    return Brief(session.peer, session.name, session.project_id)
