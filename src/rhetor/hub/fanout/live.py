"""What is going on now, for those who watch it: which peers and sessions have changed, and which turns are
queued."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from rhetor.domain.project import PROJECT
from rhetor.domain.turn import UNSTARTED
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.core.changes import Changes
from rhetor.hub.core.notifier import Notifier
from rhetor.store.base import Catalog, Row

_WAITING = tuple(sorted(UNSTARTED))
MOST_QUEUED = 100_000


class Live:
    """The changes of one hub, each noted after it can be read.

    `peers`: the names of peers, teams and terminals, and `project:` for all projects. `sessions`: the ids of
    sessions and other streams in which anything has changed. `said`: those in which a message may have come
    or was answered. `rows`: the ids of sessions whose rows have changed, with the rows, or None if they were
    dropped. `board_changed`: what other nodes show of this one may have changed.
    """

    def __init__(self) -> None:
        self.board_changed = Notifier()
        self.peers: Changes[None] = Changes()
        self.sessions: Changes[None] = Changes()
        self.said: Changes[None] = Changes()
        self.rows: Changes[Row | None] = Changes()
        self._queued: dict[str, Row] = {}

    async def load(self, catalog: Catalog) -> None:
        """Read the turns that wait. Call it once, when the hub starts."""
        for row in await catalog.find("turn", state=_WAITING, limit=MOST_QUEUED):
            self._queued[row.id] = row

    @property
    def queued(self) -> Iterable[TurnRow]:
        """The accepted turns that have not started, in the order in which they were accepted."""
        return map(TurnRow.of, list(self._queued.values()))

    def turn_changed(self, stream: str, *peers: str) -> None:
        """Note that a turn of these peers began, ended, or does something else now."""
        self.peer_changed(*peers)
        self.sessions.note(stream, None)

    def peer_changed(self, *names: str) -> None:
        self.board_changed.notify()
        for name in names:
            self.peers.note(name, None)

    def everything_changed(self) -> None:
        """Note that the peers have changed, and so the sessions with them may have."""
        self.board_changed.notify()
        self.peers.note_all()
        self.sessions.note_all()

    def missed(self) -> None:
        """Note that other nodes may have changed anything."""
        self.everything_changed()
        self.said.note_all()
        self.rows.note_all()

    def committed(self, stream: str, rows: Sequence[Row], dropped: Sequence[tuple[str, str]]) -> None:
        """Note a commit. Call it when the commit is durable, before its caller continues."""
        for row in rows:
            if row.kind == "turn":
                self._note_turn(row)
        if self.is_watched:
            # after the commit's caller has changed what it keeps in memory
            asyncio.get_running_loop().call_soon(self._note, stream, rows, dropped)

    def changed_elsewhere(self, streams: Iterable[str]) -> None:
        """Note that another node has changed these streams."""
        for stream in streams:
            self.sessions.note(stream, None)

    def mirror(self, kind: str, id: str, row: Row | None) -> None:
        """Note that another node has changed a row, or dropped it if it is None. Call this after everything
        else that the row changes in memory."""
        if kind == "turn":
            if row is None:
                self._queued.pop(id, None)
            else:
                self._note_turn(row)
        if self.is_watched:
            self._note_rows([] if row is None else [row], [(kind, id)] if row is None else [])

    @property
    def is_watched(self) -> bool:
        return self.peers.is_watched or self.sessions.is_watched

    @property
    def queued_ids(self) -> list[str]:
        """The ids of the accepted turns that have not started."""
        return list(self._queued)

    def _note_turn(self, row: Row) -> None:
        if row.state in UNSTARTED:
            self._queued[row.id] = row
        else:
            self._queued.pop(row.id, None)

    def _note(self, stream: str, rows: Sequence[Row], dropped: Sequence[tuple[str, str]]) -> None:
        self.sessions.note(stream, None)
        self._note_rows(rows, dropped)

    def _note_rows(self, rows: Sequence[Row], dropped: Sequence[tuple[str, str]]) -> None:
        for row in rows:
            if row.kind == "turn":
                self.peers.note(TurnRow.of(row).peer, None)
                self.said.note(row.parent, None)
            elif row.kind == "session":
                self.rows.note(row.id, row)
                self.peers.note(row.parent, None)
                self.sessions.note(row.id, None)
            else:
                self._note_place(row.kind, row.id)
        for kind, id in dropped:
            self._note_place(kind, id)

    def _note_place(self, kind: str, id: str) -> None:
        match kind:
            case "forward" | "purpose":  # their ids begin with their owners
                self.peers.note(id.rpartition("/")[2], None)
            case "terminal":
                self.peers.note(id, None)
            case "project":
                self.peers.note(PROJECT, None)
            case "share":
                self.sessions.note(id.partition("/")[0], None)
            case "session":  # it was dropped
                self.rows.note(id, None)
                self.sessions.note(id, None)
