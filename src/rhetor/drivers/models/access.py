"""Which models this hub can reach, and how. Keys and base URLs are kept only here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from rhetor.domain.given import GivenConversation
from rhetor.domain.parts import Take
from rhetor.domain.peer import Peer
from rhetor.domain.provider_variables import MODEL, fingerprint, provider_variables
from rhetor.drivers.base import HOPS, Driver
from rhetor.errors import TurnFailure

from . import candidates
from .agent_models import AgentModels
from .clients import Clients
from .deadline import Timeouts
from .driver import ChatDriver
from .given.parts import fitted, has_parts
from .given.tokens import MOST_HOPS, TokenCount, count, estimated
from .given_models import Finding, GivenModels
from .inputs import KnownInputs, ModelInputs
from .listing import Sources, listed_models
from .local import LOCAL, Local
from .prices import Price, Prices
from .resolve import AUTO, CLI, OFFLINE, KeptKeys, Models, ProviderEntry, no_kept_keys
from .target import AgentTarget, Target

log = logging.getLogger(__name__)


class ModelAccess:
    """Builds the driver for models from the settings, and gives it the provider variables.

    `environment`: the process's own; `take_over` replaces its provider variables by those of a shell.
    `fallbacks`: references of the models to try, in this order, if a peer's own model fails. `prices`: the
    user's prices by reference, which have priority. `agents`: the agents that may answer as models. `named`:
    the models that the settings name, by the keys of the setting. `kept` returns the stored keys.
    `takes`: what models take besides text, by reference, which has priority. `small`: the models that the
    hub runs itself.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        providers: Mapping[str, ProviderEntry],
        default: str,
        timeouts: Timeouts,
        fallbacks: Sequence[str] = (),
        prices: Mapping[str, Price] = MappingProxyType({}),
        agents: AgentModels | None = None,
        named: Mapping[tuple[str | int, ...], str] = MappingProxyType({}),
        kept: KeptKeys = no_kept_keys,
        takes: Mapping[str, frozenset[Take]] = MappingProxyType({}),
        small: Local | None = None,
    ) -> None:
        self._named = named
        self._by_variable = default == AUTO  # whether RHETOR_MODEL decides which model answers
        self._findings: Sequence[Finding] = ()
        self._checking = asyncio.Lock()
        self._environment = dict(environment)
        self._agents = agents
        self._clients = Clients(timeouts.connect, local=small)
        self._models = Models(
            self._environment,
            self._clients.list_models,
            providers=providers,
            default=default,
            agents=agents,
            small=small,
            kept=kept,
        )
        self._given = GivenModels(self._models, self._clients)
        self._prices = Prices(prices)
        self._taken = ModelInputs(self._clients.list_takes, takes)
        self.inputs = KnownInputs(self._models, self._taken, agents.drivers if agents else {})
        """What all peers take besides text."""
        self._chat = ChatDriver(
            self._models,
            self._clients,
            timeouts,
            fallbacks=fallbacks,
            prices=self._prices,
            agents=agents,
            inputs=self._taken,
        )

    @property
    def drivers(self) -> Mapping[str, Driver]:
        return {"chat": self._chat}

    @property
    def environment(self) -> Mapping[str, str]:
        return self._environment

    @property
    def fingerprint(self) -> str:
        return fingerprint(self._environment)

    @property
    def model(self) -> str:
        return self._environment.get(MODEL, "")

    def take_over(self, variables: Mapping[str, str]) -> None:
        """Replace the provider variables by these. Other variables do not change."""
        kept = {k: v for k, v in self._environment.items() if k not in provider_variables(self._environment)}
        self._environment = {**kept, **provider_variables(variables)}
        self.forget()

    def forget(self) -> None:
        """Forget which models answer: the variables or the stored keys are others now."""
        self._models.reset(self._environment)
        self._given.forget()
        self._taken.forget()
        self._findings = ()

    async def candidates(self) -> list[dict[str, Any]]:
        """Return what could answer, as JSON values."""
        return [msgspec.structs.asdict(each) for each in await candidates.found(self._chat)]

    async def try_model(self, ref: str) -> dict[str, Any]:
        """Ask a model a short question; return how it answers, as JSON values."""
        return msgspec.structs.asdict(await candidates.tried(self._chat, ref))

    @property
    def key_variables(self) -> Mapping[str, str]:
        """The providers, each with the variable that has its key; empty if none has."""
        return self._models.key_variables()

    async def require_model(self, ref: str) -> None:
        """Check a model that a caller has named. A provider that cannot be asked now may have it.

        Raises:
            UnknownModel: no provider knows the model.
        """
        await self._given.require(ref)

    async def check_models(self) -> Sequence[Finding]:
        """Ask the providers for the models that the settings and RHETOR_MODEL name. Return what is wrong, and
        log what was not wrong before."""
        async with self._checking:
            environment = self._environment
            asked = [self._given.finding(keys, ref) for keys, ref in self._named.items()]
            if self.model and self._by_variable:
                asked.append(self._given.finding((MODEL,), AUTO))
            found = [finding for finding in await asyncio.gather(*asked) if finding]
            for finding in found:
                if finding not in self._findings:
                    level = logging.ERROR if finding.unknown else logging.WARNING
                    log.log(level, "a model cannot be used", extra=finding.shown())
            if environment is self._environment:
                self._findings = found
            return found

    @property
    def is_checking(self) -> bool:
        return self._checking.locked()

    @property
    def findings(self) -> list[dict[str, Any]]:
        return [finding.shown() for finding in self._findings]

    async def models(self, used: Mapping[str, str | None]) -> dict[str, Any]:
        """Return `{models, silent}`: which models exist, what they take and cost, and which of the
        specialists in `used` (their references, by name) use them; and the providers that did not list
        theirs."""
        sources = Sources(self._models, self._clients, self._taken, self._prices, self._agents)
        return await listed_models(sources, used)

    async def count_tokens(
        self,
        peer: Peer,
        given: GivenConversation,
        contents: Mapping[str, bytes] = MappingProxyType({}),
        hops: int = 0,
    ) -> TokenCount:
        """Return how many tokens a conversation has for the peer, with the peer's own prompt: as its provider
        counts if that has Anthropic's API, an estimate otherwise. `contents`: of the blobs that it names.
        `hops`: through how many hubs the question has passed, which may lead in a circle.

        Raises:
            ProviderFailed: the provider cannot count.
        """
        if peer.has_voice and hops < MOST_HOPS:
            target = await self._models.resolve(peer.model)
            if isinstance(target, Target) and target.provider.kind == "anthropic":
                client = await self._clients.get(target.provider)
                takes = await self._taken.of(target) if has_parts(given) else None
                fit = fitted(given, contents, takes, target)
                HOPS.set(hops + 1)
                return await count(client, target, peer.prompt, fit, contents)
        return estimated(peer.prompt, given, contents)

    async def price_list(self) -> dict[str, Any]:
        """Return where known prices come from: `{source, version, date}`."""
        return await self._prices.describe()

    async def describe(self) -> dict[str, Any]:
        """Return the provider and the model that `auto` resolves to now; if that fails, the error."""
        try:
            target = await self._models.resolve(AUTO)
        except TurnFailure as failure:
            hint = failure.data.get("hint")
            return {"name": "unknown", "model": None, "error": failure.detail, "hint": hint}
        if target is None:
            return {"name": OFFLINE, "model": OFFLINE}
        if isinstance(target, AgentTarget):
            return {"name": f"{CLI}{target.name}", "model": target.model}
        if target.provider.local:
            return {"name": LOCAL, "model": target.model, "is_small": self._by_variable}
        return {"name": target.provider.name, "model": target.model, "base_url": target.provider.base_url}

    async def warm_up(self) -> None:
        """Load what the first turn would otherwise wait for. If a provider fails, that turn reports it."""
        with contextlib.suppress(TurnFailure):
            await self._chat.preload()

    async def aclose(self) -> None:
        await self._chat.aclose()
