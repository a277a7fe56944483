"""The hub: executes the commands of all APIs, and starts and stops everything that belongs to one hub."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from rhetor.domain import command as c
from rhetor.domain.budget import Budget
from rhetor.domain.event import Position
from rhetor.domain.lines import LINE_DRIVER
from rhetor.domain.peer import Peer
from rhetor.domain.principal import READ, Principal
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
from rhetor.errors import Forbidden, NotFound
from rhetor.hub.core.limits import Limits
from rhetor.store.base import Blobs, Head, SharedRows, Store, parse_cursor, require_position
from rhetor.store.files.base import OpenFiles

from . import notifications, retention, tool_servers
from .active import OpenRequests
from .audited import AUDITED, name_of
from .catalog import identities
from .catalog.peer_stats import PeerStatistics
from .catalog.programs import HUB_STREAM
from .catalog.sessions import session_of
from .catalog.turn_log import turn_end
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
from .plans import plans, teams
from .plans.line_turn import LineConversation
from .plans.team_turn import TeamConversation
from .programs import ownership
from .programs.instances import detach, release, reports
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
from .sessions.send import Accepted
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
from .turns.pauses import leave_paused
from .use_cases import USE_CASES

if TYPE_CHECKING:
    from .boards import Boards

BUILT_IN: dict[str, Callable[[State, Peer, OpenRequests], Conversation]] = {
    "team": TeamConversation,
    "hub": HubPeer,
    SCHEDULE_DRIVER: ScheduledRun,
    LINE_DRIVER: LineConversation,
}
EXPIRY_SECONDS = 30.0
DRAIN_SECONDS = 5.0
log = logging.getLogger(__name__)


class Hub:
    """A running hub, created by `open_hub`.

    APIs call `execute` to change something, and read the log and the catalog through `state.store`.
    """

    def __init__(self, state: State) -> None:
        self.state = state

    async def execute(self, principal: Principal, command: c.Command, api: str = "") -> Any:
        """Execute the command, and return its use case's result, for example `Accepted` or `Session`.

        `api`: how the caller reached the hub, for the audit. Its entry of the command is durable before the
        command is executed.

        Raises:
            Forbidden: the caller lacks the scope that the command needs.
            NodeLost: the node to which the command belongs was lost before it answered.
            RhetorError: the command was rejected, and nothing was changed. The docstring of the function in
                `USE_CASES` names the subclasses.
        """
        if not self.state.nodes.own:
            return await self.execute_here(principal, command, api)
        return await self.state.nodes.route(
            principal, command, api, lambda: self.execute_here(principal, command, api)
        )

    async def execute_here(self, principal: Principal, command: c.Command, api: str = "") -> Any:
        """Do the same as `execute`, at this node, to which the command belongs.

        Raises:
            StreamElsewhere: it belongs to another node; nothing was changed.
            Forbidden, RhetorError: as `execute`.
        """
        use_case, audited = USE_CASES[type(command)], AUDITED.get(type(command))
        try:
            principal.require(use_case.scope)
            if audited is None or (audited.is_message and not self.state.limits.audit_messages):
                return await use_case.run(self.state, principal, command)
            described = audited.action, audited.target(command), audited.detail(command)
            async with self.state.audit.action(principal, *described, api=api):
                return await use_case.run(self.state, principal, command)
        except Forbidden as error:
            if not error.is_noted:
                self.state.audit.refused(principal, name_of(command), error, api=api)
            raise

    async def answer(self, accepted: Accepted) -> tuple[Any, str]:
        """Wait for the end of an accepted message's turn; return it with the answer's text.

        Raises:
            ShuttingDown: the hub was shut down first.
            PositionLost: the session was restored to a checkpoint first.
            NotFound: the session is no longer shared with the sender.
        """
        with self.state.presence.reader(accepted.session_id, accepted.sender) as reader:
            try:
                place = accepted.session_id, accepted.turn_id, accepted.after
                return await until_accepted(
                    lambda: turn_end(self.state.store, *place),
                    accepted.session_id,
                    lambda: self.state.closing,
                )
            except asyncio.CancelledError:
                if reader.ended is None:
                    raise
                reader.task.uncancel()
                raise reader.ended from None

    async def may_read(self, principal: Principal, stream: str) -> str:
        """Return the id of a stream that the caller may read. A session may be given by its name.

        Raises:
            Forbidden: the caller lacks the scope `read`.
            NotFound: there is no such stream, or it belongs to another owner.
        """
        try:
            principal.require(READ)
        except Forbidden as error:
            self.state.audit.refused(principal, "stream.read", error, stream)
            raise
        if stream.startswith("p_"):
            return (await plans.owned_plan(self.state, principal, stream)).id
        if terminals.is_terminals_stream(self.state, principal, stream):
            return stream
        if stream != "hub":
            return (await states.readable_session(self.state, principal, stream)).id
        if not principal.local or principal.is_agent:
            raise NotFound("stream", stream)
        return stream

    async def position(self, principal: Principal, stream: str, cursor: str | None) -> tuple[Head, Position]:
        """Return a stream's head, and the position after which a reader with this cursor starts.

        Without a cursor, the reader starts at the earliest event.

        Raises:
            NotFound: there is no such stream, or it belongs to another owner.
            MalformedCursor: the cursor is not one that the hub returned.
            PositionLost: the cursor's position is no longer part of the stream.
        """
        stream = await self.may_read(principal, stream)
        head = await self.state.store.head(stream) or Head("", 0, 1)
        after = parse_cursor(cursor) if cursor else Position(head.epoch, head.earliest - 1)
        require_position(head, after)
        return head, after

    async def aclose(self) -> None:
        """Reject new commands, interrupt all turns and plans, and wait until their ends are in the log.

        The wait is limited to `DRAIN_SECONDS` seconds. Further calls have no effect.
        """
        state = self.state
        if state.closing:
            return
        state.closing = True
        state.notifier.notify()  # tasks that wait for a change end when the hub is closing
        state.leases.close()
        release(state)
        awaited = {session for plan in state.plans.values() for session in plan.sessions}
        for session, runner in list(state.runners.items()):
            if runner.current and runner.current.turn.turn_id in state.pauses and session not in awaited:
                leave_paused(runner)
            elif runner.current:
                runner.current.stop(lambda turn: turn.interrupt("the hub was shut down"))
        for plan in list(state.plans.values()):
            plan.shut_down()
        tasks = [
            *(runner.task for runner in state.runners.values()),
            *(plan.task for plan in state.plans.values()),
        ]
        running = [task for task in tasks if task is not None]
        if running:
            await asyncio.wait(running, timeout=DRAIN_SECONDS)
        await state.boards.flush()  # the turns have ended, and the programs still run
        await detach(state)
        await state.audit.sum_up(is_last=True)
        await asyncio.sleep(0.01)  # let readers send the last events, which have just woken them
        state.presence.close()


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
        peers.use_statistics(peer_statistics.of)
        programs = program_drivers or {}
        state = State(
            store,
            peers,
            drivers,
            ids or Ids(),
            limits,
            background,
            presence,
            peer_statistics,
            program_drivers=programs,
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
        state.notifications.person = partial(ownership.person_behind, state)
        state.notifications.configure(senders)
        state.built_in = {driver: partial(open_peer, state) for driver, open_peer in BUILT_IN.items()}
        state.before_turn = partial(automatic_checkpoints.before_turn, state)
        peers.use_reports(partial(reports, state))
        peers.use_connections(state.machines.is_online)
        peers.on_change(state.live.everything_changed)
        store.observe(state.live.committed)
        hub = Hub(state)
        mirroring = await _mirroring(state, shared) if shared is not None else []
        boards = await _open_boards(state) if nodes is not None else None
        await peer_statistics.load(store)
        if await store.head(HUB_STREAM) is None:
            await store.commit(HUB_STREAM, [])  # the stream must exist before a client follows it
        leads = state.nodes.leads
        if leads:
            await fold_log(store, state.ids.now())
        await state.usage.load(store, state.ids.now())
        if limits.tokens_per_hour is not None:
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
