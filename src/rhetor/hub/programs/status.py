"""How peers are, as far as their programs and the hub's own turns show; and waiting until they are idle."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rhetor.domain.peer import Peer
from rhetor.domain.program import ProgramState, ProgramStatus
from rhetor.domain.turn import UNSTARTED
from rhetor.errors import PeerBusy

from .instances import instances_of
from .lifecycle import instance_key

if TYPE_CHECKING:
    from rhetor.hub.state import State

URGENCY: tuple[ProgramState, ...] = (
    "blocked",
    "stuck",
    "busy",
    "idle",
    "available",
    "gone",
)  # of several programs
RESTING = frozenset({"available", "idle", "gone"})


@dataclass(frozen=True, slots=True)
class Waited:
    """Who was idle when the wait was over, and who was not."""

    idle: tuple[str, ...]
    waiting: tuple[str, ...]
    timed_out: bool


def status_of(state: State, peer: Peer) -> ProgramStatus:
    """How the peer is now."""
    if instances := instances_of(state, peer.name):
        return min((instance.status for instance in instances), key=lambda how: URGENCY.index(how.state))
    if peer.name in state.gone:
        ended, at = state.gone[peer.name]
        return ProgramStatus("gone", ended.detail, at)
    if peer.program is not None:
        return ProgramStatus("available", "it is started by its first message", state.ids.now())
    running = running_turns(state, peer)
    evidence = f"{running} turn{'s' if running != 1 else ''} running" if running else "no turn running"
    return ProgramStatus("busy" if running else "idle", evidence, state.ids.now())


def require_rest(state: State, peer: Peer, session_id: str) -> None:
    """Raises:
    PeerBusy: the program that would answer in the session is busy, for whomever."""
    instance = state.instances.get(instance_key(state, peer, session_id))
    if instance is not None and instance.status.state not in RESTING:
        turn = next((run.turn.turn_id for run in state.running_turns() if run.turn.peer == peer.name), "")
        raise PeerBusy(peer.name, turn)


def running_turns(state: State, peer: Peer) -> int:
    return sum(run.turn.peer == peer.name for run in state.running_turns())


async def waiting_messages(state: State, peer: Peer) -> int:
    """Messages for the peer that are accepted and not begun."""
    count = 0
    for accepted in UNSTARTED:
        for row in await state.store.find("turn", state=accepted):
            session = await state.store.get("session", row.parent)
            count += session is not None and session.parent == peer.name
    return count


async def until_idle(
    state: State, names: Sequence[str], mode: Literal["any", "all"], seconds: float | None
) -> Waited:
    """Wait until one of the peers, or all of them, have no turn and their programs rest.

    Raises:
        UnknownPeer: one of them is none.
    """
    peers = [state.peers.get(name) for name in names]
    try:
        async with asyncio.timeout(seconds):
            while True:
                heard = state.notifier.next()
                waited = _look(state, peers)
                if waited.idle and (mode == "any" or not waited.waiting):
                    return waited
                await heard.wait()
    except TimeoutError:
        waited = _look(state, peers)
        return Waited(waited.idle, waited.waiting, True)


def _look(state: State, peers: Sequence[Peer]) -> Waited:
    idle = tuple(peer.name for peer in peers if _rests(state, peer))
    return Waited(idle, tuple(peer.name for peer in peers if peer.name not in idle), False)


def _rests(state: State, peer: Peer) -> bool:
    return status_of(state, peer).state in RESTING and not running_turns(state, peer)
