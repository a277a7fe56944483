"""Plain turns with a model: the peer's prompt, what was said before and the message go out, words come back.

It knows no provider's language (openai_chat, anthropic_messages), does not choose models (models), and
does no I/O of its own (exchange).
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial
from typing import Any, Literal

from rhetor.domain.output import Began, Output
from rhetor.domain.peer import Peer
from rhetor.drivers import anthropic_messages, openai_chat, provider_errors
from rhetor.drivers.base import Prompt, Said
from rhetor.drivers.clients import Client, Clients
from rhetor.drivers.exchange import Answer, Exchange
from rhetor.drivers.models import Models
from rhetor.drivers.offline import OfflineConversation
from rhetor.drivers.patience import Interrupted, OutOfPatience, Patience, Timeouts
from rhetor.drivers.target import Target


class ChatDriver:
    """Opens conversations with models; clients are kept for all of them, and closed with the driver.

    `clock`: Unix time, for what a provider says as a date.
    """

    sessions: Literal["many", "one"] = "many"

    def __init__(
        self,
        models: Models,
        clients: Clients,
        timeouts: Timeouts = Timeouts(),  # noqa: B008  frozen
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.models = models
        self._clients = clients
        self._timeouts = timeouts
        self._clock = clock

    async def open(self, peer: Peer, resume: str | None = None) -> ChatConversation:
        return ChatConversation(peer, self)

    async def preload(self) -> None:
        """Make the client of the model that `auto` stands for now, so that the first turn need not.

        Raises:
            ProviderFailed: there is no such model; a turn would say the same.
        """
        if target := await self.models.resolve(None):
            await self._clients.get(target.provider)

    async def exchange(self, target: Target, patience: Patience) -> Exchange:
        """What a call to that model is made with."""
        client = await patience.wait(self._clients.get(target.provider))
        return Exchange(target, client, patience, self._timeouts, self._clock)

    def patience(self) -> Patience:
        """The time that a turn has, from now."""
        return Patience(self._timeouts)

    async def aclose(self) -> None:
        await self._clients.aclose()


class ChatConversation:
    """One thread of talk; what was said is handed over with each message, and not kept here."""

    def __init__(self, peer: Peer, driver: ChatDriver) -> None:
        self._peer = peer
        self._driver = driver
        self._offline = OfflineConversation(peer)
        self._patience: Patience | None = None

    async def send(self, message: Prompt, history: Sequence[Said]) -> AsyncGenerator[Output, None]:
        with self._driver.patience() as self._patience:
            try:
                async with aclosing(self._answer(message, history, self._patience)) as outputs:
                    async for output in outputs:
                        yield output
            except Interrupted:
                return
            except OutOfPatience as over:
                raise provider_errors.not_found_in_time(self._peer.model, over.phase) from over

    async def _answer(
        self, message: Prompt, history: Sequence[Said], patience: Patience
    ) -> AsyncGenerator[Output, None]:
        target = await patience.wait(self._driver.models.resolve(self._peer.model))
        if target is None:
            async with aclosing(self._offline.send(message, history)) as outputs:
                async for output in outputs:
                    yield output
            return
        yield Began(target.ref)
        exchange = await self._driver.exchange(target, patience)
        call, answer = _spoken(exchange.client, target, self._peer.prompt, history, message.content)
        async with exchange.opened(call) as body, aclosing(exchange.read(body, answer)) as outputs:
            async for output in outputs:
                yield output

    async def answer(self, id: str, value: Any) -> None:
        """A plain turn asks for nothing, so there is nothing to answer."""

    async def interrupt(self) -> None:
        await self._offline.interrupt()
        if self._patience is not None:
            self._patience.interrupt()

    async def aclose(self) -> None:
        pass


def _spoken(
    client: Client, target: Target, system: str, history: Sequence[Said], message: str
) -> tuple[Callable[[], AbstractAsyncContextManager[Any]], Answer]:
    """The call, and what reads its answer, in the provider's language."""
    if target.provider.kind == "anthropic":
        call = partial(anthropic_messages.ask, client, target, system, history, message)
        return call, anthropic_messages.Message(target)
    return (
        partial(openai_chat.ask, client, target, system, history, message),
        openai_chat.Completion(target),
    )
