"""Plain turns with a model: the peer's prompt, what was said before and the message go out, words come back.

It keeps what all turns share. Which model is asked, how often and in which language is `turn`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal

from rhetor.domain.output import Output
from rhetor.domain.peer import Peer
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.drivers.models.agent_models import AgentModels
from rhetor.drivers.models.clients import Clients
from rhetor.drivers.models.cooldown import Backoff, Cooldowns
from rhetor.drivers.models.deadline import Deadline, Interrupted, Timeouts
from rhetor.drivers.models.offline import OfflineConversation
from rhetor.drivers.models.prices import Prices
from rhetor.drivers.models.resolve import Models
from rhetor.drivers.models.target import Target
from rhetor.drivers.models.turn import ModelTurn, Question, TurnResources


class ChatDriver:
    """Opens conversations with models; clients are kept for all of them, and closed with the driver.

    `clock`: Unix time, for what a provider says as a date. `fallbacks`: references of models.
    """

    sessions: Literal["many", "one"] = "many"

    def __init__(
        self,
        models: Models,
        clients: Clients,
        timeouts: Timeouts = Timeouts(),  # noqa: B008  frozen
        clock: Callable[[], float] = time.time,
        *,
        fallbacks: Sequence[str] = (),
        backoff: Backoff = Backoff(),  # noqa: B008  frozen
        cooldowns: Cooldowns | None = None,
        prices: Prices | None = None,
        agents: AgentModels | None = None,
    ) -> None:
        cooldowns, prices = cooldowns or Cooldowns(), prices or Prices(clock=clock)
        self.resources = TurnResources(
            models, clients, timeouts, clock, tuple(fallbacks), backoff, cooldowns, prices, agents
        )

    async def open(self, peer: Peer, resume: str | None = None) -> ChatConversation:
        return ChatConversation(peer, self.resources)

    async def preload(self) -> None:
        """Make ready for the model that `auto` stands for now, so that the first turn need not.

        Raises:
            ProviderFailed: there is no such model; a turn would say the same.
        """
        target = await self.resources.models.resolve(None)
        if isinstance(target, Target):
            await self.resources.clients.get(target.provider)
            self.resources.prices.prepare(target)

    async def aclose(self) -> None:
        await self.resources.clients.aclose()


class ChatConversation:
    """One thread of talk; what was said is handed over with each message, and not kept here."""

    def __init__(self, peer: Peer, resources: TurnResources) -> None:
        self._peer = peer
        self._resources = resources
        self._offline = OfflineConversation(peer)
        self._deadline: Deadline | None = None

    async def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        question = Question(self._peer, message, history, self._offline)
        with Deadline(self._resources.timeouts) as self._deadline:
            turn = ModelTurn(self._resources, question, self._deadline)
            try:
                async with aclosing(turn.outputs()) as outputs:
                    async for output in outputs:
                        yield output
            except Interrupted:
                return

    async def answer(self, id: str, value: Any) -> None:
        """A plain turn asks for nothing, so there is nothing to answer."""

    async def interrupt(self) -> None:
        await self._offline.interrupt()
        if self._deadline is not None:
            self._deadline.interrupt()

    async def aclose(self) -> None:
        pass
