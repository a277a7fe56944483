"""Passes a running turn on to another peer, and tells each peer of a conversation what it does not know.

The session keeps its own peer, which answers the next turn. A coding agent remembers only what it was part
of. So for each agent of such a conversation, the session notes the last turn that it knows (`heard`), and the
agent is told the later ones before its next message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.peer import Peer
from rhetor.domain.session import Session
from rhetor.drivers.base import PastMessage
from rhetor.hub.catalog.programs import memory_of
from rhetor.hub.catalog.sessions import session_of, session_row, unchanged
from rhetor.hub.core.commits import commit_until_accepted, until_accepted, until_unchanged
from rhetor.hub.programs.lifecycle import instance_key

from .attachments import with_attachments
from .attribution import Retelling, most_recent
from .given import logged_past
from .pauses import turn_row
from .pending import PendingRequests

if TYPE_CHECKING:
    from rhetor.hub.state import State
    from rhetor.store.base import Spoken

TOLD_MESSAGES = 1000  # of an earlier conversation that an agent is told


async def pass_on(state: State, pending: PendingRequests, peer: Peer, other: Peer) -> None:
    """Store that `other` answers the running turn instead of `peer`."""
    if peer.remembers:
        await until_unchanged(
            lambda: until_accepted(lambda: _note_known(state, pending, peer), pending.stream)
        )
    row = replace(await turn_row(state, pending), peer=other.name).row()
    await commit_until_accepted(state.store, pending.stream, [], [row])


async def _note_known(state: State, pending: PendingRequests, peer: Peer) -> None:
    """Note that the agent knows the conversation up to the running turn."""
    row = await state.store.get("session", pending.stream)
    session = session_of(row) if row is not None else None  # None: a step of a plan, which has no history
    if session is None or peer.name in session.heard:
        return
    last = await state.store.spoken(session.id, 1)
    heard = {**session.heard, peer.name: last[-1].turn_id if last else ""}
    rows = [session_row(replace(session, heard=heard))]
    await state.store.commit(session.id, [], rows=rows, expects=[unchanged(session)])


def after_answer_of(session: Session, peer: str, turn_id: str) -> Session:
    """Return the session after a peer has answered a turn: the peer knows the conversation up to that turn.

    The session's own peer, and a peer that gets the history with each message, need no note.
    """
    heard = {name: turn for name, turn in session.heard.items() if name != peer}
    if peer != session.peer:
        heard[peer] = turn_id
    return session if heard == session.heard else replace(session, heard=heard)


async def past_for(
    state: State, session: Session, peer: Peer, pending: PendingRequests
) -> Sequence[PastMessage]:
    """Return the earlier messages that the peer is to get with the next one, and set in `pending` why they
    are told if the peer is an agent."""
    pending.retells = await _why_told(state, session, peer)
    is_guest = peer.name != session.peer and not peer.reads_plain
    window = TOLD_MESSAGES if pending.retells or is_guest else session.context_window
    if not window:
        return ()
    if session.given and not pending.retells and not (peer.remembers and not is_guest):
        past = await logged_past(state, session, window, whole=not peer.remembers)
        return most_recent(past) if is_guest else past
    spoken = await until_accepted(lambda: state.store.spoken(session.id, window), session.id)
    if pending.retells == "missed":
        known = session.heard[peer.name]
        spoken = [one for one in spoken if one.turn_id > known]  # ids sort in the order of the turns
    past = [_past_message(one) for one in spoken]
    if session.attached:
        past = await with_attachments(state, spoken, past, whole=not peer.remembers)
    return most_recent(past) if is_guest else past


async def _why_told(state: State, session: Session, peer: Peer) -> Retelling | None:
    is_own = peer.name == session.peer
    if not peer.remembers or (is_own and not session.retold and peer.name not in session.heard):
        return None
    memory = await memory_of(state.store, instance_key(state, peer, session.id))
    if not state.program_drivers[peer.driver].remembers(memory):
        return "restored" if is_own else "taken over"
    if peer.name in session.heard:
        return "missed"
    return None if is_own else "taken over"


def _past_message(spoken: Spoken) -> PastMessage:
    return PastMessage("assistant" if spoken.role == "assistant" else "user", spoken.content)
