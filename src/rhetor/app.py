"""The composition root: builds from the settings the drivers, the hub, and what transports need of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from rhetor.auth.issuers import Issuers
from rhetor.auth.limits import Attempts
from rhetor.auth.logins import Logins
from rhetor.auth.process_tree import Mark
from rhetor.configuration import ConfigurationFile
from rhetor.data_keys import DataKeys
from rhetor.domain.program_keys import HOME, URL, ProgramKeys
from rhetor.domain.secrets import Secrets
from rhetor.drivers.agents.claude.transcript import ClaudeTranscript
from rhetor.drivers.agents.codex.transcript import CodexTranscript
from rhetor.drivers.agents.transcripts import AgentTranscripts, claude_folder, codex_folder
from rhetor.drivers.models.documents import document, download
from rhetor.drivers.programs.host.hosts import Hosts
from rhetor.drivers.programs.places import Places
from rhetor.drivers.programs.remote.files import MachineFiles
from rhetor.drivers.programs.remote.machine import Machines
from rhetor.home import Home, user_name
from rhetor.hub.core.ids import wall_clock
from rhetor.hub.hub import Hub
from rhetor.hub.opening import open_hub
from rhetor.hub.peers import Peers
from rhetor.hub.programs.adoption import end_lost
from rhetor.hub.state import State
from rhetor.local_models import LocalLibrary
from rhetor.program_drivers import program_drivers
from rhetor.provider_keys import ProviderKeys
from rhetor.reload import Reloading
from rhetor.sealed_files import SealedFiles
from rhetor.settings import Settings, Source
from rhetor.storage import StateFiles, open_store
from rhetor.store.files.by_machine import FilesByMachine
from rhetor.store.files.on_demand import FilesOnDemand
from rhetor.store.files.sealing import FileSeal
from rhetor.transports.server.connections import Connections
from rhetor.transports.server.held_bytes import HeldBytes
from rhetor.transports.server.node import Node
from rhetor.transports.server.rates import ByteRates, Rates
from rhetor.wiring import Configured, configure, issuers_of

if TYPE_CHECKING:
    from rhetor.nodes import Membership

DISTRIBUTION = "tekton-aish"
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


class Opened(Struct, frozen=True):
    """An open hub, and what was made for it."""

    hub: Hub
    made: Configured
    reloading: Reloading
    data_keys: DataKeys
    provider_keys: ProviderKeys


@asynccontextmanager
async def opened_hub(
    start: Start, files: StateFiles, url: str, member: Membership | None
) -> AsyncIterator[Opened]:
    """Open the hub, and close it with everything that belongs to it. `url`: by which programs reach it."""
    settings, folder = start.settings, start.home.folder
    sealed = settings.encryption.at_rest
    keys = ProgramKeys(start.secrets, {HOME: str(folder), URL: url})
    provider_keys = ProviderKeys(files.api_keys, start.secrets)
    made = configure(
        settings,
        start.home,
        start.environment,
        start.secrets,
        spools=files.spools,
        keys=keys,
        kept=provider_keys.kept,
    )
    stored = await open_store(settings, folder, start.secrets, files.ring, member)
    store = stored.store
    for notice in store.notices:  # a plain sentence, which a shell that starts the hub shows
        sys.stderr.write(f"rhetor: {notice}\n")
    made.agents.forget()
    reloading = Reloading(start.source, start.home, start.environment, made)
    checkpoints = FilesOnDemand(
        folder / "checkpoints",
        max_file_bytes=settings.checkpoints.max_file_bytes,
        without=[folder],
        seal=FileSeal(files.ring, active=sealed),
    )
    hosts = Hosts(folder / "hosts", start.home.runtime, secrets=start.secrets, keys=files.spools)
    sealed_files = SealedFiles(
        stored.blob_files, checkpoints, [hosts, made.agents.hosts], files.prompt, files.api_keys
    )
    data_keys = DataKeys(files.ring, store, sealed_files, at_rest=sealed)
    machines = Machines()
    remote_files = MachineFiles(machines, asyncio.get_running_loop())
    try:
        checkpoints.seal_journals()
        async with open_hub(
            store,
            Peers(made.peers, settings.teams),
            made.drivers,
            limits=made.limits,
            program_drivers=program_drivers(folder, Places(hosts, machines)),
            machine_links=machines,
            launches=made.programs.launch,
            kept=stored.blobs,
            transcripts=TRANSCRIPTS,
            secrets=start.secrets,
            servers=made.servers,
            files=FilesByMachine(checkpoints, remote_files.call, machines.connected),
            budgets=made.budgets,
            program_keys=keys,
            senders=made.senders,
            owner=user_name(),
            inputs=made.access.inputs,
            download=download,
            shared=stored.shared,
            nodes=stored.nodes,
        ) as hub:
            _begin(hub.state, made, data_keys, hosts, member)
            yield Opened(hub, made, reloading, data_keys, provider_keys)
    finally:
        sealed_files.stop()
        checkpoints.close()
        await reloading.aclose()
        await store.aclose()


def _begin(
    state: State, made: Configured, data_keys: DataKeys, hosts: Hosts, member: Membership | None
) -> None:
    """Let the parts outside of the hub use it."""
    if member is not None:
        member.opened(state)
        state.background.start(end_lost(state, hosts.known()), "lost programs")
    state.peers.use_installed(made.programs.is_usable)
    data_keys.background = state.background
    if state.nodes.own:
        data_keys.share(state)
    state.background.start(data_keys.resume(), "seal again")


def node_of(start: Start, opened: Opened, files: StateFiles) -> Node:
    """Return what transports need of this process."""
    hub, made, reloading = opened.hub, opened.made, opened.reloading
    limits = made.settings.limits
    issuers = Issuers(document)
    issuers.configure(issuers_of(made.settings))
    node = Node(
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
    node.prompt, node.seal = files.prompt, files.ring
    node.data_keys, node.api_keys = opened.data_keys, opened.provider_keys
    node.reload, node.configuration = reloading.reload, ConfigurationFile(reloading)
    node.local_models = LocalLibrary(reloading, node.configuration)
    reloading.node, opened.provider_keys.reloading = node, reloading
    return node
