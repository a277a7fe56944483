"""A message as it is offered to a session: what is committed for it when it is taken in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rhetor.domain.command import Principal, SendMessage
from rhetor.domain.event import MessageAccepted, Payload, SessionStateChanged, TurnQueued, TurnStarted
from rhetor.domain.peer import Peer
from rhetor.domain.routing import Match
from rhetor.domain.session import Session, SessionState
from rhetor.domain.turn import TurnState
from rhetor.store.base import Draft, Expect

from .contexts import Taken
from .rows import TurnRow
from .runner import waiting_turns

if TYPE_CHECKING:
    from .state import State

Mark = tuple[str, str, str]  # kind, id, state


@dataclass(frozen=True, slots=True)
class Offer:
    """A message as it would be taken in now: in which session, and what goes with it. `fulfils`: a row of the
    catalog that is dropped with it."""

    session: Session
    peer: Peer
    match: Match | None
    message: MessageAccepted
    taken: Taken
    fulfils: Mark | None

    @property
    def still_due(self) -> list[Expect]:
        if self.fulfils is None:
            return []
        kind, id, state = self.fulfils
        return [Expect(kind, id, frozenset({state}))]

    @property
    def dropped(self) -> list[tuple[str, str]]:
        return [self.fulfils[:2]] if self.fulfils else []


def opens_session(command: SendMessage, peer: Peer) -> bool:
    """Whether the message begins a session; one for a program without any goes to its standing one."""
    stands = peer.program is not None and command.context_window is None
    return command.session_id is None and not stands


async def drafts_of(
    state: State, principal: Principal, command: SendMessage, offer: Offer, direct: bool
) -> tuple[TurnRow, list[Draft]]:
    """The turn and its first events. `direct`: it runs at once, else behind those that wait."""
    turn_id, session, peer = state.ids.new("t"), offer.session, offer.peer
    payloads: list[Payload] = [*offer.taken.payloads, offer.message]
    if direct:
        payloads.append(TurnStarted(peer.name))
    else:
        before = len(await waiting_turns(state, session.id)) + (session.state is SessionState.ACTIVE)
        payloads.append(TurnQueued(before))
    head = None if opens_session(command, peer) else await state.store.head(session.id)
    drafts = [Draft(payload, turn_id) for payload in payloads]
    if head is None:
        drafts.insert(0, Draft(SessionStateChanged(session.state)))
    began = TurnState.RUNNING if direct else TurnState.ACCEPTED
    turn = TurnRow(
        turn_id,
        session.id,
        peer.name,
        began,
        principal.subject,
        offer.message.message_id,
        head.head if head else 0,
        at=state.ids.now(),
    )
    return turn, drafts
