"""Sessions as catalog rows, and how sessions are created."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from msgspec.structs import replace

from rhetor.domain.event import SessionStateChanged
from rhetor.domain.peer import Peer
from rhetor.domain.session import TAKES_MESSAGES, Session, SessionState
from rhetor.errors import StateConflict
from rhetor.hub.core.ids import Ids
from rhetor.store.base import Draft, Expect, Row, Store

CALLER = "caller"  # a program's `cwd`, if the program runs in its caller's folder
CWD = "cwd"  # key in a session's metadata: the folder of its program
ANSWERED = "answered"  # state of the row of a session that ended with the answer to its only message
OPEN = tuple(sorted(TAKES_MESSAGES))  # states of the rows of sessions that have not ended
IMPORTED = "imported"  # key in a session's metadata: where the conversation was imported from


def open_session(
    ids: Ids,
    owner: str,
    peer: str,
    *,
    context_window: int,
    ttl: float | None,
    once: bool = False,
    name: str | None = None,
    cwd: str | None = None,
) -> Session:
    """Return a new session. The caller commits it.

    `ttl`: seconds without use after which the session expires, or None if it never expires. `once`: the
    session ends with its first turn. `cwd`: the folder of the program that runs for the session.
    """
    now = ids.now()
    return Session(
        ids.new("s"),
        peer,
        owner,
        now,
        now,
        ttl=ttl,
        context_window=context_window,
        once=once,
        name=name,
        metadata={CWD: cwd} if cwd else {},
    )


async def standing_session(store: Store, ids: Ids, owner: str, peer: Peer, cwd: str | None = None) -> Session:
    """Return the owner's default session with a program, and create it if there is none.

    If the program runs in its caller's folder, there is one default session for each folder (`cwd`).

    Raises:
        StoreRefused: the store rejected the commit; nothing was stored.
    """
    if not runs_at_caller(peer):
        cwd = None
    id = standing_id(owner, peer, cwd)
    while True:
        kept = await store.get("standing", id)
        row = await store.get("session", kept.parent) if kept else None
        if row is not None and session_of(row).takes_messages:
            return session_of(row)
        session = open_session(ids, owner, peer.name, context_window=0, ttl=None, cwd=cwd)
        link = Row("standing", id, "open", b"{}", owner=owner, parent=session.id, at=ids.now())
        before = kept.unchanged if kept else link.unchanged
        drafts = [Draft(SessionStateChanged(session.state))]
        with suppress(StateConflict):  # another caller opened it at the same time
            await store.commit(session.id, drafts, expects=[before], rows=[session_row(session), link])


def runs_at_caller(peer: Peer) -> bool:
    """Whether the peer's program runs in its caller's folder."""
    return peer.program is not None and peer.program.cwd == CALLER


def standing_id(owner: str, peer: Peer, cwd: str | None) -> str:
    """Return the id of the catalog row that names the owner's default session with the peer."""
    return f"{owner}/{peer.name}" + (f"/{cwd}" if cwd else "")


def session_row(session: Session) -> Row:
    """Return the catalog row of a session. A session that has ended releases its name."""
    is_answered = session.once and session.state is SessionState.EXPIRED
    return Row(
        "session",
        session.id,
        ANSWERED if is_answered else session.state,
        msgspec.json.encode(session),
        owner=session.owner,
        parent=session.peer,
        name=session.name if session.takes_messages else None,
        at=session.used_at,
    )


def session_of(row: Row) -> Session:
    """Decode the session of a row. Its `version` is the version of the row."""
    return replace(msgspec.json.decode(row.doc, type=Session), version=row.version)


def unchanged(session: Session) -> Expect:
    """Return the condition that the session has not changed since it was read."""
    return Expect("session", session.id, version=session.version)
