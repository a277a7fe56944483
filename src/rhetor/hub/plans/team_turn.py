"""A team that answers as one peer: each member in a session of its own, each answer told when it is whole.

The members' turns are turns like all others; the team's turn says which they are, and what came of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any

from rhetor.domain.command import Principal, SendMessage
from rhetor.domain.event import (
    SessionStateChanged,
    StepDone,
    StepFailed,
    StepStarted,
    TurnCancelled,
    TurnCompleted,
    TurnEnd,
    TurnFailed,
    TurnInterrupted,
)
from rhetor.domain.output import Done, Output, Shared, Text
from rhetor.domain.peer import Peer
from rhetor.domain.session import Session
from rhetor.domain.socket import TEAM
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.errors import RhetorError, TurnFailure
from rhetor.hub.active import OpenRequests
from rhetor.hub.catalog.sessions import open_session, session_of, session_row
from rhetor.hub.catalog.turn_log import turn_end
from rhetor.hub.core.commits import until_unchanged
from rhetor.hub.sessions.send import Accepted, send
from rhetor.store.base import Draft, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

MEMBER, PARTING = "member", "\n\n"
MEMBER_TTL = 30 * 86_400.0  # seconds without use, after which a member begins anew
log = logging.getLogger(__name__)
Told = StepStarted | StepDone | StepFailed


class TeamConversation:
    """Made for one turn of a team's session."""

    def __init__(self, state: State, peer: Peer, requests: OpenRequests) -> None:
        self._state = state
        self._team = peer.name
        self._stream = requests.stream
        self._principal = Principal(requests.owner)
        self._via = requests.via
        self._running: dict[str, Accepted] = {}

    async def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        """`history` is not passed on: each member remembers its own."""
        names = self._state.peers.team(self._team.removeprefix(TEAM))
        told: asyncio.Queue[Told] = asyncio.Queue(2 * len(names))  # what each has to say fits
        tasks = [self._begin(name, message, told) for name in names]
        answered = ended = 0
        try:
            while ended < len(names):
                event = await told.get()
                yield Shared(event)
                if isinstance(event, StepStarted):
                    continue
                ended += 1
                text = self._shown(event, first=not answered)
                answered += isinstance(event, StepDone)
                yield text
        finally:
            self._leave(tasks)
        if not answered:
            raise TurnFailure("no member of the team answered", peer=self._team)
        yield Done()

    async def answer(self, id: str, value: Any) -> None:
        """Members ask in their own sessions."""

    async def interrupt(self) -> None:
        self._leave([])

    async def aclose(self) -> None: ...

    def _begin(self, name: str, message: Prompt, told: asyncio.Queue[Told]) -> asyncio.Task[None]:
        work = self._ask(name, message, told)
        return self._state.background.start(work, f"member {self._stream} {name}")

    async def _ask(self, name: str, message: Prompt, told: asyncio.Queue[Told]) -> None:
        try:
            accepted = self._running[name] = await self._send(name, message)
            told.put_nowait(StepStarted(name, accepted.peer, accepted.session_id, accepted.turn_id))
            place = (accepted.session_id, accepted.turn_id, accepted.after)
            end, _ = await turn_end(self._state.store, *place)
            del self._running[name]
            told.put_nowait(_outcome(name, end))
        except RhetorError as error:
            told.put_nowait(StepFailed(name, error.code, error.detail, error.retryable))
        except Exception as error:
            # the border of a member's task: a mistake of ours is this member's failure, not the hub's end
            log.exception("a member failed", extra={"team": self._team, "peer": name})
            told.put_nowait(StepFailed(name, "internal", type(error).__name__))

    async def _send(self, name: str, message: Prompt) -> Accepted:
        state = self._state
        peer = state.peers.get(name)
        row = await state.store.get("session", self._stream)
        ours = session_of(row) if row is not None else None
        kept = None
        if ours is not None and not ours.once and peer.program is None:
            kept = await member_session(state, self._principal, ours, peer)
        target = None if kept else name
        command = SendMessage(
            message.content, target, kept, None, message.execute, message.delimiter, via=self._via
        )
        return await send(state, self._principal, command)

    def _shown(self, event: StepDone | StepFailed, *, first: bool) -> Text:
        """The member's part as clients read it that know nothing of members."""
        if isinstance(event, StepFailed):
            return Text(f"{event.step}: {event.detail}\n", "stderr")
        title = self._state.peers.get(event.step).title
        return Text(f"{'' if first else PARTING}[From {title}]\n{event.text}")

    def _leave(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """The team's turn is over: so is that of a member that still speaks."""
        for task in tasks:
            task.cancel()
        for accepted in self._running.values():
            runner = self._state.runners.get(accepted.session_id)
            if runner and runner.current and runner.current.turn.turn_id == accepted.turn_id:
                runner.current.stop(lambda turn: turn.interrupt(f"the turn of {self._team} ended"))


async def member_session(state: State, principal: Principal, team: Session, peer: Peer) -> str:
    """The session in which a member answers what is said in the team's session."""
    return await until_unchanged(lambda: _member_session(state, principal, team, peer))


async def _member_session(state: State, principal: Principal, team: Session, peer: Peer) -> str:
    id = f"{team.id}/{peer.name}"
    if kept := await state.store.get(MEMBER, id):
        row = await state.store.get("session", kept.parent)
        session = session_of(row) if row is not None else None
        if session and session.takes_messages and not session.has_expired(state.ids.now()):
            return session.id
    window = team.context_window
    session = open_session(state.ids, principal.subject, peer.name, context_window=window, ttl=MEMBER_TTL)
    session.metadata["team_session"] = team.id
    link = Row(MEMBER, id, "open", b"{}", owner=team.owner, parent=session.id, at=state.ids.now())
    drafts = [Draft(SessionStateChanged(session.state))]
    await state.store.commit(
        session.id, drafts, expects=[(kept or link).unchanged], rows=[session_row(session), link]
    )
    return session.id


def _outcome(name: str, end: TurnEnd) -> StepDone | StepFailed:
    match end:
        case TurnCompleted(text=text):
            return StepDone(name, text)
        case TurnFailed(code=code, detail=detail, retryable=retryable):
            return StepFailed(name, code, detail, retryable)
        case TurnCancelled(by=by):
            return StepFailed(name, "cancelled", f"cancelled by {by}")
        case TurnInterrupted(reason=reason):
            return StepFailed(name, "interrupted", reason, retryable=True)
