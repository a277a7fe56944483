"""Opens a hub: connects its parts, loads what it has in memory, recovers, and starts its background tasks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from rhetor.domain.budget import Budget
from rhetor.domain.lines import LINE_DRIVER
from rhetor.domain.peer import Peer
from rhetor.domain.program import Launch
from rhetor.domain.program_keys import ProgramKeys
from rhetor.domain.schedule import SCHEDULE_DRIVER
from rhetor.domain.secrets import Secrets
from rhetor.drivers.base import (
    Conversation,
    Driver,
    MachineLinks,
    PeerInputs,
    ProgramDriver,
    Sender,
    ToolServers,
    Transcripts,
)
from rhetor.hub.core.limits import Limits
from rhetor.store.base import Blobs, SharedRows, Store
from rhetor.store.files.base import OpenFiles

from . import notifications, retention, tool_servers
from .active import OpenRequests
from .catalog import identities
from .catalog.peer_stats import PeerStatistics
from .catalog.programs import HUB_STREAM
from .catalog.sessions import session_of
from .catalog.usage_of_log import fold_log
from .core.background import Background
from .core.commits import until_accepted
from .core.ids import Ids
from .core.nodes import Nodes, OneNode
from .fanout.presence import Presence
from .forwarding import terminals
from .forwarding.relay import relay
from .hub_peer import HubPeer
from .machines import joining
from .peers import Peers
from .plans import teams
from .plans.line_turn import LineConversation
from .plans.team_turn import TeamConversation
from .programs import ownership
from .programs.instances import reports
from .recovery import recover, was_restored
from .schedules import scheduler
from .schedules.run import ScheduledRun
from .sessions import (
    automatic_checkpoints,
    blobs,
    checkpoint_limits,
    interrupts,
    states,
    uploads,
)
from .state import (
    NoBlobs,
    NoFiles,
    NoMachineLinks,
    NoToolServers,
    ReadUrl,
    State,
    TextOnlyPeers,
    no_download,
    no_launches,
)

if TYPE_CHECKING:
    from .boards import Boards

from .hub import Hub

BUILT_IN: dict[str, Callable[[State, Peer, OpenRequests], Conversation]] = {
    "team": TeamConversation,
    "hub": HubPeer,
    SCHEDULE_DRIVER: ScheduledRun,
    LINE_DRIVER: LineConversation,
}
EXPIRY_SECONDS = 30.0
log = logging.getLogger(__name__)


@asynccontextmanager
async def open_hub(
    store: Store,
    peers: Peers,
    drivers: Mapping[str, Driver],
    *,
    ids: Ids | None = None,
    limits: Limits | None = None,
    program_drivers: Mapping[str, ProgramDriver] | None = None,
    launches: Callable[[Peer, str | None], Launch] = no_launches,
    kept: Blobs | None = None,
    transcripts: Mapping[str, Transcripts] | None = None,
    secrets: Secrets | None = None,
    servers: ToolServers | None = None,
    files: OpenFiles | None = None,
    budgets: Iterable[Budget] = (),
    program_keys: ProgramKeys | None = None,
    senders: Iterable[Sender] = (),
    owner: str = "",
    inputs: PeerInputs | None = None,
    download: ReadUrl = no_download,
    machine_links: MachineLinks | None = None,
    nodes: Nodes | None = None,
    shared: SharedRows | None = None,
) -> AsyncIterator[Hub]:
    """Open a hub, recover what an earlier hub left unfinished, and close it on exit.

    `launches` returns how a configured program is started. `kept` stores binary content. `secrets` are
    masked in the outputs of turns. `servers`: the MCP servers whose tools models may have. `files` stores the
    files of checkpoints. `budgets`: the configured ones. `program_keys`: with which programs call the hub.
    `senders`: of notifications about the sessions of `owner`.
    `inputs`: what peers take besides text. `download` reads the URLs of parts. `machine_links`: the links to
    machines that join. `nodes`: those that share the store, of which `shared` tells
    what they change.

    Raises:
        StoreRefused: the store rejected a commit during recovery.
    """
    limits = limits or Limits()
    secrets = Secrets() if secrets is None else secrets  # one that is empty may get secrets later
    async with Background() as background:
        presence = Presence(
            limits.abandon_after,
            lambda stream: _on_left(state, stream),
            lambda stream: _readers_changed(state, stream),
        )
        peer_statistics = PeerStatistics(nodes.own if nodes else "")
        state = State(
            store,
            peers,
            drivers,
            ids or Ids(),
            limits,
            background,
            presence,
            peer_statistics,
            program_drivers=program_drivers or {},
            launches=launches,
            blobs=kept or NoBlobs(),
            transcripts=transcripts or {},
            secrets=secrets,
            tool_servers=servers or NoToolServers(),
            files=files or NoFiles(),
            configured_budgets=budgets,
            program_keys=program_keys or ProgramKeys(secrets),
            owner=owner,
            inputs=inputs or TextOnlyPeers(),
            download=download,
            machine_links=machine_links or NoMachineLinks(),
            nodes=nodes or OneNode(),
        )
        _connect(state, senders)
        hub = Hub(state)
        mirroring = await _mirroring(state, shared) if shared is not None else []
        boards = await _open_boards(state) if nodes is not None else None
        await _load(state)
        await recover(state)
        await state.nodes.open(state, hub.execute_here)
        state.nodes.on_change(state.routing_table.outbox_changed.notify)
        tasks = [
            background.start(_sweep(state), "expiry sweep"),
            background.start(relay(state), "outbox relay"),
            background.start(notifications.deliver(state), "notifications"),
            background.start(scheduler.run_schedules(state), "schedules"),
            *(background.start(work, "mirrors") for work in mirroring),
        ]
        if boards is not None:
            tasks.append(background.start(boards.follow(), "board of this node"))
        try:
            yield hub
        finally:
            await notifications.drain(state)
            for task in tasks:
                task.cancel()
            await hub.aclose()
            await state.nodes.aclose()
            presence.close()


def _connect(state: State, senders: Iterable[Sender]) -> None:
    """Let the parts of the hub call each other."""
    state.notifications.person = partial(ownership.person_behind, state)
    state.notifications.configure(senders)
    state.built_in = {driver: partial(open_peer, state) for driver, open_peer in BUILT_IN.items()}
    state.before_turn = partial(automatic_checkpoints.before_turn, state)
    state.peers.use_statistics(state.peer_statistics.of)
    state.peers.use_reports(partial(reports, state))
    state.peers.use_connections(state.machines.is_online)
    state.peers.on_change(state.live.everything_changed)
    state.store.observe(state.live.committed)


async def _load(state: State) -> None:
    """Read from the store what the hub has in memory. A lead also does what is done once for all nodes."""
    store = state.store
    await state.peer_statistics.load(store)
    if await store.head(HUB_STREAM) is None:
        await store.commit(HUB_STREAM, [])  # the stream must exist before a client follows it
    leads = state.nodes.leads
    if leads:
        await fold_log(store, state.ids.now())
    await state.usage.load(store, state.ids.now())
    if state.limits.tokens_per_hour is not None:
        await state.usage.recent.load(store, state.ids.now())
    await state.budgets.load(store)
    await identities.load(state.identities, store)
    await teams.load_teams(state)
    await tool_servers.load(state)
    if leads:
        await blobs.sweep(state)
    await state.routing_table.load(store)
    await state.shares.load(store)
    await state.live.load(store)
    await scheduler.load(state, restored=await was_restored(store))
    await joining.load(state)


async def _open_boards(state: State) -> Boards:
    from .boards import Boards  # a hub on its own does not need it

    state.boards = boards = Boards(state)
    await boards.open()
    return boards


async def _mirroring(state: State, shared: SharedRows) -> Sequence[Coroutine[Any, Any, None]]:
    """Return what keeps the memory of the hub as other nodes change its rows. From now on, changes are noted;
    they are applied when everything is loaded."""
    from .nodes.mirrors import Mirrors  # most hubs have no other nodes
    from .nodes.reservations import SharedReservations

    state.mirrors = mirrors = Mirrors(state, shared)
    await mirrors.begin()
    reservations = SharedReservations(state)
    await reservations.begin()
    return mirrors.run(), mirrors.sweep(), reservations.run()


def _on_left(state: State, stream: str) -> None:
    """Stop the plan, or the turn of a one-message session, whose last reader has left."""
    if stream in state.plans or stream in state.runners:
        state.background.start(_abandon(state, stream), f"abandon {stream}")
    elif stream.startswith(("s_", "p_")):
        state.boards.note_left(stream)


def _readers_changed(state: State, stream: str) -> None:
    terminals.note_readers(state, stream)
    state.live.board_changed.notify()


async def _abandon(state: State, stream: str) -> None:
    if (plan := state.plans.get(stream)) and not plan.unattended:
        plan.stop("the caller's disconnect")
    row = await until_accepted(lambda: state.store.get("session", stream), stream)
    runner = state.runners.get(stream)
    session = session_of(row) if row is not None else None
    if session is None or not session.once or interrupts.continues_alone(state, session.peer):
        return
    if runner is not None and runner.current:
        runner.current.stop(lambda turn: turn.interrupt("the caller disconnected"))


async def _sweep(state: State) -> None:
    while True:
        await asyncio.sleep(EXPIRY_SECONDS)
        try:
            await scheduler.check_clock(state)
            await states.expire_old(state)
            await checkpoint_limits.sweep(state)
            await retention.sweep(state)
            await uploads.collect(state)
            await state.usage.recent.sweep(state.store, state.ids.now())
            await state.audit.sum_up()
        except Exception:  # a bug or the store; the next sweep retries
            log.exception("expiry sweep failed")
