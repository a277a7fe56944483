"""Helpers for tests of drivers: a peer, a driver for a scripted provider, and whole turns."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from rhetor.domain.output import Output, Text
from rhetor.domain.peer import Peer, PeerKind
from rhetor.drivers.base import Conversation, PastMessage, Prompt
from rhetor.drivers.models.clients import Clients
from rhetor.drivers.models.cooldown import Backoff
from rhetor.drivers.models.deadline import Timeouts
from rhetor.drivers.models.driver import ChatDriver
from rhetor.drivers.models.resolve import Models, ProviderEntry
from rhetor.drivers.models.urls import Resolve, resolved
from rhetor.errors import TurnFailure
from tests.provider import ProviderServer

APOLLO = Peer(
    "apollo", PeerKind.SPECIALIST, "chat", role="code analyst", prompt="You are Apollo.", model="auto"
)
NOW = 1_790_000_000.0


def openai_at(provider: ProviderServer) -> dict[str, str]:
    return {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": f"{provider.url}/v1", "RHETOR_MODEL": "m"}


def anthropic_at(provider: ProviderServer) -> dict[str, str]:
    return {"ANTHROPIC_API_KEY": "sk-1", "ANTHROPIC_BASE_URL": provider.url, "RHETOR_MODEL": "m"}


class Naps(list[float]):
    """A sleep that takes no time; a list of the requested seconds."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)


def backoff(naps: Naps) -> Backoff:
    """Return a backoff without randomness: each pause is half of its maximum."""
    return Backoff(dice=lambda: 0.5, sleep=naps)


def here(provider: ProviderServer) -> ProviderEntry:
    """Return the entry of a provider without a key, which `auto` never selects."""
    return ProviderEntry("openai", f"{provider.url}/v1", allow_private=True)


@asynccontextmanager
async def chat_driver(
    environment: Mapping[str, str],
    timeouts: Timeouts | None = None,
    resolve: Resolve = resolved,
    providers: Mapping[str, ProviderEntry] = MappingProxyType({}),
    **more: Any,
) -> AsyncIterator[ChatDriver]:
    """Open a driver that finds only what `environment` and `providers` name, and never waits long."""
    timeouts = timeouts or Timeouts()
    clients = Clients(timeouts.connect, resolve)
    models = Models(
        environment,
        clients.list_models,
        servers=lambda environment: (),
        resolve=resolve,
        providers=providers,
    )
    settled: dict[str, Any] = {"clock": lambda: NOW, "backoff": backoff(Naps())}
    driver = ChatDriver(models, clients, timeouts, **settled | more)
    try:
        yield driver
    finally:
        await driver.aclose()


async def turn(
    conversation: Conversation, message: str, history: Sequence[PastMessage] = ()
) -> tuple[list[Output], TurnFailure | None]:
    """Return all outputs of a turn, and its failure if it failed."""
    outputs: list[Output] = []
    try:
        async for output in conversation.send(Prompt(message), history):
            outputs.append(output)  # noqa: PERF401  what came before a failure is kept
    except TurnFailure as failure:
        return outputs, failure
    return outputs, None


def joined(outputs: Sequence[Output]) -> list[Output]:
    """Return the outputs with adjacent pieces of text joined: the network decides what arrives together."""
    found: list[Output] = []
    for output in outputs:
        last = found[-1] if found else None
        if isinstance(output, Text) and isinstance(last, Text) and output.channel == last.channel:
            found[-1] = Text(last.text + output.text, last.channel)
        else:
            found.append(output)
    return found


async def apollo_says(
    environment: Mapping[str, str], timeouts: Timeouts | None = None, **more: Any
) -> tuple[list[Output], TurnFailure | None]:
    """Run one turn with its own driver."""
    async with chat_driver(environment, timeouts, **more) as driver:
        return await turn(await driver.open(APOLLO), "Design a cache")
