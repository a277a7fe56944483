"""Calls a peer for one turn: opens a conversation, sends the message, and closes the conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.output import Done, Output
from rhetor.domain.peer import Peer
from rhetor.domain.session import Voice
from rhetor.drivers.base import Conversation, Origin, PastMessage, Prompt
from rhetor.errors import TurnFailure, UnknownPeer
from rhetor.hub.catalog.sessions import standing_session
from rhetor.hub.programs.lifecycle import instance_for
from rhetor.hub.turns.attribution import retelling, with_context
from rhetor.hub.turns.pending import PendingRequests

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def call_peer(
    state: State,
    peer_name: str,
    prompt: Prompt,
    pending: PendingRequests,
    voice: Voice | None = None,
    history: Callable[[], Awaitable[Sequence[PastMessage]]] | None = None,
) -> AsyncGenerator[Output, None]:
    """Open a conversation with the peer, send the prompt after its `history`, and yield the outputs.

    While it runs, `pending` passes answers to the conversation.

    Raises:
        TurnFailure: the peer no longer exists.
        RhetorError: the conversation cannot be opened, or the peer's driver reports a failure.
    """
    try:
        peer = state.peers.get(peer_name)
    except UnknownPeer as gone:
        raise TurnFailure(gone.detail, peer=peer_name) from gone
    if voice is not None:
        peer, pending.rules = voice.of(peer), voice.permissions
    prompt = with_context(peer, prompt)
    if peer.takes_envelopes:
        prompt = replace(prompt, origin=_origin(state, peer, pending))
    past = await history() if history else ()
    if past and pending.retells:
        prompt = retelling(prompt, past)
    conversation = pending.conversation = await _conversation(state, peer, pending)
    finished = False
    try:
        async with aclosing(conversation.send(prompt, past)) as outputs:
            async for output in outputs:
                finished = isinstance(output, Done)
                yield output
    except (GeneratorExit, asyncio.CancelledError):
        if not finished:
            _abandon(state, pending)
        raise
    finally:
        await conversation.aclose()


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
