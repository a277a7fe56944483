"""A session as it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.command import Principal
from rhetor.domain.event import SessionStateChanged
from rhetor.domain.peer import Peer
from rhetor.domain.session import Session
from rhetor.errors import StateConflict
from rhetor.store.base import Draft, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

CALLER = "caller"  # of a program that runs where who launches it is

CWD = "cwd"
IMPORTED = "imported"  # where a conversation was held before, in its metadata


def open_session(
    state: State,
    principal: Principal,
    peer: str,
    *,
    context_window: int,
    once: bool = False,
    name: str | None = None,
    ttl: float | None = None,
    endless: bool = False,
    cwd: str | None = None,
) -> Session:
    """A session that is not in the store yet. One that has a name has no end of its own. `cwd`: where a
    program of its own runs, in its metadata."""
    now = state.ids.now()
    if ttl is None and name is None and not endless:
        ttl = state.limits.session_ttl
    return Session(
        state.ids.new("s"),
        peer,
        principal.subject,
        now,
        now,
        ttl=ttl,
        context_window=context_window,
        once=once,
        name=name,
        metadata={CWD: cwd} if cwd else {},
    )


async def standing_session(state: State, owner: str, peer: Peer, cwd: str | None = None) -> Session:
    """The session in which an owner talks to a program without naming one: one for each folder (`cwd`) where
    the program runs in its caller's."""
    if not _runs_at_caller(peer):
        cwd = None
    id = _standing_id(owner, peer, cwd)
    kept = await state.store.get("standing", id)
    row = await state.store.get("session", kept.parent) if kept else None
    if row is not None and session_of(row).takes_messages:
        return session_of(row)
    session = open_session(state, Principal(owner), peer.name, context_window=0, endless=True, cwd=cwd)
    mark = Row("standing", id, "open", b"{}", owner=owner, parent=session.id, at=state.ids.now())
    before = kept.unchanged if kept else mark.unchanged
    try:
        drafts = [Draft(SessionStateChanged(session.state))]
        await state.store.commit(session.id, drafts, expects=[before], rows=[session_row(session), mark])
    except StateConflict:  # somebody opened it at the same time
        return await standing_session(state, owner, peer, cwd)
    return session


def _runs_at_caller(peer: Peer) -> bool:
    return peer.program is not None and peer.program.cwd == CALLER


def _standing_id(owner: str, peer: Peer, cwd: str | None) -> str:
    return f"{owner}/{peer.name}" + (f"/{cwd}" if cwd else "")


def session_row(session: Session) -> Row:
    """One that is over has given its name free: another one may have it."""
    return Row(
        "session",
        session.id,
        session.state,
        msgspec.json.encode(session),
        owner=session.owner,
        parent=session.peer,
        name=session.name if session.takes_messages else None,
        at=session.used_at,
    )


def session_of(row: Row) -> Session:
    return msgspec.json.decode(row.doc, type=Session)
