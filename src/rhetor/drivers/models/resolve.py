"""Resolves references to models: `auto`, `offline`, `provider/model` or `cli:agent`.

The environment is an argument. The process's own environment is not read here.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

import msgspec

from rhetor.drivers.models import errors
from rhetor.drivers.models.local import LOCAL, Local, local_target
from rhetor.drivers.models.local_models import LocalServer, local_servers, search
from rhetor.drivers.models.target import AgentTarget, Kind, Provider, Target
from rhetor.drivers.models.urls import Reach, Resolve, check_url, is_loopback, resolved
from rhetor.errors import ModelUnknown, ProviderDenied, Unprocessable

AUTO = "auto"
OFFLINE = "offline"
CLI = "cli:"


class ProviderEntry(msgspec.Struct, frozen=True):
    """A configured provider. If `base_url` is None, it has the URL and the key variable of its kind.

    A provider with a `base_url` gets its key only from `api_key_env`, or the one that was stored for it, so
    that no key is sent to a wrong host.
    """

    kind: Kind
    base_url: str | None = None
    api_key_env: str | None = None
    allow_private: bool = False


# loopback addresses may always be called; other private addresses need an entry that allows them
_FROM_ENVIRONMENT = Reach(loopback=True)

_SHOWN = 5  # models in a hint

# how long the result "no provider" is kept before local servers are searched again; the same is true for a
# small model that the hub runs itself
OFFLINE_SECONDS = 10.0

ListModels = Callable[[Provider], Awaitable[Sequence[str]]]
LocalServers = Callable[[Mapping[str, str]], Sequence[LocalServer]]
KeptKeys = Callable[[], Awaitable[Mapping[str, str]]]


class Agents(Protocol):
    """The coding agents that can answer as models."""

    def named(self, ref: str) -> AgentTarget:
        """Return the agent of a reference.

        Raises:
            ProviderFailed: there is no such agent, or it cannot answer.
        """
        ...

    def ready(self) -> AgentTarget | None:
        """Return the agent that `auto` may use; None if there is none."""
        ...


async def no_kept_keys() -> Mapping[str, str]:
    return {}


class _Found(NamedTuple):
    """The target of a reference, which is valid until `until`, in seconds of the clock."""

    target: Target | AgentTarget | None
    until: float = math.inf


class Models:
    """Resolves references and caches the results until `reset`. The result "no provider" expires.

    `list_models` asks a provider for its models. `servers` lists the local servers to search. `agents`: the
    coding agents that can answer as models. `small`: the models that the hub runs itself. `kept` returns the
    keys that the user has stored, by the name of the provider. `clock` returns monotonic seconds.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        list_models: ListModels,
        *,
        providers: Mapping[str, ProviderEntry] = MappingProxyType({}),
        default: str = AUTO,
        servers: LocalServers = local_servers,
        agents: Agents | None = None,
        small: Local | None = None,
        kept: KeptKeys = no_kept_keys,
        resolve: Resolve = resolved,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._list_models = list_models
        self._servers = servers
        self._agents = agents
        self._small = small
        self._read_kept = kept
        self._kept: Mapping[str, str] = {}
        self._resolve = resolve
        self._searching = asyncio.Lock()
        self._entries = dict(providers)
        self._default = default
        self.reset(environment)

    def reset(
        self,
        environment: Mapping[str, str],
        *,
        providers: Mapping[str, ProviderEntry] | None = None,
        default: str | None = None,
    ) -> None:
        """Use another environment or configuration, and forget all results."""
        self._environment = dict(environment)
        if providers is not None:
            self._entries = dict(providers)
        self._default = default or self._default
        # a new dict, so that a search that is still running fills the old one, which nobody reads any more
        self._found: dict[str, _Found] = {}

    async def providers(self) -> list[Provider]:
        """Return the configured and the built-in providers, with or without a key."""
        self._kept = await self._read_kept()
        found = (self._provider(name) for name in dict.fromkeys((*self._entries, *BUILT_IN)))
        return [provider for provider in found if provider is not None]

    @property
    def local_servers(self) -> Sequence[LocalServer]:
        return self._servers(self._environment)

    async def model_of(self, provider: Provider) -> str:
        """Return the model of a provider that `auto` would use.

        Raises:
            ModelUnknown: the provider's URL may not be called.
            ProviderFailed: the provider did not list its models.
        """
        await self._check(provider, AUTO)
        return await self._model_of(provider)

    def key_variables(self) -> dict[str, str]:
        """Return the names of the providers, each with the variable that has its key; empty if none has."""
        found: dict[str, str] = {}
        for name in dict.fromkeys((*self._entries, *BUILT_IN)):
            entry = self._entries.get(name)
            own = (entry.api_key_env,) if entry is not None and entry.api_key_env else ()
            is_own_url = entry is not None and entry.base_url is not None
            names = own or (() if is_own_url else BUILT_IN[entry.kind if entry else name].key_envs)
            found[name] = next((each for each in names if self._environment.get(each, "").strip()), "")
        return found

    def callable(self) -> list[Provider]:
        """Return the providers that are configured, and the built-in ones that have a key."""
        names = dict.fromkeys((*self._entries, *(provider.name for provider in self._with_keys())))
        return [provider for name in names if (provider := self._provider(name)) is not None]

    async def local(self) -> list[Target]:
        """Return the models of the servers on this machine that need no configuration."""
        servers = [one for one in self._servers(self._environment) if one.name not in self._entries]
        found = await search(servers)
        return [Target(_local(server), name) for server, names in found for name in names]

    def small(self) -> list[Target]:
        """Return the models that the hub can run itself, unless a configured provider has their name."""
        if self._small is None or LOCAL in self._entries:
            return []
        return [local_target(name) for name in self._small.names()]

    async def resolve(self, ref: str | None) -> Target | AgentTarget | None:
        """Return the target of `ref` (None means `auto`); None for the offline model.

        Raises:
            ModelUnknown: there is no such provider or agent, or the provider's URL may not be called.
            ProviderDenied: the provider needs a key and has none, or the agent is not logged in.
            ProviderFailed: the provider did not list its models.
        """
        ref = ref or AUTO
        found = self._found
        if not self._holds(found.get(ref)):
            async with self._searching:
                if not self._holds(found.get(ref)):
                    found[ref] = await self._search(ref)
        return found[ref].target

    def _holds(self, found: _Found | None) -> bool:
        # only what another model could replace expires, so an ordinary turn does not read the clock
        return found is not None and (found.until == math.inf or self._clock() < found.until)

    async def _search(self, ref: str) -> _Found:
        self._kept = await self._read_kept()
        ref = self._default if ref == AUTO else ref
        if ref == OFFLINE:
            return _Found(None)
        if ref.startswith(CLI):
            return _Found(self._agent(ref))
        if ref != AUTO:
            return _Found(await self._explicit(ref))
        if target := await self._auto():
            return _Found(target)
        name = self._small.ready() if self._small is not None else None
        return _Found(local_target(name) if name else None, self._clock() + OFFLINE_SECONDS)

    def _agent(self, ref: str) -> AgentTarget:
        if self._agents is None:
            raise _unknown(f"{ref!r} is not a model", ref, "", "coding agents cannot answer as models here")
        return self._agents.named(ref)

    async def _auto(self) -> Target | AgentTarget | None:
        for provider in self._with_keys():
            await self._check(provider, AUTO)
            return Target(provider, await self._model_of(provider))
        if found := await search(self._servers(self._environment)):
            return _on_this_machine(found, self._environment.get("RHETOR_MODEL", "").strip())
        return self._agents.ready() if self._agents is not None else None

    async def _explicit(self, ref: str) -> Target:
        name, _, model = ref.partition("/")
        if not (name and model):
            raise _unknown(f"{ref!r} is not a model", name, model, "write provider/model, cli:agent or auto")
        provider = self._provider(name)
        if provider is None and name == LOCAL and self._small is not None:
            self._small.require(model)
            return local_target(model)
        if provider is None:
            raise _unknown(f"there is no provider named {name!r}", name, model, f"providers: {self._known()}")
        if not provider.key and provider.key_env:
            hint = f"set {provider.key_env}, or run: aish keys set {name}"
            if name in self._kept:
                hint = f"set {provider.key_env}, or providers.{name}.base_url to send the stored key there"
            raise ProviderDenied(f"no API key for {name}", provider=name, model=model, status=None, hint=hint)
        await self._check(provider, model)
        return Target(provider, model)

    def _known(self) -> str:
        local = (server.name for server in self._servers(self._environment))
        small = () if self._small is None else (LOCAL,)
        return ", ".join(sorted({*self._entries, *BUILT_IN, *local, *small}))

    def _provider(self, name: str) -> Provider | None:
        """Return the provider with this name, with or without a key; None if there is none. The configuration
        has priority."""
        if entry := self._entries.get(name):
            return self._configured(name, entry)
        if built := BUILT_IN.get(name):
            return self._built_in(name, built)
        servers = self._servers(self._environment)
        return next((_local(server) for server in servers if server.name == name), None)

    def _with_keys(self) -> Iterator[Provider]:
        """Yield the providers that `auto` may use: those with a key, and those with a built-in name whose URL
        is on this machine, which need no key. The configured ones come first."""
        names = [*self._entries, *(name for name in BUILT_IN if name not in self._entries)]
        for name in names:
            provider = self._provider(name)
            if provider is None:
                continue
            here = name in BUILT_IN and provider.reach is not None and is_loopback(provider.base_url)
            if provider.key or here:
                yield provider

    def _configured(self, name: str, entry: ProviderEntry) -> Provider:
        built = BUILT_IN[entry.kind]
        if entry.base_url is None:
            key_envs = (entry.api_key_env,) if entry.api_key_env else built.key_envs
            key_env, key = self._key(key_envs, name)
            return Provider(name, entry.kind, built.base_url, key, key_env)
        key_env, key = self._key((entry.api_key_env,) if entry.api_key_env else (), name)
        reach = Reach(loopback=True, private=entry.allow_private)
        return _elsewhere(name, entry.kind, entry.base_url, key, key_env, reach)

    def _built_in(self, name: str, built: BuiltIn) -> Provider:
        url = self._environment.get(built.url_env, "").strip()
        if not url or url.rstrip("/") == built.base_url:
            key_env, key = self._key(built.key_envs, name)
            return Provider(name, built.kind, built.base_url, key, key_env)
        # a variable must not send a stored key to another host
        key_env, key = self._key(built.key_envs)
        return _elsewhere(name, built.kind, url, key, key_env, _FROM_ENVIRONMENT)

    def _key(self, names: tuple[str, ...], provider: str = "") -> tuple[str, str]:
        """Return the first variable that is set, and its value, or else the key that is stored for the
        provider, and what it is called. If there is none, return the first name and no key."""
        for name in names:
            if key := self._environment.get(name, "").strip():
                return name, key
        if key := self._kept.get(provider, ""):
            return f"the key that aish keys set {provider} has stored", key
        return names[0] if names else "", ""

    async def _model_of(self, provider: Provider) -> str:
        """Return the model for `auto`: RHETOR_MODEL if it is set, otherwise the default of a provider at its
        built-in URL, or the first suitable model that a provider at another URL lists."""
        if model := self._environment.get("RHETOR_MODEL", "").strip():
            return model
        if provider.reach is None:
            return BUILT_IN[provider.kind].model
        names = await self._list_models(provider)
        # a relay that lists no models accepts the names of its kind
        return chosen(names) if names else BUILT_IN[provider.kind].model

    async def _check(self, provider: Provider, model: str) -> None:
        if provider.reach is None:
            return
        try:
            await check_url(provider.base_url, provider.reach, self._resolve)
        except Unprocessable as error:
            raise errors.out_of_reach(Target(provider, model), error) from error


def _elsewhere(name: str, kind: Kind, url: str, key: str, key_env: str, reach: Reach) -> Provider:
    # a local server often needs no key, even if the entry names a variable for one
    needed = key_env if key or not is_loopback(url) else ""
    return Provider(name, kind, url, key, needed, reach)


def _local(server: LocalServer) -> Provider:
    return Provider(server.name, "openai", server.url, reach=_FROM_ENVIRONMENT)


def _on_this_machine(found: Sequence[tuple[LocalServer, Sequence[str]]], wanted: str) -> Target:
    """Return the target for `wanted`, the model of RHETOR_MODEL, on the first server that has it. If it is
    empty, return the first server's own choice.

    Raises:
        ModelUnknown: no server has the model.
    """
    if not wanted:
        server, names = found[0]
        return Target(_local(server), chosen(names))
    for server, names in found:
        if {wanted, f"{wanted}:latest"} & set(names):
            return Target(_local(server), wanted)
    from difflib import get_close_matches  # only an error needs it

    there = [name for _, names in found for name in names]
    near = get_close_matches(wanted, there, 1)
    hint = f"did you mean {near[0]}?" if near else f"it may be {', '.join(there[:_SHOWN])}"
    servers = " and ".join(server.name for server, _ in found)
    detail = f"no model {wanted!r} (RHETOR_MODEL) at {servers} on this machine"
    raise _unknown(detail, found[0][0].name, wanted, hint)


def chosen(names: Sequence[str]) -> str:
    """Return the first model that is not for embeddings. If all are for embeddings, return the first one."""
    return next((name for name in names if "embed" not in name.lower()), names[0])


def _unknown(detail: str, provider: str, model: str, hint: str) -> ModelUnknown:
    return ModelUnknown(detail, provider=provider, model=model, status=None, hint=hint)


class BuiltIn(msgspec.Struct, frozen=True):
    """A provider that needs no configuration. `key_envs`: the variables that may have its key. `url_env`: the
    variable that changes its URL. `model`: the one that `auto` uses."""

    kind: Kind
    base_url: str
    key_envs: tuple[str, ...]
    url_env: str
    model: str


# in the order in which `auto` tries them
BUILT_IN: Mapping[str, BuiltIn] = MappingProxyType(
    {
        "openrouter": BuiltIn(
            "openrouter",
            "https://openrouter.ai/api/v1",
            ("OPENROUTER_API_KEY",),
            "OPENROUTER_BASE_URL",
            "openrouter/auto",
        ),
        "anthropic": BuiltIn(
            "anthropic",
            "https://api.anthropic.com",
            ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
            "ANTHROPIC_BASE_URL",
            "claude-sonnet-5-5",
        ),
        "openai": BuiltIn(
            "openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",), "OPENAI_BASE_URL", "gpt-5.4-mini"
        ),
    }
)
