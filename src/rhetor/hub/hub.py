"""The hub: one way in for every command, whatever door it came through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from rhetor.domain import command as c
from rhetor.domain import rule_commands as a
from rhetor.domain.event import Position
from rhetor.domain.peer import Peer
from rhetor.domain.program import Launch
from rhetor.drivers.base import Conversation, Driver, ProgramDriver, Transcripts
from rhetor.errors import NotFound, ShuttingDown
from rhetor.hub.core.limits import Limits
from rhetor.store.base import Blobs, Head, Store, parse_cursor, require_position

from .active import OpenRequests
from .catalog.peer_stats import PeerStatistics
from .catalog.programs import HUB_STREAM
from .catalog.sessions import session_of
from .catalog.turn_log import turn_end
from .core.background import Background
from .core.ids import Ids
from .fanout.presence import Presence
from .forwarding import context, forwards, terminals
from .forwarding.relay import relay
from .hub_peer import HubPeer
from .peers import Peers
from .plans import plans, routes, teams
from .plans.team_turn import TeamConversation
from .programs import lifecycle
from .programs.instances import let_go, release, reports
from .recovery import recover
from .sessions import blobs, checkpoints, imports, send, sessions, sockets
from .sessions.send import Accepted
from .state import NoBlobs, State, no_launches
from .turns import answers

JOINT: dict[str, Callable[[State, Peer, OpenRequests], Conversation]] = {
    "team": TeamConversation,
    "hub": HubPeer,
}
EXPIRY_SECONDS = 30.0
DRAIN_SECONDS = 5.0
log = logging.getLogger(__name__)

UseCase = Callable[[State, c.Principal, Any], Awaitable[Any]]
USE_CASES: dict[type, UseCase] = {
    c.SendMessage: send.send,
    c.StartSession: sessions.start,
    c.PauseSession: sessions.pause,
    c.ResumeSession: sessions.resume,
    c.InterruptSession: sessions.interrupt,
    c.SaveSession: sessions.save,
    c.StopSession: sessions.stop,
    c.MakeCheckpoint: checkpoints.checkpoint,
    c.RestoreSession: checkpoints.restore,
    c.ForkSession: checkpoints.fork,
    c.ImportSessions: imports.take_in,
    c.StartPlan: plans.start,
    c.StopPlan: plans.stop,
    c.AnswerTool: answers.answer_tool,
    c.AnswerPermission: answers.answer_permission,
    c.AnnounceProgram: lifecycle.announce,
    c.LaunchTool: lifecycle.launch,
    c.EndProgram: lifecycle.end,
    c.OpenSocket: sockets.open_socket,
    c.CloseSocket: sockets.close,
    c.KeepBlob: blobs.keep,
    c.MakeTeam: teams.make,
    c.ChangeTeam: teams.change,
    c.DropTeam: teams.drop,
    a.PutForward: forwards.put,
    a.RemoveForward: forwards.remove,
    a.PutTerminal: terminals.put,
    a.RemoveTerminal: terminals.remove,
    a.PutRoute: routes.put,
    a.RemoveRoute: routes.remove,
    a.SendRoute: routes.send,
    a.StageContext: context.stage,
    a.PromoteContext: context.promote,
    a.ClearContext: context.clear,
    a.PutPurpose: context.put_purpose,
}


class Hub:
    """Made by `open_hub`. Doors call `execute` to change something, and read through `state.store`."""

    def __init__(self, state: State) -> None:
        self.state = state

    async def execute(self, principal: c.Principal, command: c.Command) -> Any:
        """Do what the command says and give its result: `Accepted`, `Session`, `Planned` …

        Raises:
            RhetorError: what the command cannot be done for; nothing was changed then.
        """
        return await USE_CASES[type(command)](self.state, principal, command)

    async def answer(self, accepted: Accepted) -> tuple[Any, str]:
        """The end of an accepted message's turn, and what it had said where it did not complete."""
        with self.state.presence.reader(accepted.session_id) as reader:
            try:
                return await turn_end(self.state.store, accepted.session_id, accepted.turn_id, accepted.after)
            except asyncio.CancelledError:
                if not reader.dismissed:
                    raise
                reader.task.uncancel()
                raise ShuttingDown from None

    async def may_read(self, principal: c.Principal, stream: str) -> str:
        """The id of a stream; a session is also found by its name.

        Raises:
            NotFound: there is no such stream, or it is somebody else's."""
        if stream.startswith("p_"):
            return (await plans.owned_plan(self.state, principal, stream)).id
        if terminals.is_terminals_stream(self.state, principal, stream):
            return stream
        if stream != "hub":
            return (await sessions.owned_session(self.state, principal, stream)).id
        if not principal.local or principal.is_agent:
            raise NotFound("stream", stream)
        return stream

    async def position(
        self, principal: c.Principal, stream: str, cursor: str | None
    ) -> tuple[Head, Position]:
        """Where the stream is, and where a reader with this cursor begins: at the earliest event without one.

        Raises:
            NotFound, MalformedCursor, PositionLost: as they say.
        """
        stream = await self.may_read(principal, stream)
        head = await self.state.store.head(stream) or Head("", 0, 1)
        after = parse_cursor(cursor) if cursor else Position(head.epoch, head.earliest - 1)
        require_position(head, after)
        return head, after

    async def aclose(self) -> None:
        """Take nothing new, end what runs as interrupted, and wait for that to be in the log."""
        state = self.state
        if state.closing:
            return
        state.closing = True
        state.notifier.notify()  # who waits for something to end need not any longer
        state.leases.close()
        release(state)
        for runner in list(state.runners.values()):
            if runner.current:
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
        await let_go(state)
        await asyncio.sleep(0.01)  # readers were woken by the last events: let them write those
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
) -> AsyncIterator[Hub]:
    """A hub that has taken up what an earlier one left; at the end it is shut down in order. `kept`: where
    binary content is."""
    limits = limits or Limits()
    async with Background() as background:
        presence = Presence(limits.abandon_after, lambda stream: _left_alone(state, stream))
        peer_statistics = PeerStatistics()
        await peer_statistics.load(store)
        peers.statistics_from(peer_statistics.of)
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
        )
        state.joint = {driver: partial(opened, state) for driver, opened in JOINT.items()}
        peers.reported_by(partial(reports, state))
        hub = Hub(state)
        if await store.head(HUB_STREAM) is None:
            await store.commit(HUB_STREAM, [])  # it can be followed before there is anything to tell
        await teams.load_teams(state)
        await blobs.sweep(state)
        await state.routing_table.load(store)
        await recover(state)
        standing = [
            background.start(_sweep(state), "expiry sweep"),
            background.start(relay(state), "outbox relay"),
        ]
        try:
            yield hub
        finally:
            for task in standing:
                task.cancel()
            await hub.aclose()
            presence.close()


def _left_alone(state: State, stream: str) -> None:
    """Stop the work for a stream that nobody reads any more, unless a session keeps its answer."""
    state.background.start(_abandon(state, stream), f"abandon {stream}")


async def _abandon(state: State, stream: str) -> None:
    if plan := state.plans.get(stream):
        plan.stop("its caller, who went away")
    row = await state.store.get("session", stream)
    runner = state.runners.get(stream)
    if row is not None and runner is not None and runner.current and session_of(row).once:
        runner.current.stop(lambda turn: turn.interrupt("its caller went away"))


async def _sweep(state: State) -> None:
    while True:
        await asyncio.sleep(EXPIRY_SECONDS)
        try:
            await sessions.expire_old(state)
        except Exception:
            log.exception("expiry sweep failed")  # the next one tries again
