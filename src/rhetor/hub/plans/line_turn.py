"""Lets a line of the grammar answer as one peer: each message of its session runs the line as a plan, with
the message as the input of the first steps.

The steps remember nothing, so they get the conversation so far with each message.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from rhetor.domain.command import SendMessage, StartPlan
from rhetor.domain.lines import LINE, LINE_PEER, is_line
from rhetor.domain.output import Done, Output
from rhetor.domain.parts import given_again
from rhetor.domain.peer import Peer
from rhetor.domain.plan import fenced
from rhetor.domain.principal import Principal
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.errors import NotFound, Unprocessable
from rhetor.hub.active import OpenRequests
from rhetor.hub.catalog.sessions import session_of
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.sessions import send as sending
from rhetor.hub.sessions.send import Accepted
from rhetor.hub.turns.attribution import most_recent, nonce, passed_through

from .line_answer import LineRun
from .lines import meaning_of, plan_of
from .plan_run import Origin
from .plans import checked, start

if TYPE_CHECKING:
    from rhetor.hub.state import State

SO_FAR = "The conversation so far, which continues with the message below"
UNCHECKED = "message"  # stands for the message while a line is checked


async def model_peer(state: State, principal: Principal, model: str) -> Peer:
    """Return the peer that a client names as its model: a name, `team:NAME`, `@capability`, or a line, which
    is checked.

    Raises:
        UnknownPeer, NoCapablePeer, UnknownTeam, NotFound: there is no such peer, or a step of the line names
            one, a route or a session that the caller does not have.
        CannotRunLine, Unprocessable: the hub cannot run the line by itself, or it is invalid.
        HopLimit: a message would pass through more peers than allowed.
    """
    if not is_line(model):
        return peers_for(state, principal).resolve(model)[0]
    plan = plan_of(state, principal, await meaning_of(model, message=True), "", None, UNCHECKED)
    await checked(state, principal, plan, len(passed_through(state, principal)))
    return state.peers.get(LINE_PEER)


def send(state: State, principal: Principal, command: SendMessage) -> Coroutine[Any, Any, Accepted]:
    """Accept a message, as `sessions.send.send` does. A conversation may also be given to a line.

    Raises:
        CannotRunLine, Unprocessable: the hub cannot run the line by itself, or it is invalid.
        RhetorError: as `sessions.send.send`, and as `model_peer`.
    """
    if command.given and command.target and is_line(command.target):
        return _send_to_line(state, principal, command)
    return sending.send(state, principal, command)


async def _send_to_line(state: State, principal: Principal, command: SendMessage) -> Accepted:
    assert command.target is not None
    await model_peer(state, principal, command.target)
    return await sending.send(state, principal, command)


class LineConversation(LineRun):
    """The conversation with a line, for one turn of its session."""

    ending = "the end of the turn"

    def __init__(self, state: State, peer: Peer, requests: OpenRequests) -> None:
        super().__init__(state, requests.stream)
        self._principal = Principal(requests.owner)
        self._origin = Origin(requests.via, requests.onward, unattended=True)

    async def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        """Run the line, and yield the starts and the ends of its steps and the answers of the last ones.

        Raises:
            TurnFailure: a step failed; it has the code of that step.
            RhetorError: the line cannot be run any more, for example because a peer no longer exists.
        """
        command = await self._plan(message, history)
        planned = await start(self._state, self._principal, command, self._origin, counts=False)
        async with aclosing(self._outputs(planned)) as outputs:
            async for output in outputs:
                yield output
        yield Done()

    async def _plan(self, message: Prompt, history: Sequence[PastMessage]) -> StartPlan:
        row = await self._state.store.get("session", self._session_id)
        if row is None:
            raise NotFound("session", self._session_id)
        line = session_of(row).metadata.get(LINE)
        if not isinstance(line, str):
            raise Unprocessable("the session has no line; send the message to a peer")
        content = message.content
        if history:
            content = f"{_retold(history)}\n\n{content}"
        meaning = await meaning_of(line, message=True)
        plan = plan_of(self._state, self._principal, meaning, "", None, content)
        return _with_parts(plan, message)


def _retold(history: Sequence[PastMessage]) -> str:
    kept = most_recent(history)
    said = [f"{'Assistant' if one.role == 'assistant' else 'User'}: {one.content}" for one in kept]
    if len(kept) < len(history):
        said.insert(0, "(Earlier messages are left out.)")
    return fenced(SO_FAR, "\n\n".join(said), nonce())


def _with_parts(plan: StartPlan, message: Prompt) -> StartPlan:
    """Return the plan with the parts of the message for its first steps, and its schema for the last ones."""
    needed = {need for step in plan.steps for need in step.needs}
    steps = plan.steps
    if parts := given_again(message.parts):
        steps = tuple(
            step if step.needs else replace(step, parts=(*(step.parts or ()), *parts)) for step in steps
        )
    if message.schema is not None:
        schema = message.schema
        steps = tuple(step if step.id in needed else replace(step, response_schema=schema) for step in steps)
    return replace(plan, steps=steps)
