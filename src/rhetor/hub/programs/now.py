"""What runs now: the turns and programs of this node, and those of the other nodes as they said last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.domain.program import Exit, ProgramStatus
from rhetor.domain.turn import TurnState
from rhetor.hub.active import OpenRequests, ProgramInstance
from rhetor.hub.catalog.boards import ProgramNow, TurnNow
from rhetor.hub.catalog.pauses import Pause

from .instances import instances_of
from .masking import masked_status
from .ownership import is_own

if TYPE_CHECKING:
    from rhetor.hub.state import State


def open_turns(state: State) -> Iterator[OpenRequests | TurnNow]:
    """Yield the turns that run. Without what they do, which takes longer to find out."""
    yield from list(state.pending.values())
    yield from (turn for turn in state.elsewhere.turns.values() if turn.turn_id not in state.pending)


def turns_now(state: State, is_wanted: Callable[[str], bool] = lambda owner: True) -> Iterator[TurnNow]:
    """Yield the turns that run, and what they do. `is_wanted`: whether the turns of an owner are yielded."""
    for turn in open_turns(state):
        if is_wanted(turn.owner):
            yield turn if isinstance(turn, TurnNow) else turn_now(turn)


def is_running(state: State, turn_id: str) -> bool:
    return turn_id in state.pending or turn_id in state.elsewhere.turns


def turn_now(pending: OpenRequests) -> TurnNow:
    """Return what a running turn of this node does."""
    waits = pending.turn.state is TurnState.WAITING
    return TurnNow(
        pending.turn_id,
        pending.stream,
        pending.owner,
        pending.caller,
        pending.peer,
        pending.since,
        "waiting" if waits else "running",
        pending.turn.doing.waits if waits else pending.turn.doing.line,
        pending.via,
        pending.onward,
    )


def turn_of_session(state: State, session_id: str) -> TurnNow | None:
    """Return the turn that runs in a session, if one does."""
    runner = state.runners.get(session_id)
    if runner is None:
        return state.elsewhere.sessions.get(session_id)
    pending = state.pending.get(runner.current.turn.turn_id) if runner.current is not None else None
    return turn_now(pending) if pending is not None else None


def running_turns(state: State, peer: Peer) -> int:
    """Return the number of the peer's turns that are running."""
    own = sum(run.turn.peer == peer.name for run in state.running_turns())
    return own + state.elsewhere.running_of(peer.name)


def waiting_turns(state: State, peer: Peer) -> int:
    """Return the number of the peer's running turns that wait for an answer of a person."""
    runs = state.pending.values()
    own = sum(run.peer == peer.name and run.turn.state is TurnState.WAITING for run in runs)
    return own + state.elsewhere.waiting_of(peer.name)


def pauses_of(state: State, peer: Peer) -> list[Pause]:
    """Return the pauses of the peer's running turns."""
    if not state.pauses and not state.elsewhere.pauses:
        return []
    return [pause for pause in (*state.pauses.values(), *state.elsewhere.pauses) if pause.peer == peer.name]


def statuses_of(state: State, peer: str) -> list[tuple[str, ProgramStatus]]:
    """Return the owners of the programs of a peer that run, and their statuses."""
    own = [(instance.entry.owner, instance.status) for instance in instances_of(state, peer)]
    return [*own, *((each.owner, each.status) for each in state.elsewhere.programs_of(peer))]


def programs_now(state: State, peer: str) -> list[ProgramNow]:
    """Return the programs of a peer that run: those of this node first."""
    own = [program_now(state, instance) for instance in instances_of(state, peer)]
    return [*own, *state.elsewhere.programs_of(peer)]


def count_programs(state: State) -> int:
    return len(state.instances) + sum(map(len, state.elsewhere.programs.values()))


def own_programs(state: State, principal: Principal, peer: str) -> list[ProgramNow]:
    """Return the programs of a peer that run for the caller, or for a peer's program that it answers for."""
    own = [each for each in instances_of(state, peer) if is_own(state, principal, each.entry.owner)]
    others = [each for each in state.elsewhere.programs_of(peer) if is_own(state, principal, each.owner)]
    return [*(program_now(state, each) for each in own), *others]


def program_now(state: State, instance: ProgramInstance) -> ProgramNow:
    """Return how a running program of this node is."""
    running, entry = instance.running, instance.entry
    return ProgramNow(
        entry.key,
        instance.peer.name,
        entry.owner,
        entry.session_id,
        running.pid,
        replace(masked_status(instance.status, state.secrets), screen=None),
        dict(running.details),
        dict(running.capabilities),
    )


def gone_since(state: State, peer: str) -> tuple[Exit, int] | None:
    """Return how and when (Unix time in milliseconds) a peer's last program ended; None if none has."""
    found = [each[peer] for each in (state.gone, state.elsewhere.gone) if peer in each]
    return max(found, key=lambda end: end[1], default=None)
