"""Calls a peer for one turn: opens a conversation, sends the message, and closes the conversation.

If the peer has reached a usage limit, the turn is paused and the peer is called again, or another peer is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from rhetor.domain.event import MessageAccepted
from rhetor.domain.output import Done, Output, PassedOn, Text
from rhetor.domain.peer import Peer
from rhetor.domain.session import Session, Voice
from rhetor.drivers.base import HOPS, Conversation, Origin, PastMessage, Prompt
from rhetor.errors import (
    ProviderCooling,
    ProviderFailed,
    RateLimited,
    TurnFailure,
    UnknownPeer,
    Unprocessable,
)
from rhetor.hub.catalog.pauses import Question
from rhetor.hub.catalog.sessions import standing_session
from rhetor.hub.programs.lifecycle import instance_for
from rhetor.hub.turns.attachments import contents_of
from rhetor.hub.turns.attribution import continuing, retelling, with_context
from rhetor.hub.turns.budgets import BudgetedCall
from rhetor.hub.turns.given import given_to
from rhetor.hub.turns.handover import pass_on
from rhetor.hub.turns.pauses import PausedTurn
from rhetor.hub.turns.pending import PendingRequests
from rhetor.hub.turns.quotas import after_answer, after_limit, can_be_called

if TYPE_CHECKING:
    from rhetor.hub.state import State

SEPARATOR = "\n\n"  # between what was said before a pause and what follows
RETOLD = "{} begins a new conversation, and receives the earlier one\n"
History = Callable[[Peer], Awaitable[Sequence[PastMessage]]]


def voice_for(message: MessageAccepted, voice: Voice | None = None) -> Voice | None:
    """Return the voice for a message: the voice of its session, with the model and the prompt of the message
    if it has them."""
    system, model = message.system or None, message.model or None
    if system is None and model is None:
        return voice
    return (voice or Voice()).with_own(system, model)


def voice_of(peer: Peer, voice: Voice | None, model: str | UnsetType = UNSET) -> Peer:
    """Return the peer with the model that answers a message: the message's own, or that of its session."""
    voice = (voice or Voice()).with_own(None, model) if model else voice
    return voice.of(peer) if voice else peer


def require_voice(peer: Peer, model: str | UnsetType = UNSET, system: str | UnsetType = UNSET) -> None:
    """Check that a message for the peer may have a model and a prompt of its own.

    Raises:
        Unprocessable: the peer is a program or a team, which has neither.
    """
    if (model or system) and not peer.has_voice:
        what = "a model" if model else "a system prompt"
        raise Unprocessable(f"{peer.name} is not a specialist, so a message cannot set {what} for it")


def answers_without_effects(state: State, peer: Peer, session: Session) -> bool:
    """Whether the peer's answer changes nothing but what the peer charges: it is a model without tools that
    the hub runs."""
    runs_tools = bool(peer.mcp_servers or session.tools)
    return peer.program is None and peer.driver not in state.built_in and not runs_tools


async def call_peer(
    state: State,
    peer_name: str,
    prompt: Prompt,
    pending: PendingRequests,
    voice: Voice | None = None,
    history: History | None = None,
    paused: PausedTurn | None = None,
) -> AsyncGenerator[Output, None]:
    """Open a conversation with the peer, send the prompt after its `history`, and yield the outputs.

    While it runs, `pending` passes answers to the conversation. If the peer reaches a usage limit that
    resets, or a limit of a budget is reached, the turn is paused, or passed on to another peer. `paused`: the
    turn is paused already.

    Raises:
        TurnFailure: the peer no longer exists.
        TurnStopped: the turn was paused, and is to be stopped.
        RhetorError: the conversation cannot be opened, or the peer's driver reports a failure.
    """
    call = PeerCall(state, _known_peer(state, peer_name), pending, paused, len(prompt.content))
    while True:
        if call.must_wait:
            async with aclosing(call.until_it_continues()) as events:
                async for output in events:
                    yield output
        if state.budgets and not await call.has_room():
            continue
        peer = call.peer if voice is None else call.with_voice(voice)
        past = await history(peer) if history else ()
        asked = call.prompt(peer, prompt, past)
        if asked.given is not None:
            asked = await given_to(state, peer, asked)
        if asked.parts:
            asked = replace(asked, attachments=await contents_of(state, asked.parts))
        if past and pending.retells == "restored":
            yield Text(RETOLD.format(peer.name), "stderr")
        conversation = pending.conversation = await _conversation(state, peer, pending)
        finished = False
        HOPS.set(len(pending.via) + 1)
        try:
            async with aclosing(conversation.send(asked, past)) as outputs:
                async for output in outputs:
                    finished = isinstance(output, Done)
                    yield output
            return
        except (RateLimited, ProviderCooling) as failure:
            if not await call.continues_after(failure):
                raise
        except (GeneratorExit, asyncio.CancelledError):
            if not finished:
                _abandon(state, pending)
            raise
        finally:
            await conversation.aclose()


class PeerCall:
    """Which peer is called for a turn, and when: at once, after a pause, or after another peer.

    `peer`: the peer that answers now. `characters`: of the message.
    """

    def __init__(
        self,
        state: State,
        peer: Peer,
        pending: PendingRequests,
        paused: PausedTurn | None,
        characters: int,
    ) -> None:
        self.peer = peer
        self._state = state
        self._pending = pending
        self._paused = pending.pause = paused
        self._passed_on: PassedOn | None = None
        self._called = list(paused.pause.called) if paused else [peer.name]
        self._own = self._called[0]
        self._begun_by = peer if paused and paused.pause.begun else None
        self._budgeted = BudgetedCall(state, pending, characters)

    @property
    def must_wait(self) -> bool:
        """Whether something comes before the next call."""
        return self._paused is not None or self._passed_on is not None or self._begun_by is not None

    async def until_it_continues(self) -> AsyncGenerator[Output, None]:
        """Yield what happens before the next call: pauses, and the change of the peer.

        Raises:
            TurnStopped: the turn is to be stopped.
        """
        while (paused := self._paused) is not None:
            with self._watched(paused):
                async with aclosing(paused.outputs()) as outputs:
                    async for output in outputs:
                        yield output
            await self._follow(paused)
        if (passed_on := self._passed_on) is not None:
            await self._pass_on(passed_on.peer)
            yield passed_on
            self._passed_on = None
        if (text := self._pending.text) and not text.endswith("\n"):
            yield Text(SEPARATOR)

    async def continues_after(self, failure: ProviderFailed) -> bool:
        """Return whether the turn continues although the call has failed: after a pause, or with another
        peer."""
        begun = self._pending.has_output
        then = after_limit(self._state, self.peer, failure, begun=begun, called=self._called)
        if then is None:
            return False
        self._begun_by = self.peer if begun else None
        await self._do(then)
        return True

    async def has_room(self) -> bool:
        """Reserve in the budgets what the call may take. Return False if a limit is reached: then the turn is
        paused, or passed on to another peer."""
        then = await self._budgeted.reserve(self.peer, self._called) if self.peer.spends else None
        if then is not None:
            await self._do(then)
        return then is None

    def with_voice(self, voice: Voice) -> Peer:
        """Return the peer with the session's voice, which belongs to the session's own peer."""
        self._pending.rules = voice.permissions
        return voice.of(self.peer) if self.peer.name == self._own else self.peer

    def prompt(self, peer: Peer, prompt: Prompt, past: Sequence[PastMessage]) -> Prompt:
        """Return the message as the peer gets it."""
        pending = self._pending
        prompt = with_context(peer, prompt)
        if peer.takes_envelopes:
            prompt = replace(prompt, origin=_origin(self._state, peer, pending))
        if self._begun_by is not None and not peer.reads_plain:
            is_own = self._begun_by.name == peer.name
            prompt = continuing(prompt, pending.text, None if is_own else self._begun_by)
        if past and pending.retells:
            prompt = retelling(prompt, past, pending.retells)
        return prompt

    async def _do(self, then: Question | PassedOn) -> None:
        await self._pending.until_started()  # both store something about the turn
        if isinstance(then, PassedOn):
            self._passed_on = then
        else:
            await self._pause(then)

    @contextmanager
    def _watched(self, paused: PausedTurn) -> Iterator[None]:
        """Watch whether there is room again, if the turn is paused because of a budget."""
        if paused.pause.question.cause != "budget":
            yield
            return
        watching = self._budgeted.watch(paused, self.peer)
        task = self._state.background.start(watching, f"budget of {paused.pause.id}")
        try:
            yield
        finally:
            task.cancel()

    async def _pause(self, question: Question) -> None:
        self._state.budgets.release(self._pending.turn_id)  # nothing is called for a while
        self._paused = self._pending.pause = await PausedTurn.begin(
            self._state, self._pending, question, begun=self._begun_by is not None, called=self._called
        )

    async def _follow(self, paused: PausedTurn) -> None:
        """Do what was chosen: pause again for another answer, or continue."""
        question, chosen, other = paused.pause.question, paused.chosen, paused.other_peer
        if other is not None and not can_be_called(self._state, other):
            await self._pause(question.without(chosen))  # it was removed after it was offered
            return
        if question.cause == "budget":
            await self._budgeted.follow(paused)
        elif follows := after_answer(self._state, self.peer, question, chosen, self._called):
            await self._pause(follows)
            return
        self._paused = None
        if other is None:
            self.peer = _known_peer(self._state, self.peer.name)  # as it is configured now
        else:
            self._passed_on = PassedOn(other)
        await paused.over()

    async def _pass_on(self, name: str) -> None:
        other = self._state.peers.get(name)
        await pass_on(self._state, self._pending, self.peer, other)
        self.peer = other
        self._called.append(other.name)


def _known_peer(state: State, name: str) -> Peer:
    try:
        return state.peers.get(name)
    except UnknownPeer as gone:
        raise TurnFailure(gone.detail, peer=name) from gone


def _origin(state: State, peer: Peer, pending: PendingRequests) -> Origin:
    session_id = pending.stream if pending.stream.startswith("s_") else None
    purpose = state.routing_table.purpose_of(pending.owner, peer.name)
    return Origin(session_id, pending.turn_id, pending.sender, pending.via, purpose)


def _abandon(state: State, pending: PendingRequests) -> None:
    """Record that the turn ended without an answer: its program may report the turn's usage later."""
    instance = state.instances.get(pending.instance)
    if instance is not None and instance.entry.session_id == pending.stream:
        instance.abandoned_turn = pending.turn_id


async def _conversation(state: State, peer: Peer, pending: PendingRequests) -> Conversation:
    if open_built_in := state.built_in.get(peer.driver):
        return open_built_in(peer, pending)
    if peer.program is None:
        return await state.drivers[peer.driver].open(peer)
    session_id = pending.stream
    if (
        await state.store.get("session", session_id) is None
    ):  # a plan's stream; the program logs to the default session
        session_id = (await standing_session(state.store, state.ids, pending.owner, peer, pending.cwd)).id
    instance = await instance_for(state, peer, pending.owner, session_id)
    pending.instance = instance.entry.key
    instance.abandoned_turn = None
    instance.asked = True
    return instance.running.conversation()
