"""The composition root: builds the store, the drivers, the hub and the ASGI app from the settings."""

from __future__ import annotations

import asyncio
import gc
import hmac
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from rhetor.auth.access_tokens import AccessTokens
from rhetor.auth.addresses import Addresses, is_loopback, own_names
from rhetor.auth.agent_keys import KeysOfPrograms
from rhetor.auth.issuers import Issuers
from rhetor.auth.limits import Attempts
from rhetor.auth.logins import Logins
from rhetor.auth.policy import Policy
from rhetor.auth.process_tree import Mark, Processes
from rhetor.auth.tokens import TokenFile
from rhetor.auth.verifier import Verifier
from rhetor.certificate_renewal import keep_renewed
from rhetor.configuration import ConfigurationFile
from rhetor.data_keys import AnyStore, DataKeys
from rhetor.domain.principal import Principal
from rhetor.domain.program_keys import HOME, URL, ProgramKeys
from rhetor.domain.secrets import Secrets, is_secret, passwords_of
from rhetor.drivers.agents.claude.transcript import ClaudeTranscript
from rhetor.drivers.agents.codex.transcript import CodexTranscript
from rhetor.drivers.agents.transcripts import AgentTranscripts, claude_folder, codex_folder
from rhetor.drivers.models.documents import document, download
from rhetor.drivers.programs.host.hosts import Hosts
from rhetor.drivers.programs.host.spool_keys import SpoolKeys
from rhetor.drivers.programs.places import Places
from rhetor.drivers.programs.remote.files import MachineFiles
from rhetor.drivers.programs.remote.machine import Machines
from rhetor.errors import FenceLost
from rhetor.home import Home, last_port, note_port, note_schedules, user_name
from rhetor.hub.catalog.identities import load_keys
from rhetor.hub.core.ids import wall_clock
from rhetor.hub.core.nodes import Nodes
from rhetor.hub.hub import Hub
from rhetor.hub.identity.grants import retire_hub_token
from rhetor.hub.opening import open_hub
from rhetor.hub.peers import Peers
from rhetor.hub.programs.adoption import end_lost
from rhetor.hub.programs.instances import end_all
from rhetor.local_models import LocalLibrary
from rhetor.program_drivers import program_drivers
from rhetor.provider_keys import ProviderKeys
from rhetor.reload import Reloading
from rhetor.sealed_files import SealedFiles
from rhetor.sealing.ring import Ring
from rhetor.settings import SQLITE, HubSettings, Settings, Source
from rhetor.store.api_keys import ApiKeys
from rhetor.store.base import Blobs, SharedRows
from rhetor.store.blobs import FileBlobs
from rhetor.store.files.by_machine import FilesByMachine
from rhetor.store.files.on_demand import FilesOnDemand
from rhetor.store.files.sealing import FileSeal
from rhetor.store.prompt_history import PromptHistory
from rhetor.store.sqlite.store import SqliteStore
from rhetor.transports.console.table import ROUTES as CONSOLE
from rhetor.transports.mcp.table import ROUTES as MCP
from rhetor.transports.rest.table import ROUTES
from rhetor.transports.server import vendor
from rhetor.transports.server.certificate import Certificate, tls_files
from rhetor.transports.server.connections import Connections
from rhetor.transports.server.gate import App, Gate
from rhetor.transports.server.held_bytes import HeldBytes
from rhetor.transports.server.memory import keep_small
from rhetor.transports.server.node import Node
from rhetor.transports.server.rates import ByteRates, Rates
from rhetor.transports.server.router import Router, Row, Table
from rhetor.transports.server.server import (
    HubServer,
    on_hang_up,
    remove_socket,
    stop_when_idle,
    tcp_listener,
    unix_listener,
)
from rhetor.transports.socketio.table import ROUTES as SOCKETIO
from rhetor.transports.websocket.table import ROUTES as SOCKETS
from rhetor.wiring import Configured, configure, issuers_of

if TYPE_CHECKING:
    from rhetor.nodes import Membership
    from rhetor.store.postgres.leases import Leases

DISTRIBUTION = "tekton-aish"
GC_THRESHOLDS = (20_000, 20, 50)


def _compatible() -> Sequence[Row]:
    """Import the APIs of vendors, which many hubs never need: that takes 13 to 20 ms."""
    from rhetor.transports.compatible.table import ROUTES, SOCKETS

    return (*ROUTES, *SOCKETS)


TABLE = Table((*ROUTES, *SOCKETS, *SOCKETIO, *MCP, *CONSOLE), {vendor.PREFIX: _compatible})
# none of the others has this policy
NO_TOKEN = frozenset(row.path for row in TABLE.now if row.policy is Policy.PUBLIC)

# the transcripts of agents, by the name of the agent's driver
TRANSCRIPTS = {
    "claude": AgentTranscripts(claude_folder, 1, ClaudeTranscript),
    "codex": AgentTranscripts(codex_folder, 3, CodexTranscript),
}


class Start(Struct, frozen=True):
    """What a hub is started with. `source`: where the settings come from, to read and change them while it
    runs. `by_itself`: a shell started the hub, so it may choose another port, and stops when it is idle.
    `mark`: what `mark_own_process` returned. `secrets`: masked in all logs."""

    settings: Settings
    source: Source
    home: Home
    environment: Mapping[str, str]
    by_itself: bool = False
    mark: Mark | None = None
    secrets: Secrets = msgspec.field(default_factory=Secrets)


class Shared(Struct, frozen=True):
    """What a hub needs of a store that several nodes share."""

    rows: SharedRows
    nodes: Nodes


def gated(node: Node, tokens: TokenFile, mark: Mark | None = None) -> App:
    """Return the app that serves all routes, behind the gate that checks each request. `mark`: of the
    processes that the hub starts."""

    def addresses() -> Addresses:
        assert node.addresses is not None
        return node.addresses

    def hosts() -> dict[int, str]:
        return {
            instance.running.host_pid: instance.peer.name
            for instance in node.hub.state.instances.values()
            if not instance.peer.machine  # its processes are not on this machine
        }

    state = node.hub.state
    keys_of_tokens = partial(load_keys, state.identities, state.store)
    node.access_tokens = AccessTokens(state.identities, keys_of_tokens, fetch=state.mirrors.fetch)
    state.identities.hub_token = tokens.digest
    if state.nodes.own:
        tokens.retired = state.identities.retired
        tokens.replaced = partial(retire_hub_token, state)
    node.logins.identities, node.logins.fetch = state.identities, state.mirrors.fetch
    keys = KeysOfPrograms(state.program_keys)
    node.verifier = Verifier(tokens, node.owner, node.access_tokens, keys, issuers=node.issuers)
    node.attempts.noted = node.note_attempt
    return Gate(
        Router(TABLE, node),
        addresses=addresses,
        verifier=node.verifier,
        logins=node.logins,
        tally=node.tally,
        attempts=node.attempts,
        owner=node.owner,
        public=NO_TOKEN,
        held=node.held,
        rates=node.byte_rates,
        processes=Processes(hosts, mark),
        refused=node.note_refusal,
        trusts_unidentified=lambda: node.trusts_unidentified,
        passing=lambda: node.passing,
    )


def collect_seldom() -> None:
    """Make garbage collections rarer and shorter. Call this when everything is imported.

    Imported objects live as long as the process, so collections need not visit them. The pauses of a busy
    hub come from collections of the oldest generation.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()


async def serve(start: Start) -> None:
    """Run a hub until it is stopped.

    Raises:
        InvalidSettings: the hub cannot be started with these settings.
    """
    settings = start.settings
    collect_seldom()
    async with AsyncExitStack() as stack:
        certificate = _certificate(settings.hub)
        tcp = stack.enter_context(
            tcp_listener(
                settings.hub.host,
                settings.hub.port,
                or_any=start.by_itself,
                last=last_port(start.home.folder, settings.hub.port),
                tls=certificate is not None,
            )
        )
        ring = Ring(start.home.folder, settings.encryption.key)
        member = await _membership(stack, start, tcp)
        unix = stack.enter_context(unix_listener(start.home.socket))
        own_socket = start.home.socket.stat()
        spools = SpoolKeys(ring, active=settings.encryption.at_rest)
        port = tcp.getsockname()[1]
        note_port(start.home.folder, settings.hub.port, port)
        place = {HOME: str(start.home.folder), URL: _url_of(settings.hub, port, certificate)}
        keys = ProgramKeys(start.secrets, place)
        stored = ApiKeys(start.home.folder, ring)
        api_keys = ProviderKeys(stored, start.secrets)
        made = configure(
            settings,
            start.home,
            start.environment,
            start.secrets,
            spools=spools,
            keys=keys,
            kept=api_keys.kept,
        )
        prompt = PromptHistory(start.home.folder, ring, active=settings.encryption.at_rest)
        opened = _hub(start, made, ring, keys, prompt, stored, member)
        hub, reloading, data_keys = await stack.enter_async_context(opened)
        node = reloading.node = _node(start, hub, made)
        node.prompt = prompt
        hub.state.schedules.counted = partial(note_schedules, start.home.folder)
        note_schedules(start.home.folder, hub.state.schedules.waiting)

        def changed() -> None:
            node.logins.codes.forget_all()  # logins that were made with the old token end with it, too
            start.secrets.add(filter(None, [tokens.current]))
            who = Principal(node.owner, credential="file")
            hub.state.background.start(hub.state.audit.note(who, "token.replace"), "audit of the token")

        tokens = TokenFile(start.home.folder / "token", changed)
        start.secrets.add(filter(None, [tokens.current]))
        app = gated(node, tokens, start.mark)
        _name(node, port, start, settings.hub, certificate, tokens)
        server = HubServer(app, lambda: _say(node), partial(_close, hub, member), certificate=certificate)
        node.shut_down = lambda: setattr(server, "should_exit", True)
        node.reload = reloading.reload
        node.data_keys, node.seal = data_keys, ring
        api_keys.reloading, node.api_keys = reloading, api_keys
        node.configuration = ConfigurationFile(reloading)
        node.local_models = LocalLibrary(reloading, node.configuration)
        stack.enter_context(on_hang_up(reloading.try_reload, node.shut_down))
        # no failure of these ends the hub: it is logged
        starter = Principal(node.owner, address=f"pid {os.getpid()}")
        beside = [
            hub.state.background.start(hub.state.audit.begin(starter, node.version), "audit of the start"),
            hub.state.background.start(made.access.warm_up(), "warm-up"),
            hub.state.background.start(made.access.check_models(), "models"),
            hub.state.background.start(node.connections.keep_checking(), "connections"),
            hub.state.background.start(asyncio.to_thread(prompt.settle), "prompt history"),
            hub.state.background.start(
                keep_small(node.tally, node.held, hub.state.store.forget_unused), "memory"
            ),
        ]
        if certificate is not None:
            beside.append(hub.state.background.start(certificate.keep_current(), "certificate"))
            renewal = keep_renewed(certificate, start.home.folder)
            beside.append(hub.state.background.start(renewal, "renewal of the certificate"))
        if member is not None:
            from rhetor.transports.server.node_connections import NodeConnections
            from rhetor.transports.server.passing import PassedRequests

            node.nodes = member.described
            node.passing = PassedRequests(node, NodeConnections(certificate))
            beside.append(
                hub.state.background.start(_end_when_lost(member.leases, node), "loss of the lease")
            )
        if start.by_itself:
            idle = stop_when_idle(server, lambda: _is_needed(hub), settings.hub.idle_exit)
            beside.append(hub.state.background.start(idle, "idle-exit"))
        try:
            await server.serve(sockets=[unix, tcp])
        finally:
            for task in beside:
                task.cancel()
        remove_socket(start.home.socket, own_socket)
        if member is not None and member.leases.lost.is_set():
            raise FenceLost


async def _membership(stack: AsyncExitStack, start: Start, tcp: socket.socket) -> Membership | None:
    """Return this node among those that share its database, with its lease; None without such a database."""
    settings = start.settings
    if settings.store == SQLITE:
        return None
    # most hubs never need it
    from rhetor.nodes import membership, node_name, own_address
    from rhetor.store.postgres.leases import Leases

    start.secrets.add(filter(is_secret, passwords_of(settings.store)))
    address = own_address(settings.hub.host, tcp, settings.hub.node_address)
    leases = Leases(settings.store, node_name(start.home.folder), address)
    return await stack.enter_async_context(membership(leases))


async def _close(hub: Hub, member: Membership | None) -> None:
    if member is not None and member.leases.lost.is_set():
        await end_all(hub.state)
    elif member is not None:
        member.keeps_lease = any(not each.peer.machine for each in hub.state.instances.values())
    await hub.aclose()


async def _end_when_lost(leases: Leases, node: Node) -> None:
    await leases.lost.wait()
    node.shut_down()


def _is_needed(hub: Hub) -> bool:
    """Return whether the hub must not stop although nobody uses it: something is running, or will run."""
    state = hub.state
    return bool(state.running or state.instances or state.schedules.waiting)


async def _opened(
    start: Start, settings: Settings, ring: Ring, member: Membership | None
) -> tuple[AnyStore, FileBlobs | None, Blobs, Shared | None]:
    """Open the store that the settings name, and return it with its binary content: that in files, too; and
    with what only a shared one has."""
    sealed = settings.encryption.at_rest
    if settings.store == SQLITE:
        files = FileBlobs(start.home.folder / "blobs", ring, sealed=sealed)
        database = Path(start.home.folder) / "hub.db"
        embedded = await SqliteStore.open(
            database, clock=wall_clock, secrets=start.secrets, salvages=True, ring=ring, at_rest=sealed
        )
        return embedded, files, files, None
    # most hubs never need it
    from rhetor.store.postgres.store import PostgresStore

    assert member is not None
    shared = await PostgresStore.open(
        settings.store,
        clock=wall_clock,
        secrets=start.secrets,
        ring=ring,
        at_rest=sealed,
        lease=member.leases,
        witness=Path(start.home.folder) / "postgres.witness",
    )
    return shared, None, shared.blobs, Shared(shared, member.nodes(shared.owner))


@asynccontextmanager
async def _hub(
    start: Start,
    made: Configured,
    ring: Ring,
    keys: ProgramKeys,
    prompt: PromptHistory,
    stored: ApiKeys,
    member: Membership | None,
) -> AsyncIterator[tuple[Hub, Reloading, DataKeys]]:
    sealed = made.settings.encryption.at_rest
    store, blob_files, blobs, shared = await _opened(start, made.settings, ring, member)
    for notice in store.notices:  # a plain sentence, which a shell that starts the hub shows
        sys.stderr.write(f"rhetor: {notice}\n")
    made.agents.forget()
    reloading = Reloading(start.source, start.home, start.environment, made)
    files = FilesOnDemand(
        start.home.folder / "checkpoints",
        max_file_bytes=made.settings.checkpoints.max_file_bytes,
        without=[start.home.folder],
        seal=FileSeal(ring, active=sealed),
    )
    hosts = Hosts(start.home.folder / "hosts", start.home.runtime, secrets=start.secrets, keys=made.spools)
    sealed_files = SealedFiles(blob_files, files, [hosts, made.agents.hosts], prompt, stored)
    data_keys = DataKeys(ring, store, sealed_files, at_rest=sealed)
    machines = Machines()
    remote_files = MachineFiles(machines, asyncio.get_running_loop())
    try:
        files.seal_journals()
        async with open_hub(
            store,
            Peers(made.peers, made.settings.teams),
            made.drivers,
            limits=made.limits,
            program_drivers=program_drivers(start.home.folder, Places(hosts, machines)),
            machine_links=machines,
            launches=made.programs.launch,
            kept=blobs,
            transcripts=TRANSCRIPTS,
            secrets=start.secrets,
            servers=made.servers,
            files=FilesByMachine(files, remote_files.call, machines.connected),
            budgets=made.budgets,
            program_keys=keys,
            senders=made.senders,
            owner=user_name(),
            inputs=made.access.inputs,
            download=download,
            shared=shared.rows if shared else None,
            nodes=shared.nodes if shared else None,
        ) as hub:
            if member is not None:
                member.opened(hub.state)
                hub.state.background.start(end_lost(hub.state, hosts.known()), "lost programs")
            hub.state.peers.use_installed(made.programs.is_usable)
            data_keys.background = hub.state.background
            if hub.state.nodes.own:
                data_keys.share(hub.state)
            hub.state.background.start(data_keys.resume(), "seal again")
            yield hub, reloading, data_keys
    finally:
        sealed_files.stop()
        files.close()
        await reloading.aclose()
        await store.aclose()


def _node(start: Start, hub: Hub, made: Configured) -> Node:
    limits = made.settings.limits
    issuers = Issuers(document)
    issuers.configure(issuers_of(made.settings))
    return Node(
        hub,
        made.access,
        Logins(),
        version(DISTRIBUTION),
        str(start.home.folder),
        user_name(),
        wall_clock(),
        start.by_itself,
        lambda: None,
        max_parallel=made.settings.bulk.max_parallel,
        programs=made.programs,
        held=HeldBytes(limits.body_bytes_at_once),
        rates=Rates(limits.messages_per_second, limits.messages_burst),
        byte_rates=ByteRates(limits.bytes_per_second),
        connections=Connections(limits.connections_per_minute, limits.connections_at_once),
        attempts=Attempts(limits.attempts_per_minute),
        trusts_unidentified=made.settings.hub.trust_unidentified,
        issuers=issuers,
    )


def _certificate(hub: HubSettings) -> Certificate | None:
    files = tls_files(hub.tls_cert, hub.tls_key)
    return Certificate(files) if files else None


def _url_of(hub: HubSettings, port: int, certificate: Certificate | None) -> str:
    """Return the URL of the TCP listener."""
    name, _ = own_names(hub.host, certificate.names if certificate else (), "")
    return f"{'https' if certificate else 'http'}://{name}:{port}"


def _console_name(tokens: TokenFile) -> str:
    """Return a name for the console that nobody can guess. It stays the same until the hub's token is
    replaced, so that a page which is open when the hub is started again finds it."""
    key = (tokens.current or "").encode()
    return f"{hmac.new(key, b'console', 'sha256').hexdigest()[:16]}.localhost"


def _name(
    node: Node,
    port: int,
    start: Start,
    hub: HubSettings,
    certificate: Certificate | None,
    tokens: TokenFile,
) -> None:
    """Set the hub's addresses; its port is known now."""
    names = certificate.names if certificate else ()
    name, console = own_names(hub.host, names, _console_name(tokens))
    node.url = _url_of(hub, port, certificate)
    node.console = f"{urlsplit(node.url).scheme}://{console}:{port}"
    node.sockets = (f"unix:{start.home.socket}", node.url)
    node.addresses = Addresses(
        port,
        console,
        hub.allowed_hosts,
        hub.allowed_origins,
        tls=bool(certificate),
        names=(name, *names),
        for_network=not is_loopback(hub.host),
    )
    if certificate is None:
        return

    def changed() -> None:
        assert node.addresses is not None
        node.addresses = node.addresses.named((name, *certificate.names))

    node.certificate, certificate.changed = certificate, changed


def _say(node: Node) -> None:
    """Print the one line on stdout which says that the hub accepts clients."""
    sys.stdout.write(f"rhetor listening on {node.url} and {node.sockets[0]}\n")
    sys.stdout.flush()
