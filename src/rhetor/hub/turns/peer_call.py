"""One turn of a peer's conversation: opened for the turn and closed with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from rhetor.domain.output import Done, Output
from rhetor.domain.peer import Peer
from rhetor.domain.session import Voice
from rhetor.drivers.base import Conversation, PastMessage, Prompt
from rhetor.errors import TurnFailure, UnknownPeer
from rhetor.hub.catalog.sessions import standing_session
from rhetor.hub.programs.lifecycle import instance_for
from rhetor.hub.turns.attribution import with_context
from rhetor.hub.turns.pending import PendingRequests

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def ask(
    state: State,
    peer_name: str,
    prompt: Prompt,
    history: Sequence[PastMessage],
    pending: PendingRequests,
    voice: Voice | None = None,
) -> AsyncGenerator[Output, None]:
    """One turn of a conversation that is opened for it, and closed with it; answers reach it by `asking`."""
    try:
        peer = state.peers.get(peer_name)
    except UnknownPeer as gone:
        raise TurnFailure(gone.detail, peer=peer_name) from gone
    peer = voice.of(peer) if voice else peer
    prompt = with_context(peer, prompt)
    conversation = pending.conversation = await _conversation(state, peer, pending)
    finished = False
    try:
        async with aclosing(conversation.send(prompt, history)) as outputs:
            async for output in outputs:
                finished = isinstance(output, Done)
                yield output
    except (GeneratorExit, asyncio.CancelledError):
        if not finished:
            _give_up(state, pending)
        raise
    finally:
        await conversation.aclose()


def _give_up(state: State, pending: PendingRequests) -> None:
    """The turn ends now; its program may have something to say of it yet."""
    instance = state.instances.get(pending.instance)
    if instance is not None and instance.entry.session_id == pending.stream:
        instance.given_up = pending.turn_id


async def _conversation(state: State, peer: Peer, pending: PendingRequests) -> Conversation:
    if speak := state.joint.get(peer.driver):
        return speak(peer, pending)
    if peer.program is None:
        return await state.drivers[peer.driver].open(peer)
    session_id = pending.stream
    if await state.store.get("session", session_id) is None:  # a plan's: its program has a session beside it
        session_id = (await standing_session(state.store, state.ids, pending.owner, peer, pending.cwd)).id
    instance = await instance_for(state, peer, pending.owner, session_id)
    pending.instance = instance.entry.key
    instance.given_up = None
    return instance.running.conversation()
