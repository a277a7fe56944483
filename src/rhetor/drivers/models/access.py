"""Which models this hub can reach, and how: the one place that keys and base URLs are kept in."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rhetor.domain.provider_variables import fingerprint, provider_variables
from rhetor.drivers.base import Driver
from rhetor.errors import TurnFailure

from .agent_models import AgentModels
from .clients import Clients
from .deadline import Timeouts
from .driver import ChatDriver
from .prices import Price, Prices
from .resolve import AUTO, CLI, OFFLINE, Models, ProviderEntry
from .target import AgentTarget


class ModelAccess:
    """`environment`: the process's own at first; a shell's provider variables may take its place.

    `fallbacks`: references of models, in the order in which they are asked when a peer's own one fails.
    `prices`: by reference; they go before what is known. `agents`: those that may answer as models.
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
    ) -> None:
        self._environment = dict(environment)
        self._clients = Clients(timeouts.connect)
        self._models = Models(
            self._environment,
            self._clients.list_models,
            providers=providers,
            default=default,
            agents=agents,
        )
        self._chat = ChatDriver(
            self._models,
            self._clients,
            timeouts,
            fallbacks=fallbacks,
            prices=Prices(prices),
            agents=agents,
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

    def take_over(self, variables: Mapping[str, str]) -> None:
        """Put these provider variables in the place of those that were; others stay."""
        kept = {k: v for k, v in self._environment.items() if k not in provider_variables(self._environment)}
        self._environment = {**kept, **provider_variables(variables)}
        self._models.reset(self._environment)

    async def describe(self) -> dict[str, Any]:
        """What `auto` is now; where it cannot be told, why."""
        try:
            target = await self._models.resolve(AUTO)
        except TurnFailure as failure:
            return {"name": "unknown", "model": None, "error": failure.detail}
        if target is None:
            return {"name": OFFLINE, "model": OFFLINE}
        if isinstance(target, AgentTarget):
            return {"name": f"{CLI}{target.name}", "model": target.model}
        return {"name": target.provider.name, "model": target.model, "base_url": target.provider.base_url}

    async def warm_up(self) -> None:
        """Load what the first turn would have to wait for. What is wrong is said by that turn."""
        with contextlib.suppress(TurnFailure):
            await self._chat.preload()

    async def aclose(self) -> None:
        await self._chat.aclose()
