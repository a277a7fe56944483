"""The driver for turns with a model, without tools. The model gets the peer's prompt, the history and the
message, and returns text.

The driver keeps what all turns share. `turn.py` decides which models are called, and how often.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Literal

from rhetor.domain.output import Output
from rhetor.domain.peer import Peer
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.drivers.models.agent_models import AgentModels
from rhetor.drivers.models.clients import Clients
from rhetor.drivers.models.cooldown import Backoff, Cooldowns
from rhetor.drivers.models.deadline import Timeouts
from rhetor.drivers.models.inputs import ModelInputs
from rhetor.drivers.models.json_answer import checked
from rhetor.drivers.models.offline import OfflineConversation
from rhetor.drivers.models.prices import Prices
from rhetor.drivers.models.resolve import Models
from rhetor.drivers.models.target import Target
from rhetor.drivers.models.turn import ModelTurn, Question, TurnResources


class ChatDriver:
    """Opens conversations with models. The HTTP clients are shared by all of them and closed with the driver.

    `fallbacks`: references of the models to try if the peer's own model fails. `clock` returns Unix time.
    `inputs`: what models take besides text.
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
        inputs: ModelInputs | None = None,
    ) -> None:
        cooldowns, prices = cooldowns or Cooldowns(), prices or Prices(clock=clock)
        self.resources = TurnResources(
            models, clients, timeouts, clock, tuple(fallbacks), backoff, cooldowns, prices, agents, inputs
        )

    async def open(self, peer: Peer, resume: str | None = None) -> ChatConversation:
        return ChatConversation(peer, self.resources)

    def conversation(self, peer: Peer, resources: TurnResources) -> ChatConversation:
        """Open a conversation with other resources than those of all others."""
        return ChatConversation(peer, resources)

    async def preload(self) -> None:
        """Load what the first turn with the `auto` model would otherwise wait for.

        Raises:
            ProviderFailed: `auto` has no model. A turn fails in the same way.
        """
        target = await self.resources.models.resolve(None)
        if isinstance(target, Target) and not target.provider.local:  # its process starts at first use
            await self.resources.clients.get(target.provider)
            self.resources.prices.prepare(target)

    async def aclose(self) -> None:
        await self.resources.clients.aclose()


class ChatConversation:
    """One conversation. The history is passed with each message and is not kept here."""

    def __init__(self, peer: Peer, resources: TurnResources) -> None:
        self._peer = peer
        self._resources = resources
        self._offline = OfflineConversation(peer)
        self._turn: ModelTurn | None = None

    def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        question = Question(self._peer, message, history, self._offline)
        self._turn = ModelTurn(self._resources, question)
        outputs = self._turn.outputs()
        if (given := message.given) is not None:
            schema = message.schema or given.options.schema
            return outputs if schema is None else checked(outputs, schema, whole=False)
        return outputs if message.schema is None else checked(outputs, message.schema)

    async def answer(self, id: str, value: Any) -> None:
        """Do nothing: a turn without tools has no requests to answer."""

    async def interrupt(self) -> None:
        await self._offline.interrupt()
        if self._turn is not None:
            self._turn.interrupt()

    async def aclose(self) -> None:
        pass
