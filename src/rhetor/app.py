"""The composition root: settings become stores, drivers and a hub, and those one ASGI app."""

from __future__ import annotations

import asyncio
import gc
import getpass
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from rhetor.auth.addresses import Addresses
from rhetor.auth.lineage import peer_of
from rhetor.auth.logins import Logins
from rhetor.auth.tokens import TokenFile
from rhetor.drivers.access import ModelAccess
from rhetor.drivers.agent_models import AgentEntry, AgentModels
from rhetor.drivers.agents.acp import Acp
from rhetor.drivers.agents.claude import ClaudeCode
from rhetor.drivers.agents.claude_transcript import ClaudeTranscript
from rhetor.drivers.agents.codex import Codex
from rhetor.drivers.agents.codex_transcript import CodexTranscript
from rhetor.drivers.agents.continue_serve import ContinueServe
from rhetor.drivers.agents.cursor import Cursor
from rhetor.drivers.agents.driver import Agents
from rhetor.drivers.agents.speech import Opening, Speech
from rhetor.drivers.agents.transcripts import AgentTranscripts, claude_folder, codex_folder
from rhetor.drivers.base import ProgramDriver
from rhetor.drivers.mcp_reach import ServerEntry
from rhetor.drivers.models import ProviderEntry
from rhetor.drivers.patience import Timeouts
from rhetor.drivers.prices import Price
from rhetor.drivers.programs.driver import Programs, on_pipes
from rhetor.drivers.programs.hosts import Hosts
from rhetor.drivers.programs.marked import MarkedShells
from rhetor.drivers.programs.terminal import TerminalProgram
from rhetor.drivers.tool_servers import ToolServers
from rhetor.drivers.tooling import with_tools
from rhetor.home import Home
from rhetor.hub.hub import Hub, open_hub
from rhetor.hub.ids import wall_clock
from rhetor.hub.peers import Peers
from rhetor.hub.state import Limits
from rhetor.programs import ConfiguredPrograms
from rhetor.settings import Settings, peers_of, tools_of
from rhetor.store.blobs import FileBlobs
from rhetor.store.sqlite import SqliteStore
from rhetor.transports import (
    answering,
    attaching,
    bulk,
    chaining,
    conversing,
    forwarding,
    importing,
    interactive,
    looking_back,
    metrics,
    named_sockets,
    peer_sockets,
    planning,
    problems,
    programs,
    sockets,
    system,
    talking,
)
from rhetor.transports.connections import Connections
from rhetor.transports.gate import App, Gate
from rhetor.transports.node import Node
from rhetor.transports.rates import Rates
from rhetor.transports.routes import no_such_route
from rhetor.transports.server import HubServer, stop_when_idle, tcp_listener, unix_listener

DISTRIBUTION = "tekton-aish"
GC_THRESHOLDS = (20_000, 20, 50)
# nothing of what is asked here leaves this machine, whatever variables of the environment would have
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
# how coding agents are spoken to, by the name that the configuration has for it
SPEECHES: dict[str, Callable[[Opening], Speech]] = {
    "claude": ClaudeCode,
    "codex": Codex,
    "acp": Acp,
    "continue": ContinueServe,
    "cursor": Cursor,
}
PLAIN = ("claude", "codex", "acp")  # those that can be told to use no tools, or ask before they use one
DOORS = (
    system.doors,
    metrics.doors,
    talking.doors,
    importing.doors,
    conversing.doors,
    answering.doors,
    planning.doors,
    bulk.doors,
    looking_back.doors,
    programs.doors,
    attaching.doors,
    peer_sockets.doors,
    interactive.doors,
    named_sockets.doors,
    sockets.doors,
    forwarding.doors,
    chaining.doors,
)


# what agents keep themselves, by the driver that they are reached with
TRANSCRIPTS = {
    "claude": AgentTranscripts(claude_folder, 1, ClaudeTranscript),
    "codex": AgentTranscripts(codex_folder, 3, CodexTranscript),
}


@dataclass(frozen=True, slots=True)
class Start:
    """How a hub is started. `by_itself`: by a shell, so that it may take another port and ends when idle."""

    settings: Settings
    home: Home
    environment: Mapping[str, str]
    by_itself: bool = False


def routes(node: Node | None = None) -> FastAPI:
    """All routes of all doors, without their lock."""
    app = FastAPI(
        title="rhetor",
        version=version(DISTRIBUTION),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        telemetry=NO_TELEMETRY,
    )
    for doors in DOORS:
        app.include_router(doors)
    problems.install(app)
    app.router.default = no_such_route
    app.state.node = node
    return app


def locked(app: FastAPI, node: Node, tokens: TokenFile) -> App:
    """The app behind its gate."""

    def addresses() -> Addresses:
        assert node.addresses is not None
        return node.addresses

    def agent(pid: int) -> str | None:
        return peer_of(pid, {seat.running.host_pid: seat.peer.name for seat in node.hub.state.seats.values()})

    return Gate(
        app,
        addresses=addresses,
        tokens=tokens,
        logins=node.logins,
        tally=node.tally,
        owner=node.owner,
        public=system.PUBLIC,
        agent=agent,
    )


def collect_seldom() -> None:
    """Let collections of garbage cost a hub little; to be called when everything is imported.

    What was imported lives as long as the process: collections need not look at it again, and the pauses of
    a busy hub come from collections of the oldest generation.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def serve(start: Start) -> None:
    """Run a hub until it is told to end.

    Raises:
        InvalidSettings: it cannot be started as configured.
    """
    collect_seldom()
    async with AsyncExitStack() as stack:
        hub_settings = start.settings.hub
        tcp = stack.enter_context(tcp_listener(hub_settings.host, hub_settings.port, or_any=start.by_itself))
        unix = stack.enter_context(unix_listener(start.home.socket))
        configured = ConfiguredPrograms(tools_of(start.settings), start.environment)
        hub, access = await stack.enter_async_context(_hub(start, configured))
        node = _node(start, hub, access, configured)
        # who had the old token may have logged in with it
        tokens = TokenFile(start.home.folder / "token", changed=node.logins.end_all)
        app = locked(routes(node), node, tokens)
        _name(node, tcp.getsockname()[1], start)
        server = HubServer(app, lambda: _say(node), hub.aclose)
        node.shut_down = lambda: setattr(server, "should_exit", True)
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(access.warm_up(), name="warm-up"),
                tasks.create_task(node.connections.keep_checking(), name="connections"),
            ]
            if start.by_itself:
                idle = stop_when_idle(
                    server, lambda: bool(hub.state.running or hub.state.seats), hub_settings.idle_exit
                )
                beside.append(tasks.create_task(idle, name="idle-exit"))
            await server.serve(sockets=[unix, tcp])
            for task in beside:
                task.cancel()
        start.home.socket.unlink(missing_ok=True)


@asynccontextmanager
async def _hub(start: Start, configured: ConfiguredPrograms) -> AsyncIterator[tuple[Hub, ModelAccess]]:
    settings = start.settings
    limits = Limits(
        settings.session.ttl,
        settings.session.context_window,
        settings.limits.message_bytes,
        settings.limits.hops,
        detach_ttl=settings.session.detach_ttl,
        default_peer=settings.session.default_peer,
    )
    peers = Peers(peers_of(settings), settings.teams)
    store = await SqliteStore.open(Path(start.home.folder) / "hub.db", clock=wall_clock)
    agents = agent_models(start, peers, configured)
    agents.forget()
    access, servers = model_access(start, agents), _tool_servers(start)
    try:
        drivers = {**access.drivers, "chat": with_tools(access.drivers["chat"], servers)}
        async with open_hub(
            store,
            peers,
            drivers,
            limits=limits,
            program_drivers=program_drivers(start.home),
            launches=configured.launch,
            kept=FileBlobs(start.home.folder / "blobs"),
            transcripts=TRANSCRIPTS,
        ) as hub:
            yield hub, access
    finally:
        await servers.aclose()
        await access.aclose()
        await store.aclose()


def program_drivers(home: Home) -> dict[str, ProgramDriver]:
    """How programs are reached, by the name that the configuration has for it."""
    hosts = Hosts(home.folder / "hosts", home.runtime)
    shells = MarkedShells(home.folder / "startup")
    return {
        "stdio": Programs(hosts, on_pipes, "pipes"),
        "terminal": Programs(hosts, TerminalProgram, "pty", shells),
        **{driver: Agents(hosts, speech) for driver, speech in SPEECHES.items()},
    }


def agent_models(start: Start, peers: Peers, configured: ConfiguredPrograms) -> AgentModels:
    """The coding agents that may answer as models."""
    entries = {
        peer.name: AgentEntry(peer.driver, peer.program, partial(configured.launch, peer))
        for peer in peers
        if peer.program is not None
    }
    hosts = Hosts(start.home.folder / "models", start.home.runtime)
    folder, automatic = start.home.folder / "empty", start.settings.models.agents
    speeches = {driver: SPEECHES[driver] for driver in PLAIN}
    return AgentModels(entries, speeches, hosts, folder, automatic)


def _tool_servers(start: Start) -> ToolServers:
    entries = {
        name: ServerEntry(s.command, s.env, s.pass_env, s.url, s.allow_private, s.approve)
        for name, s in start.settings.mcp_servers.items()
    }
    return ToolServers(entries, start.environment, str(start.home.folder))


def model_access(start: Start, agents: AgentModels | None = None) -> ModelAccess:
    """How models are reached, as configured."""
    settings, models = start.settings, start.settings.models
    entries = {
        name: ProviderEntry(p.kind, p.base_url, p.api_key_env, p.allow_private)
        for name, p in settings.providers.items()
    }
    prices = {
        ref: Price(p.input_per_1m, p.output_per_1m, p.cached_per_1m) for ref, p in models.prices.items()
    }
    timeouts = Timeouts(**settings.timeouts.model_dump())
    return ModelAccess(start.environment, entries, models.default, timeouts, models.fallbacks, prices, agents)


def _node(start: Start, hub: Hub, access: ModelAccess, configured: ConfiguredPrograms) -> Node:
    limits = start.settings.limits
    return Node(
        hub,
        access,
        Logins(),
        version(DISTRIBUTION),
        str(start.home.folder),
        getpass.getuser(),
        wall_clock(),
        start.by_itself,
        lambda: None,
        max_parallel=start.settings.bulk.max_parallel,
        programs=configured,
        rates=Rates(limits.messages_per_second, limits.messages_burst),
        connections=Connections(limits.connections_per_minute, limits.connections_at_once),
    )


def _name(node: Node, port: int, start: Start) -> None:
    """What the hub is called from outside: its port is known only now."""
    hub = start.settings.hub
    console = f"{secrets.token_hex(8)}.localhost"
    node.addresses = Addresses(port, console, hub.allowed_hosts, hub.allowed_origins)
    node.url = f"http://{hub.host}:{port}"
    node.console = f"http://{console}:{port}"
    node.sockets = (f"unix:{start.home.socket}", node.url)


def _say(node: Node) -> None:
    """The one line on stdout: from now on clients are answered."""
    sys.stdout.write(f"rhetor listening on {node.url} and {node.sockets[0]}\n")
    sys.stdout.flush()
