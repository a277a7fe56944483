"""Lets a team answer as one peer: each member answers in a session of its own.

The members' turns are ordinary turns. The team's turn reports the start and the end of each of them, and its
answer has the members' answers in the order in which they were completed.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from rhetor.domain.command import SendMessage
from rhetor.domain.event import Cause, SessionStateChanged, StepDone, StepFailed, StepStarted
from rhetor.domain.node_commands import StopTurn
from rhetor.domain.output import Done, Output, Shared, Text
from rhetor.domain.parts import given_again
from rhetor.domain.peer import Peer
from rhetor.domain.plan import fenced, step_outcome
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session
from rhetor.domain.socket import TEAM
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.errors import INTERNAL_HINT, RhetorError, TurnFailure
from rhetor.hub.active import OpenRequests
from rhetor.hub.catalog.sessions import open_session, session_of, session_row
from rhetor.hub.catalog.turn_log import turn_end
from rhetor.hub.core.commits import until_unchanged
from rhetor.hub.sessions.delivery import deliver
from rhetor.hub.sessions.send import Accepted
from rhetor.hub.turns.attribution import nonce
from rhetor.hub.turns.stopping import stop_turn
from rhetor.store.base import Draft, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

MEMBER, SEPARATOR = "member", "\n\n"
# a line in a member's text that looks like the heading of another part; it is shown as `[ From`
HEADING = re.compile(r"^([^\S\n]*)\[From ", re.MULTILINE)
MEMBER_TTL = 30 * 86_400.0  # seconds without use, after which a member gets a new session
log = logging.getLogger(__name__)
Report = StepStarted | StepDone | StepFailed


class TeamConversation:
    """The conversation with a team, for one turn of the team's session."""

    def __init__(self, state: State, peer: Peer, requests: OpenRequests) -> None:
        self._state = state
        self._team = peer.name
        self._stream = requests.stream
        self._principal = Principal(requests.owner)
        self._via = requests.via
        self._cause = requests.onward
        self._running: dict[str, Accepted] = {}

    async def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        """Send the message to all members, and yield their starts, ends and answers as they happen.

        `history` is not used: each member has a history of its own.

        Raises:
            FanoutLimit: the team has more members than deliveries are left; none was asked.
            TurnFailure: no member answered.
        """
        names = self._state.peers.team(self._team.removeprefix(TEAM))
        reports: asyncio.Queue[Report] = asyncio.Queue(2 * len(names))  # each member puts at most two
        deliveries, limit = self._state.deliveries, self._state.limits.fanout
        with deliveries.counted(self._cause, len(names), limit) as causes:
            tasks = [self._begin(name, message, c, reports) for name, c in zip(names, causes, strict=True)]
        answered = ended = 0
        try:
            while ended < len(names):
                event = await reports.get()
                yield Shared(event)
                if isinstance(event, StepStarted):
                    continue
                ended += 1
                text = self._shown(event, first=not answered)
                answered += isinstance(event, StepDone)
                yield text
        finally:
            self._end(tasks)
        if not answered:
            raise TurnFailure("no member of the team answered", peer=self._team)
        yield Done()

    async def answer(self, id: str, value: Any) -> None:
        """Do nothing: the requests of members belong to the members' own sessions."""

    async def interrupt(self) -> None:
        self._end([])

    async def aclose(self) -> None: ...

    def _begin(
        self, name: str, message: Prompt, cause: Cause, reports: asyncio.Queue[Report]
    ) -> asyncio.Task[None]:
        work = self._ask(name, message, cause, reports)
        return self._state.background.start(work, f"member {self._stream} {name}")

    async def _ask(self, name: str, message: Prompt, cause: Cause, reports: asyncio.Queue[Report]) -> None:
        try:
            accepted = self._running[name] = await self._send(name, message, cause)
            reports.put_nowait(StepStarted(name, accepted.peer, accepted.session_id, accepted.turn_id))
            place = (accepted.session_id, accepted.turn_id, accepted.after)
            end, _ = await turn_end(self._state.store, *place)
            del self._running[name]
            reports.put_nowait(step_outcome(name, end))
        except RhetorError as error:
            reports.put_nowait(StepFailed(name, error.code, error.detail, error.retryable, error.data))
        except Exception as error:
            # an unexpected error fails only this member, so that the team still waits for the others
            log.exception("team member failed", extra={"team": self._team, "peer": name})
            failed = StepFailed(name, "internal", type(error).__name__, data={"hint": INTERNAL_HINT})
            reports.put_nowait(failed)

    async def _send(self, name: str, message: Prompt, cause: Cause) -> Accepted:
        state = self._state
        peer = state.peers.get(name)
        row = await state.store.get("session", self._stream)
        team_session = session_of(row) if row is not None else None
        session_id = None
        if team_session is not None and not team_session.once and peer.program is None:
            session_id = await member_session(state, self._principal, team_session, peer)
        target = None if session_id else name
        command = SendMessage(
            message.content,
            target,
            session_id,
            execute=message.execute,
            delimiter=message.delimiter,
            via=self._via,
            parts=given_again(message.parts) if message.parts else UNSET,
            response_schema=UNSET if message.schema is None else message.schema,
        )
        return await deliver(state, self._principal, command, cause=cause)

    def _shown(self, event: StepDone | StepFailed, *, first: bool) -> Text:
        """Return the member's part of the answer, for clients that show only the team's text."""
        if isinstance(event, StepFailed):
            lines = (f"{event.step}: {event.detail}", event.data.get("hint"))
            return Text("".join(f"{line}\n" for line in lines if line), "stderr")
        title = self._state.peers.get(event.step).title
        part = fenced(f"From {title}", HEADING.sub(r"\1[ From ", event.text), nonce())
        return Text(f"{'' if first else SEPARATOR}{part}")

    def _end(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """End the team's turn: cancel the tasks, and interrupt the members' turns that are still running."""
        for task in tasks:
            task.cancel()
        for accepted in self._running.values():
            place, why = (accepted.session_id, accepted.turn_id), f"the turn of {self._team} ended"
            stop_turn(self._state, StopTurn(*place, "interrupt", why, waiting_only=True))


async def member_session(state: State, principal: Principal, team: Session, peer: Peer) -> str:
    """Return the id of the session in which a member answers the team's messages; open one if needed."""
    return await until_unchanged(lambda: _member_session(state, principal, team, peer))


async def _member_session(state: State, principal: Principal, team: Session, peer: Peer) -> str:
    id = f"{team.id}/{peer.name}"
    if kept := await state.store.get(MEMBER, id):
        row = await state.store.get("session", kept.parent)
        session = session_of(row) if row is not None else None
        if session and session.takes_messages and not session.has_expired(state.ids.since):
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
