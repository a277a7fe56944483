"""Which models this hub can reach, and how: the one place that keys and base URLs are kept in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from rhetor.errors import TurnFailure

from .base import Driver
from .chat import ChatDriver
from .clients import Clients
from .environment import fingerprint, provider_variables
from .models import AUTO, OFFLINE, Models, ProviderEntry
from .patience import Timeouts

# how long "there is no provider" holds before a server that was started meanwhile is looked for
OFFLINE_SECONDS = 10.0


class ModelAccess:
    """`environment`: the process's own at first; a shell's provider variables may take its place."""

    def __init__(
        self,
        environment: Mapping[str, str],
        providers: Mapping[str, ProviderEntry],
        default: str,
        timeouts: Timeouts,
    ) -> None:
        self._environment = dict(environment)
        self._clients = Clients(timeouts.connect)
        self._models = Models(
            self._environment, self._clients.list_models, providers=providers, default=default
        )
        self._chat = ChatDriver(self._models, self._clients, timeouts)
        self._looked_at = 0.0

    @property
    def drivers(self) -> Mapping[str, Driver]:
        return {"chat": self._chat}

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
        self._look_again_when_offline()
        try:
            target = await self._models.resolve(AUTO)
        except TurnFailure as failure:
            return {"name": "unknown", "model": None, "error": failure.detail}
        if target is None:
            self._looked_at = self._looked_at or asyncio.get_running_loop().time()
            return {"name": OFFLINE, "model": OFFLINE}
        return {"name": target.provider.name, "model": target.model, "base_url": target.provider.base_url}

    async def warm_up(self) -> None:
        """Load what the first turn would have to wait for. What is wrong is said by that turn."""
        with contextlib.suppress(TurnFailure):
            await self._chat.preload()

    async def aclose(self) -> None:
        await self._chat.aclose()

    def _look_again_when_offline(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._looked_at and now - self._looked_at > OFFLINE_SECONDS:
            self._looked_at = 0.0
            self._models.reset(self._environment)
