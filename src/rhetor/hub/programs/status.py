"""Derives the status of peers from their programs and running turns, and waits until peers are idle."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.domain.program import ProgramState, ProgramStatus
from rhetor.domain.turn import STARTED, UNSTARTED
from rhetor.errors import PeerBusy, TurnFailure
from rhetor.hub.active import ProgramInstance
from rhetor.hub.catalog.turns import TurnRow

from .lifecycle import instance_key
from .masking import masked_status
from .now import gone_since, pauses_of, running_turns, statuses_of, waiting_turns
from .ownership import is_own, peers_for

if TYPE_CHECKING:
    from rhetor.hub.state import State

URGENCY: tuple[ProgramState, ...] = (
    "blocked",
    "stuck",
    "busy",
    "offline",
    "idle",
    "available",
    "gone",
)  # if a peer has several programs, its status is the first of these
LOOK_SECONDS = 1.0  # for hosts to answer before the peers are listed
INSPECT_SECONDS = 2.0
RESTING = frozenset({"available", "idle", "gone"})


class Waited(msgspec.Struct, frozen=True):
    """The result of a wait: the names of the peers that were idle at its end, and of those that were not."""

    idle: tuple[str, ...]
    waiting: tuple[str, ...]
    timed_out: bool


def status_of(state: State, peer: Peer) -> ProgramStatus:
    """Return the peer's current status."""
    offline = state.machines.offline_status(peer)
    return offline or paused_status(state, peer) or _program_status(state, peer)


def paused_status(state: State, peer: Peer) -> ProgramStatus | None:
    """Return the status of a peer all of whose running turns are paused; None for other peers."""
    pauses = pauses_of(state, peer)
    if not pauses or len(pauses) < running_turns(state, peer):
        return None
    first = min(pauses, key=lambda pause: pause.at)
    return ProgramStatus("blocked", first.question.shown, first.at)


def _program_status(state: State, peer: Peer) -> ProgramStatus:
    if statuses := statuses_of(state, peer.name):
        return _most_urgent(state, [status for _, status in statuses])
    if gone := gone_since(state, peer.name):
        ended, at = gone
        return ProgramStatus("gone", ended.detail, at)
    if peer.program is not None:
        return ProgramStatus("available", "starts with its first message", state.ids.now())
    running, now = running_turns(state, peer), state.ids.now()
    if running and waiting_turns(state, peer) >= running:
        waits = "1 turn waits" if running == 1 else f"{running} turns wait"
        return ProgramStatus("blocked", f"{waits} for an answer", now)
    evidence = f"{running} turn{'s' if running != 1 else ''} running" if running else "no turn running"
    return ProgramStatus("busy" if running else "idle", evidence, now)


def visible_to(state: State, principal: Principal, peer: Peer, status: ProgramStatus) -> ProgramStatus:
    """Return the part of a peer's status that the caller may see. If programs run or wait for others, that is
    the status of its own ones, or else only the state and its time; so for the program of a peer."""
    pauses = [is_own(state, principal, pause.owner) for pause in pauses_of(state, peer)]
    every = statuses_of(state, peer.name)
    own = [status for owner, status in every if is_own(state, principal, owner)]
    if not principal.is_agent and len(own) == len(every) and all(pauses):
        return status
    if not principal.is_agent and own and not pauses:
        return _most_urgent(state, own)
    return ProgramStatus(status.state, "", status.since)


def _most_urgent(state: State, statuses: Sequence[ProgramStatus]) -> ProgramStatus:
    first = min(statuses, key=lambda status: URGENCY.index(status.state))
    return masked_status(first, state.secrets)


async def look_at_hosts(state: State, instances: Sequence[ProgramInstance]) -> None:
    """Find out which programs' host processes do not answer within `LOOK_SECONDS`. Until they answer, their
    programs count as stuck."""
    asked = [
        instance
        for instance in instances
        if instance.silent_since is None and state.machines.offline_status(instance.peer) is None
    ]
    answered = await asyncio.gather(*(instance.running.answers(LOOK_SECONDS) for instance in asked))
    for instance, answers in zip(asked, answered, strict=True):
        if not answers and instance.silent_since is None:
            instance.silent_since = state.ids.now()
            work = _until_it_answers(state, instance)
            instance.tasks.append(state.background.start(work, f"wait for the host of {instance.peer.name}"))
            _changed(state, instance)


async def _until_it_answers(state: State, instance: ProgramInstance) -> None:
    await instance.running.answers(None)
    instance.silent_since = None
    _changed(state, instance)


def _changed(state: State, instance: ProgramInstance) -> None:
    instance.changed.set()
    state.notifier.notify()
    state.live.peer_changed(instance.peer.name)


async def inspect(state: State, instance: ProgramInstance) -> ProgramStatus:
    """Return the program's status with its reasons; without them, and with the screen as it was last seen, if
    they cannot be found out in time."""
    if (offline := state.machines.offline_status(instance.peer)) is not None:
        return masked_status(replace(offline, screen=instance.running.screen), state.secrets)
    await look_at_hosts(state, [instance])
    if instance.silent_since is None:
        with suppress(TimeoutError, TurnFailure):
            async with asyncio.timeout(INSPECT_SECONDS):
                return masked_status(await instance.running.inspect(), state.secrets)
    return masked_status(replace(instance.status, screen=instance.running.screen), state.secrets)


def require_rest(state: State, peer: Peer, session_id: str) -> None:
    """Check that the program that answers in the session is idle, available or gone.

    Raises:
        PeerBusy: the program is in another state, for example busy with another caller's message.
    """
    instance = state.instances.get(instance_key(state, peer, session_id))
    if instance is not None and instance.status.state not in RESTING:
        turn = next((run.turn.turn_id for run in state.running_turns() if run.turn.peer == peer.name), "")
        raise PeerBusy(peer.name, turn)


async def waiting_messages(state: State, peer: Peer) -> int:
    """Return the number of accepted messages to the peer whose turns have not started."""
    count = 0
    for accepted in UNSTARTED:
        for row in await state.store.find("turn", state=accepted):
            session = await state.store.get("session", row.parent)
            count += session is not None and session.parent == peer.name
    return count


async def until_idle(
    state: State,
    principal: Principal,
    names: Sequence[str],
    mode: Literal["any", "all"],
    seconds: float | None,
) -> Waited:
    """Wait until any or all (`mode`) of the peers have no running turn and no busy program.

    `seconds`: the timeout, after which the result has `timed_out` set; None means no timeout.

    Raises:
        UnknownPeer: one of the names is not a peer.
    """
    seen = peers_for(state, principal)
    peers = [seen.get(name) for name in names]
    try:
        async with asyncio.timeout(seconds):
            while True:
                changed = state.notifier.next()
                waited = _idle_now(state, peers, await _busy_elsewhere(state))
                if waited.idle and (mode == "any" or not waited.waiting):
                    return waited
                await _until_changed(state, changed)
    except TimeoutError:
        waited = _idle_now(state, peers, frozenset())
        return Waited(waited.idle, waited.waiting, True)


async def _until_changed(state: State, changed: asyncio.Event) -> None:
    """Wait for a change, at most for a moment if there are other nodes, because their changes may be lost."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_SECONDS if state.nodes.live else None):
            await changed.wait()


async def _busy_elsewhere(state: State) -> Set[str]:
    """Return the peers with a running turn, if there are other nodes: what these say may be a moment old."""
    if not state.nodes.live:
        return frozenset()
    rows = await state.store.find("turn", state=STARTED, limit=100_000)
    return {TurnRow.of(row).peer for row in rows}


def _idle_now(state: State, peers: Sequence[Peer], busy: Set[str]) -> Waited:
    idle = tuple(peer.name for peer in peers if peer.name not in busy and _is_idle(state, peer))
    return Waited(idle, tuple(peer.name for peer in peers if peer.name not in idle), False)


def _is_idle(state: State, peer: Peer) -> bool:
    return status_of(state, peer).state in RESTING and not running_turns(state, peer)
