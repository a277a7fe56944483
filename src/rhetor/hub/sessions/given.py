"""Finds the session that a given conversation continues, and what to commit with its message.

A session is found by the hash of what was said before the new messages. The row with that hash is dropped in
the commit that accepts the message, so of two messages that continue the same conversation, the second begins
a new session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from rhetor.domain.command import SendMessage
from rhetor.domain.event import ContextInjected
from rhetor.domain.given_text import names_of, shown
from rhetor.domain.lines import LINE, LINE_PEER, is_line
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session
from rhetor.domain.socket import TEAM
from rhetor.domain.timestamps import timestamp
from rhetor.errors import Forbidden, NotFound, Unprocessable
from rhetor.hub.catalog.given import (
    CONTINUATION,
    KIND,
    OPEN,
    Continuation,
    Given,
    GivenTurn,
    changes,
    continuation_of,
    given_of,
    given_row,
    stored_given,
)
from rhetor.hub.catalog.responses import response_row
from rhetor.hub.catalog.sessions import session_of
from rhetor.hub.turns.attribution import most_recent
from rhetor.hub.turns.given import TOLD_MESSAGES, id_of, names_in, past_of, takes_given
from rhetor.hub.turns.given_size import thinking
from rhetor.store.base import Expect, Row

from . import uploads
from .given_store import Stored, continuation_row, require_no_tools
from .states import sendable_session

if TYPE_CHECKING:
    from rhetor.hub.state import State

INSTRUCTIONS, EARLIER = "the client's instructions", "the earlier conversation"
LEFT_OUT = "(Earlier messages are left out.)"


class Placed(msgspec.Struct, frozen=True):
    """Where a given conversation continues. `command`: the message to that session, or to a new one. `found`:
    the id of the row by which the session was found, and the conversation that it has; None if it has no such
    beginning."""

    stored: Stored
    command: SendMessage
    found: tuple[str, Continuation] | None = None

    @property
    def line(self) -> str:
        """The line that is to answer; empty if a peer is."""
        return self.stored.given.target if is_line(self.stored.given.target) else ""

    @property
    def is_new(self) -> bool:
        return self.command.session_id is None

    @property
    def added(self) -> Given:
        """What is stored with the message's turn."""
        given = self.stored.given
        if self.found is None:
            return given if self.is_new else replace(given, logged=True)
        _, known = self.found
        changed = changes(given.messages, self.stored.exact, known.exact)
        if changed is None:
            return given
        kept = len(known.exact)
        return replace(given, after=known.turn, kept=kept, changed=changed, messages=given.messages[kept:])

    @property
    def turn(self) -> GivenTurn | None:
        """The conversation for a turn that starts now; None if it is to be read from the session's log."""
        given, stored = self.added, self.stored
        return None if given.logged else GivenTurn(given, stored.marked, stored.exact, stored.urls)


class Changes(msgspec.Struct, frozen=True):
    """What to commit with a message besides: rows to write and to drop, and conditions."""

    rows: list[Row]
    expects: list[Expect]
    drop: list[tuple[str, str]]


async def place(state: State, principal: Principal, stored: Stored) -> Placed:
    """Return where the conversation continues: in the session that the client names, in the one that has its
    beginning, or in a new one.

    Raises:
        NotFound, Forbidden: as `sendable_session`, if the client names a session.
    """
    given, command = stored.given, replace(stored.asked, given=UNSET)
    command = replace(command, content=command.content or await _shown(state, stored))
    if command.session_id is not None:
        session_id = (await sendable_session(state, principal, command.session_id)).id
        command = replace(command, session_id=session_id)  # the client may name it
        found_there = await _in_session(state, stored, session_id)
        if given.target.startswith("@") or is_line(given.target):
            command = replace(command, target=None)  # the session has its peer, whoever is the best now
        return Placed(stored, command, found_there)
    target = LINE_PEER if is_line(given.target) else command.target
    # a client expects the whole conversation to count, and the members of a team know only their own sessions
    window = TOLD_MESSAGES if given.target.startswith(TEAM) else state.limits.context_window
    new = Placed(stored, replace(command, target=target, context_window=window))
    row = await continuation_row(state, given.caller, given.target, given.before)
    session = await _own_session(state, principal, row.parent) if row is not None else None
    if row is None or session is None:
        return new
    found = continuation_of(row)
    if not await _is_last(state, session, found):
        return new
    return Placed(stored, replace(command, session_id=session.id, target=None), (row.id, found))


async def _shown(state: State, stored: Stored) -> str:
    """Return the text that readers of the log see, if the new messages have none."""
    names, session_id = names_of(stored.marked.messages), stored.asked.session_id
    if session_id is not None and any(result.call_id not in names for result in stored.returned):
        names |= await names_in(state, session_id)
    return shown(stored.marked.new, names)


async def _in_session(state: State, stored: Stored, session_id: str) -> tuple[str, Continuation] | None:
    given = stored.given
    for row in await state.store.find(CONTINUATION, parent=session_id):
        found = continuation_of(row)
        source = await stored_given(state.store, found.turn)
        if source is None or not given.before:
            continue
        if row.id == await id_of(state, given.caller, source.target, given.before):
            session = await _open_session(state, session_id)
            if session is not None and await _is_last(state, session, found):
                return row.id, found
    return None


async def _own_session(state: State, principal: Principal, session_id: str) -> Session | None:
    """Return the open session; None if it is another's, and not shared with the caller any more."""
    try:
        session = await sendable_session(state, principal, session_id)
    except (Forbidden, NotFound):
        return None
    return session if session.id == session_id and session.takes_messages else None


async def _open_session(state: State, session_id: str) -> Session | None:
    row = await state.store.get("session", session_id)
    session = session_of(row) if row is not None else None
    if session is None or not session.takes_messages or session.has_expired(state.ids.since):
        return None
    return session


async def _is_last(state: State, session: Session, found: Continuation) -> bool:
    """Return whether nothing was said in the session since, and it was not restored."""
    last = await state.store.find("turn", parent=session.id, limit=1, newest=True)
    head = await state.store.head(session.id)
    return bool(last) and last[0].id == found.turn and head is not None and head.epoch == found.epoch


def in_session(placed: Placed, session: Session) -> Session:
    """Return the session with what it is to know of the conversation.

    Raises:
        Unprocessable: a line is to answer, and the client names the session of a peer or of another line.
    """
    if placed.is_new and placed.line:
        session = replace(session, metadata={**session.metadata, LINE: placed.line})
    elif placed.line and session.metadata.get(LINE) != placed.line:
        belongs = session.metadata.get(LINE) or session.peer
        raise Unprocessable(f"session {session.id} belongs to {belongs}", session_id=session.id)
    return replace(session, given=True)


async def context_of(
    state: State, placed: Placed, peer: Peer, session: Session
) -> tuple[ContextInjected, ...]:
    """Return the context for a peer that gets only text: the client's system text if it is new, and the
    earlier messages if the session does not have them.

    Raises:
        Unprocessable: the client gives tools of its own, which such a peer cannot call; `data["param"]` is
            `tools`.
    """
    if peer.has_voice:
        return ()
    stored = placed.stored
    require_no_tools(stored.marked, peer)
    if takes_given(peer):
        return ()
    found: list[ContextInjected] = []
    metadata = {"timestamp": timestamp(state.ids.now())}
    system = "\n\n".join(text.text for text in stored.marked.system)
    if system.strip() and not await _knows(state, placed, session):
        found.append(ContextInjected((system,), {"source": INSTRUCTIONS, **metadata}))
    if placed.is_new and stored.marked.earlier:
        past = past_of(stored.marked.earlier)
        kept = most_recent(past)
        said = [f"{'Assistant' if one.role == 'assistant' else 'User'}: {one.content}" for one in kept]
        lines = [LEFT_OUT, *said] if len(kept) < len(past) else said
        found.append(ContextInjected(("\n\n".join(lines),), {"source": EARLIER, **metadata}))
    return tuple(found)


async def _knows(state: State, placed: Placed, session: Session) -> bool:
    """Return whether the session had the same system text with its last given message."""
    if placed.is_new:
        return False
    rows = await state.store.find(KIND, parent=session.id, limit=1, newest=True)
    texts = [id for id, _ in given_of(rows[0]).system] if rows else []
    return texts == [id for id, _ in placed.stored.given.system]


async def changes_of(
    state: State, principal: Principal, placed: Placed, session: Session, turn_id: str
) -> Changes:
    """Return what to commit so that the conversation is stored with the turn, and the session is no longer
    found by what it had before."""
    new = {part.blob_id for part in placed.stored.parts}
    kept = tuple(part for part in placed.stored.kept if part.blob_id not in new)
    rows, expects = uploads.rows_for(state, principal.subject, session.id, kept)
    added = placed.added
    doc = await thinking(placed.stored.marked, lambda: msgspec.json.encode(added))
    rows.append(given_row(doc, turn_id, session.id, session.owner, state.ids.now()))
    if about := placed.stored.asked.kept:
        shared, now = placed.stored.shared, state.ids.now()
        row = response_row(about, shared, turn_id, session.id, principal.subject, now)
        rows.append(replace(row, doc=state.secrets.mask_json(row.doc)) if state.secrets else row)
    drop = []
    if not placed.is_new:
        known = await state.store.find(CONTINUATION, parent=session.id)
        drop = [(row.kind, row.id) for row in known]
    if placed.found is not None:
        expects.append(Expect(CONTINUATION, placed.found[0], frozenset({OPEN})))
    return Changes(rows, expects, drop)
