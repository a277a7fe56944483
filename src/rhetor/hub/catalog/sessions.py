"""Sessions as rows of the catalog, and how they begin."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from msgspec.structs import replace

from rhetor.domain.event import SessionStateChanged
from rhetor.domain.peer import Peer
from rhetor.domain.session import Session
from rhetor.errors import StateConflict
from rhetor.hub.core.ids import Ids
from rhetor.store.base import Draft, Expect, Row, Store

CALLER = "caller"  # the folder of a program that runs where its caller is
CWD = "cwd"  # in a session's metadata: the folder of its program
IMPORTED = "imported"  # in a session's metadata: where the conversation was held before


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
    """A session that is not in the store yet.

    `ttl`: it expires when it was not used for so many seconds; None: never. `cwd`: the folder of the program
    that runs for it.
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
    """The session in which an owner talks to a program without naming one.

    There is one for each folder (`cwd`) if the program runs in its caller's folder.
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
    return peer.program is not None and peer.program.cwd == CALLER


def standing_id(owner: str, peer: Peer, cwd: str | None) -> str:
    return f"{owner}/{peer.name}" + (f"/{cwd}" if cwd else "")


def session_row(session: Session) -> Row:
    """The row of a session. A session that is over gives its name free."""
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
    """The session of a row; its `version` is the row's, whatever the document says."""
    return replace(msgspec.json.decode(row.doc, type=Session), version=row.version)


def unchanged(session: Session) -> Expect:
    """The condition that the session is still as it was read."""
    return Expect("session", session.id, version=session.version)
