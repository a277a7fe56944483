"""One turn of a peer's conversation: opened for the turn and closed with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from rhetor.domain.output import Done, Output
from rhetor.domain.peer import Peer
from rhetor.domain.session import Voice
from rhetor.drivers.base import Conversation, Prompt, Said
from rhetor.errors import TurnFailure, UnknownPeer
from rhetor.hub.catalog.sessions import standing_session
from rhetor.hub.programs.lifecycle import seat_for
from rhetor.hub.turns.attribution import with_context
from rhetor.hub.turns.pending import Asking

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def ask(
    state: State,
    peer_name: str,
    prompt: Prompt,
    history: Sequence[Said],
    asking: Asking,
    voice: Voice | None = None,
) -> AsyncGenerator[Output, None]:
    """One turn of a conversation that is opened for it, and closed with it; answers reach it by `asking`."""
    try:
        peer = state.peers.get(peer_name)
    except UnknownPeer as gone:
        raise TurnFailure(gone.detail, peer=peer_name) from gone
    peer = voice.of(peer) if voice else peer
    prompt = with_context(peer, prompt)
    conversation = asking.conversation = await _conversation(state, peer, asking)
    finished = False
    try:
        async with aclosing(conversation.send(prompt, history)) as outputs:
            async for output in outputs:
                finished = isinstance(output, Done)
                yield output
    except (GeneratorExit, asyncio.CancelledError):
        if not finished:
            _give_up(state, asking)
        raise
    finally:
        await conversation.aclose()


def _give_up(state: State, asking: Asking) -> None:
    """The turn ends now; its program may have something to say of it yet."""
    seat = state.seats.get(asking.seat)
    if seat is not None and seat.entry.session_id == asking.stream:
        seat.given_up = asking.turn_id


async def _conversation(state: State, peer: Peer, asking: Asking) -> Conversation:
    if speak := state.joint.get(peer.driver):
        return speak(state, peer, asking)
    if peer.program is None:
        return await state.drivers[peer.driver].open(peer)
    session_id = asking.stream
    if await state.store.get("session", session_id) is None:  # a plan's: its program has a session beside it
        session_id = (await standing_session(state, asking.owner, peer, asking.cwd)).id
    seat = await seat_for(state, peer, asking.owner, session_id)
    asking.seat = seat.entry.key
    seat.given_up = None
    return seat.running.conversation()
