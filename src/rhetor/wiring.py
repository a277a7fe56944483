"""Builds from the settings what a hub needs: its peers, their drivers, and its limits.

This happens when the hub starts, and again when the configuration is reloaded. The module knows neither the
hub nor its transports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import asdict

from rhetor.auth.issuer_keys import IssuerEntry
from rhetor.domain.budget import Budget
from rhetor.domain.notification import Recipient
from rhetor.domain.peer import Peer
from rhetor.domain.program_keys import ProgramKeys
from rhetor.domain.secrets import Secrets, is_secret, secret_values, secrets_of
from rhetor.domain.tool_server import ToolServer
from rhetor.drivers.agents.protocols import PROTOCOLS
from rhetor.drivers.base import Driver, Sender
from rhetor.drivers.local.models import LocalModels
from rhetor.drivers.model_tools.driver import with_tools
from rhetor.drivers.model_tools.mcp_reach import ServerEntry
from rhetor.drivers.model_tools.servers import ToolServers
from rhetor.drivers.models.access import ModelAccess
from rhetor.drivers.models.agent_models import AgentEntry, AgentModels
from rhetor.drivers.models.deadline import Timeouts
from rhetor.drivers.models.prices import Price
from rhetor.drivers.models.resolve import KeptKeys, ProviderEntry, no_kept_keys
from rhetor.drivers.models.urls import Reach
from rhetor.drivers.notifications.command import Command
from rhetor.drivers.notifications.desktop import Desktop
from rhetor.drivers.notifications.ntfy import Ntfy
from rhetor.drivers.notifications.webhook import Webhook
from rhetor.drivers.programs.host.hosts import Hosts
from rhetor.drivers.programs.host.spool_keys import SpoolKeys
from rhetor.home import Home
from rhetor.hub.core.limits import CheckpointLimits, Limits, Retention
from rhetor.settings import (
    ANSWERING,
    Keys,
    NotifySettings,
    Settings,
    budgets_of,
    named_models,
    notify_secrets,
    peers_of,
    recipients_of,
    tools_of,
)
from rhetor.tool_catalog import ConfiguredPrograms


class Configured(Struct, frozen=True):
    """What one version of the settings defines. `agents`: the coding agents that may answer as models.
    `small`: the models that the hub itself runs. `spools`: the keys of what programs print, and `kept`: those
    of providers. These three stay the same."""

    settings: Settings
    peers: Sequence[Peer]
    limits: Limits
    programs: ConfiguredPrograms
    agents: AgentModels
    access: ModelAccess
    servers: ToolServers
    drivers: Mapping[str, Driver]
    budgets: Sequence[Budget]
    senders: Sequence[Sender]
    small: LocalModels
    spools: SpoolKeys | None = None
    kept: KeptKeys = no_kept_keys

    @property
    def named(self) -> Mapping[Keys, str]:
        """The models that the settings name, by the keys of the setting."""
        return dict(named_models(self.settings))

    async def aclose(self) -> None:
        """Close `access` and `servers`. Call this when no turn that uses them is running any more."""
        await self.servers.aclose()
        await self.access.aclose()


def configure(
    settings: Settings,
    home: Home,
    environment: Mapping[str, str],
    secrets: Secrets | None = None,
    added: dict[str, ToolServer] | None = None,
    spools: SpoolKeys | None = None,
    keys: ProgramKeys | None = None,
    kept: KeptKeys = no_kept_keys,
    small: LocalModels | None = None,
) -> Configured:
    """Return what the settings define, and add their secrets to `secrets`. `added`: the MCP servers that were
    added at run time. `spools`: the keys of what programs print. `keys`: with which programs call the hub.
    `kept` returns the stored keys of providers. `small`: the models that the hub itself runs already.

    Raises:
        InvalidSettings: the settings contradict each other.
    """
    secrets = Secrets() if secrets is None else secrets
    secrets.add(_secrets_of(settings, environment))
    peers = peers_of(settings)
    budgets = budgets_of(settings, peers)
    programs = ConfiguredPrograms(tools_of(settings), environment)
    hosts = Hosts(home.folder / "models", home.runtime, secrets=secrets, keys=spools)
    keys = keys or ProgramKeys(secrets)
    agents = _agent_models(settings, home, peers, programs, hosts, keys)
    local = settings.models.local
    small = small or LocalModels(home.folder / "local-models", environment, local.use, local.idle)
    access = model_access(settings, environment, agents, kept, small)
    servers = _tool_servers(settings, home, environment, added, keys)
    drivers = {**access.drivers, "chat": with_tools(access.drivers["chat"], servers)}
    return Configured(
        settings,
        peers,
        _limits(settings),
        programs,
        agents,
        access,
        servers,
        drivers,
        budgets,
        senders_of(settings, home, environment),
        small,
        spools,
        kept,
    )


def issuers_of(settings: Settings) -> list[IssuerEntry]:
    """Return the configured issuers of tokens."""
    return [
        IssuerEntry(name, each.issuer, each.audience, each.scopes, each.jwks_url, each.allow_private)
        for name, each in settings.auth.issuers.items()
    ]


def senders_of(settings: Settings, home: Home, environment: Mapping[str, str]) -> list[Sender]:
    """Return what sends the notifications that the settings define.

    Raises:
        InvalidSettings: two recipients have the same name, or an address is never called.
    """
    return [_sender(recipient, entry, home, environment) for recipient, entry in recipients_of(settings)]


def _sender(
    recipient: Recipient, entry: NotifySettings, home: Home, environment: Mapping[str, str]
) -> Sender:
    reach = Reach(loopback=True, private=entry.allow_private)
    folder = str(home.folder)
    match entry.kind:
        case "webhook":
            return Webhook(recipient, entry.url or "", reach, environment, entry.secret_env or "")
        case "ntfy":
            return Ntfy(recipient, entry.url or "", reach, environment, entry.secret_env)
        case "command":
            return Command(recipient, entry.command, environment, folder, entry.secret_env)
        case "desktop":
            return Desktop(recipient, environment, folder)


def _secrets_of(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    """Return the keys of the providers, and the secrets of tools and MCP servers."""
    names = [provider.api_key_env for provider in settings.providers.values()]
    keys = [environment[name] for name in names if name and name in environment]
    own = [secret_values(tool.env) for tool in tools_of(settings).values()]
    own += [secrets_of(server.env, server.command, server.url) for server in settings.mcp_servers.values()]
    return [
        *filter(is_secret, keys),
        *secret_values(environment),
        *notify_secrets(settings, environment),
        *(value for found in own for value in found),
    ]


def _limits(settings: Settings) -> Limits:
    return Limits(
        settings.session.ttl,
        settings.session.context_window,
        settings.limits.message_bytes,
        settings.limits.hops,
        settings.limits.fanout,
        detach_ttl=settings.session.detach_ttl,
        default_peer=settings.session.default_peer,
        project_roots=settings.projects.roots,
        on_pause=settings.quota.on_pause or "ask",
        checkpoints=CheckpointLimits(
            settings.checkpoints.mode == "per_turn",
            settings.checkpoints.keep,
            settings.checkpoints.max_age_days,
            settings.checkpoints.max_bytes,
        ),
        retention=Retention(settings.retention.max_age_days, settings.retention.max_bytes),
        turns_at_once=settings.limits.turns_at_once,
        tokens_per_hour=settings.limits.tokens_per_hour,
        audit_messages=settings.audit.messages,
        blob_bytes=settings.limits.blob_bytes,
    )


def _agent_models(
    settings: Settings,
    home: Home,
    peers: Sequence[Peer],
    programs: ConfiguredPrograms,
    hosts: Hosts,
    keys: ProgramKeys,
) -> AgentModels:
    entries = {
        peer.name: AgentEntry(peer.driver, peer.program, partial(programs.launch, peer))
        for peer in peers
        if peer.program is not None
    }
    folder, automatic = home.folder / "empty", settings.models.agents
    protocols = {driver: PROTOCOLS[driver] for driver in ANSWERING}
    return AgentModels(entries, protocols, hosts, folder, automatic, keys)


def _tool_servers(
    settings: Settings,
    home: Home,
    environment: Mapping[str, str],
    added: dict[str, ToolServer] | None,
    keys: ProgramKeys,
) -> ToolServers:
    entries = {
        name: ServerEntry(s.command, s.env, s.pass_env, s.url, s.allow_private, s.approve)
        for name, s in settings.mcp_servers.items()
    }
    return ToolServers(entries, environment, str(home.folder), added=added, keys=keys)


def model_access(
    settings: Settings,
    environment: Mapping[str, str],
    agents: AgentModels | None = None,
    kept: KeptKeys = no_kept_keys,
    small: LocalModels | None = None,
) -> ModelAccess:
    """Return access to the configured providers and models."""
    models = settings.models
    entries = {
        name: ProviderEntry(p.kind, p.base_url, p.api_key_env, p.allow_private)
        for name, p in settings.providers.items()
    }
    prices = {
        ref: Price(p.input_per_1m, p.output_per_1m, p.cached_per_1m) for ref, p in models.prices.items()
    }
    timeouts = Timeouts(**asdict(settings.timeouts))
    return ModelAccess(
        environment,
        entries,
        models.default,
        timeouts,
        models.fallbacks,
        prices,
        agents,
        dict(named_models(settings)),
        kept,
        {ref: frozenset(takes) for ref, takes in models.takes.items()},
        small,
    )
