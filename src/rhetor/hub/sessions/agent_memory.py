"""What a session's coding agent knows after a restore or a fork.

If the agent can, it rewinds its own memory. Otherwise it begins a new conversation, and receives the earlier
one with the next message.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from rhetor.domain.peer import Peer
from rhetor.domain.session import Session
from rhetor.errors import ForkUnsupported, RhetorError, UnknownPeer
from rhetor.hub.active import ProgramInstance
from rhetor.hub.catalog.programs import memory_of, memory_row
from rhetor.hub.programs.lifecycle import instance_for, instance_key
from rhetor.store.base import Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

UNKNOWN = "the checkpoint was made in a running turn, or the position is no checkpoint"
log = logging.getLogger(__name__)


class Recall(Struct, frozen=True):
    """How an agent continues from a position of its session.

    `memory`: what its program starts with; empty if it begins a new conversation. `stays`: nothing was said
    since, so that a running program may continue. `reason`: why it begins a new conversation, if it cannot
    continue the earlier one.
    """

    memory: dict[str, Any]
    stays: bool = False
    reason: str | None = None


class Outcome(Struct, frozen=True):
    """What an agent knows. `rewound`: it remembers the conversation up to the position itself. `retold`: it
    begins a new one, and receives the earlier one with the next message, because of `reason`."""

    rewound: bool = False
    retold: bool = False
    reason: str | None = None


def peer_of(state: State, session: Session) -> Peer | None:
    """Return the session's peer; None if it does not exist any more."""
    try:
        return state.peers.get(session.peer)
    except UnknownPeer:
        return None


def agent_of(state: State, session: Session) -> Peer | None:
    """Return the session's peer if it is a coding agent."""
    peer = peer_of(state, session)
    return peer if peer is not None and peer.remembers else None


async def remembered(state: State, session: Session, *, before_turn: bool = False) -> dict[str, Any] | None:
    """Return the memory that the session's agent has now; None if it has no agent, or if a turn is running,
    in the middle of which no agent can continue. `before_turn`: the turn has not reached the agent yet."""
    peer = agent_of(state, session)
    if peer is None or (_is_running(state, session) and not before_turn):
        return None
    memory = await memory_of(state.store, instance_key(state, peer, session.id))
    if _is_running(state, session) and not before_turn:
        return None
    return state.program_drivers[peer.driver].memory_to_keep(memory)


def _is_running(state: State, session: Session) -> bool:
    runner = state.runners.get(session.id)
    return runner is not None and runner.current is not None


async def recall(state: State, peer: Peer, session: Session, left: dict[str, Any] | None) -> Recall:
    """Return how the agent goes back to the position at which it had the memory `left`; None: unknown."""
    now = await memory_of(state.store, instance_key(state, peer, session.id))
    driver = state.program_drivers[peer.driver]
    if left is None:
        return Recall({}, reason=UNKNOWN)
    found = driver.memory_at(left, now)
    if found is None:
        return Recall({}, reason=f"{peer.name} cannot rewind its conversation")
    return Recall(found, stays=bool(found) and found == now)


async def recall_copy(
    state: State, peer: Peer, parent: Session, left: dict[str, Any] | None, *, at_end: bool
) -> Recall:
    """Return how the agent continues a copy of the conversation. `left`: as for `recall`. `at_end`: the copy
    has the whole conversation.

    Raises:
        ForkUnsupported: the peer is a program that is no agent.
    """
    driver = state.program_drivers[peer.driver]
    now = await memory_of(state.store, instance_key(state, peer, parent.id))
    recalled = await recall(state, peer, parent, left)
    if not (at_end or recalled.stays) and peer.remembers:
        return recalled
    try:
        return Recall(driver.memory_of_copy(peer, now))
    except ForkUnsupported as error:
        if not peer.remembers:
            raise
        return Recall({}, reason=error.detail if driver.remembers(now) else None)


def memory_rows(state: State, peer: Peer, session: Session, recalled: Recall) -> list[Row]:
    """Return the row that saves the memory, if there is one."""
    if not recalled.memory:
        return []
    return [memory_row(instance_key(state, peer, session.id), recalled.memory, state.ids.now())]


async def begin(state: State, peer: Peer, session: Session, recalled: Recall) -> Recall:
    """Let the agent continue its conversation now, so that it is known whether it can. If it cannot, it
    begins a new one.

    Raises:
        NotRunning, ProgramMissing, ProgramRefused, ProviderDenied: its program cannot be started.
    """
    if not recalled.memory or recalled.stays:
        return recalled
    instance = await instance_for(state, peer, session.owner, session.id)
    try:
        await instance.running.wait_until_copied()
    except RhetorError as error:
        log.warning("an agent cannot rewind", extra={"session": session.id, "reason": error.detail})
        await _ended(instance)
        await forget(state, peer, session)
        return Recall({}, reason=error.detail)
    return recalled


async def forget(state: State, peer: Peer, session: Session) -> None:
    """Remove the memory, so that the agent begins a new conversation."""
    key = instance_key(state, peer, session.id)
    await state.store.commit(session.id, [], drop=[("memory", key)])


async def forget_guests(state: State, session: Session) -> list[tuple[str, str]]:
    """End the programs of other agents that answered in the session. Return the rows of their memories, to be
    dropped: they know another branch, and are told this one before they answer again."""
    guests = [
        state.peers.get(name) for name in session.heard if name != session.peer and state.peers.has(name)
    ]
    for peer in guests:
        await end_program(state, peer, session)
    return [("memory", instance_key(state, peer, session.id)) for peer in guests]


def heard_after(session: Session, heard: dict[str, str], recalled: Recall | None) -> dict[str, str]:
    """Return which turns the session's agent knows, if it does not know all. `heard`: at the position."""
    known = heard.get(session.peer)
    return {session.peer: known} if known is not None and recalled is not None and recalled.memory else {}


async def end_program(state: State, peer: Peer, session: Session) -> None:
    """End the peer's program that runs only for the session, if it runs."""
    instance = state.instances.get(instance_key(state, peer, session.id))
    if instance is not None and instance.running.ended is None:
        await _ended(instance)


async def _ended(instance: ProgramInstance) -> None:
    await instance.running.end(force=True)
    await instance.end_logged.wait()


async def outcome(state: State, session: Session, recalled: Recall | None) -> Outcome:
    """Return what the session's agent knows; None: it has no agent."""
    if recalled is None:
        return Outcome()
    if recalled.memory:
        return Outcome(rewound=True)
    if not await state.store.spoken(session.id, 1):
        return Outcome()
    return Outcome(retold=True, reason=recalled.reason)
