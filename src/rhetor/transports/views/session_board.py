"""The sessions that have changed lately, of all callers, encoded once for all subscriptions."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from typing import Any

import msgspec
from msgspec import Raw, Struct

from rhetor.domain.principal import READ, Principal
from rhetor.domain.session import Session, SessionState
from rhetor.domain.titles import title_of
from rhetor.hub.catalog.sessions import ANSWERED, session_of
from rhetor.hub.core.changes import Changes
from rhetor.hub.sessions import sessions
from rhetor.hub.state import State
from rhetor.store.base import Row
from rhetor.transports.server.call import Viewer

from .board import Board, ListWatch
from .sessions import described_as

MOST = 500  # sessions that a subscription begins with
HEAD_SECONDS = 1.0  # if a session has new events and nothing else has changed, that is shown so often


class Item(Struct, frozen=True):
    """A session as it is shown: `shown` as JSON, and `rest` without its head. `subjects`: with whom it is
    shared. `at`: when it was read, in seconds of the loop's clock."""

    session: Session
    state: SessionState
    title: str | None
    subjects: tuple[str, ...]
    shown: bytes
    rest: bytes
    at: float

    def is_like(self, other: Item) -> bool:
        """Return whether a client sees no difference, apart from the head."""
        return (self.rest, self.subjects) == (other.rest, other.subjects)


class SessionBoard(Board[Item]):
    """Each session as `GET /api/v2/sessions` returns it. Only those that were added, or have changed since
    the first subscription began, are in the list."""

    def __init__(self, state: State) -> None:
        super().__init__("sessions")
        self._state = state
        self._live = state.live
        self._read_at = self._rows_read_at = self._said_read_at = -1
        self._timer: asyncio.TimerHandle | None = None
        self._delayed: set[str] = set()

    @property
    def changes(self) -> Changes[Any]:
        return self._live.sessions

    def enter(self, watching: ExitStack) -> None:
        super().enter(watching)
        watching.enter_context(self._live.rows.watched())
        watching.enter_context(self._live.said.watched())
        watching.callback(self._forget_delayed)
        self._read_at, self._rows_read_at, self._said_read_at = self._moments

    def audiences(self, item: Item) -> Collection[str]:
        return item.session.owner, *item.subjects

    async def list_first(
        self, who: Principal, states: Collection[SessionState]
    ) -> tuple[list[tuple[str, Item]], bool]:
        """Add the sessions that a caller's list begins with, and return them, and whether there are more.

        Raises:
            StoreRefused: they cannot be read now.
        """
        async with self.reading:
            listed = await sessions.listed(self._state, who, states=states, limit=MOST + 1)
            first = {session.id: session for session in listed[:MOST]}
            new = {id: each for id, each in first.items() if self.value_of(id) is None}
            last = await self._state.store.last_messages([*new])
            made = {id: await self._item(each, title_of(last.get(id, ""))) for id, each in new.items()}
            self.add(made)
        found = [(id, item) for id in first if (item := self.value_of(id)) is not None]
        return found, len(listed) > MOST

    async def read(self) -> None:
        moments = self._moments
        changed, rows = self._live.sessions.since(self._read_at), self._live.rows.since(self._rows_read_at)
        said = self._live.said.since(self._said_read_at)
        ids = self.ids if None in (changed, rows, said) else [id for id in changed or () if _is_session(id)]
        await self._take({id: await self._session(id, rows) for id in ids}, said)
        self._read_at, self._rows_read_at, self._said_read_at = moments

    @property
    def _moments(self) -> tuple[int, int, int]:
        return self._live.sessions.now, self._live.rows.now, self._live.said.now

    async def _session(self, id: str, rows: Mapping[str, Row | None] | None) -> Session | None:
        """Return a session that lists show. `rows`: those that have changed; None if any may have."""
        item = self.value_of(id)
        if rows is not None and id not in rows and item is not None:
            return item.session
        row = rows[id] if rows is not None and id in rows else await self._state.store.get("session", id)
        return None if row is None or row.state == ANSWERED else session_of(row)

    async def _take(self, found: Mapping[str, Session | None], said: Collection[str] | None) -> None:
        """Put the sessions as they are now. `said`: those whose last message may be another one; None if that
        of each may be."""
        old = {id: self.value_of(id) for id in found}
        unknown = [id for id, item in old.items() if item is None or said is None or id in said]
        last = await self._state.store.last_messages([id for id in unknown if found[id] is not None])
        items: dict[str, Item | None] = {}
        for id, session in found.items():
            before = old[id]
            if session is None:
                items[id] = None
                continue
            is_known = before is not None and id not in unknown
            title = before.title if before is not None and is_known else title_of(last.get(id, ""))
            item = await self._item(session, title)
            if before is None or not item.is_like(before):
                items[id] = item
            elif item.shown != before.shown:
                if item.at - before.at >= HEAD_SECONDS:
                    items[id] = item
                else:
                    self._delay(id)
        self.put(items)

    async def _item(self, session: Session, title: str | None) -> Item:
        shown = await described_as(self._state, session, title)
        head, cursor = shown.pop("head"), shown.pop("cursor")
        subjects = tuple(share.subject for share in self._state.shares.of_session(session.id))
        rest, place = msgspec.json.encode(shown), msgspec.json.encode({"head": head, "cursor": cursor})
        now = asyncio.get_running_loop().time()
        return Item(session, shown["state"], title, subjects, rest[:-1] + b"," + place[1:], rest, now)

    def _delay(self, id: str) -> None:
        """Read a session again when it is time to show its head."""
        self._delayed.add(id)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._note_delayed)

    def _note_delayed(self) -> None:
        delayed = self._delayed
        self._forget_delayed()
        for id in delayed:
            self._live.sessions.note(id, None)

    def _forget_delayed(self) -> None:
        self._delayed = set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _is_session(stream: str) -> bool:
    return stream.startswith("s_")


class SessionWatch(ListWatch[Item]):
    """The sessions of one subscription: the caller's own, and those that are shared with the caller.
    `states`: only those in one of these states; empty for all."""

    method = "sessions"

    def __init__(self, viewer: Viewer, states: Collection[SessionState]) -> None:
        super().__init__(viewer.who.subject)
        self._viewer = viewer
        self._states = frozenset(states)

    def find_board(self) -> SessionBoard:
        board: SessionBoard | None = self._viewer.node.components.get("session board")
        if board is None or not board.is_kept:
            board = self._viewer.node.components["session board"] = SessionBoard(self._viewer.hub.state)
        return board

    async def read_first(self) -> dict[str, Any]:
        board = self.board
        assert isinstance(board, SessionBoard)
        found, more = await board.list_first(self._viewer.who, self._states)
        self.known = {id for id, _ in found}
        return {"sessions": [Raw(item.shown) for _, item in found], "more": more}

    def shown(self, id: str, value: Item) -> bytes | None:
        subject = self._viewer.who.subject
        is_visible = value.session.owner == subject or self._viewer.hub.state.shares.allows(id, subject, READ)
        return value.shown if is_visible and (not self._states or value.state in self._states) else None
