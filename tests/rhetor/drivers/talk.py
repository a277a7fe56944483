"""What the drivers' tests share: a peer, a driver set up for a scripted provider, and a whole turn."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from rhetor.domain.output import Output
from rhetor.domain.peer import Peer, PeerKind
from rhetor.drivers.base import Conversation, Prompt, Said
from rhetor.drivers.chat import ChatDriver
from rhetor.drivers.clients import Clients
from rhetor.drivers.models import Models
from rhetor.drivers.patience import Timeouts
from rhetor.drivers.urls import Resolve, resolved
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


@asynccontextmanager
async def chat_driver(
    environment: Mapping[str, str], timeouts: Timeouts | None = None, resolve: Resolve = resolved
) -> AsyncIterator[ChatDriver]:
    """A driver that finds nothing but what `environment` names."""
    timeouts = timeouts or Timeouts()
    clients = Clients(timeouts.connect, resolve)
    models = Models(environment, clients.list_models, servers=lambda environment: (), resolve=resolve)
    driver = ChatDriver(models, clients, timeouts, clock=lambda: NOW)
    try:
        yield driver
    finally:
        await driver.aclose()


async def turn(
    conversation: Conversation, message: str, history: Sequence[Said] = ()
) -> tuple[list[Output], TurnFailure | None]:
    """All outputs of a turn, and how it failed if it did."""
    outputs: list[Output] = []
    try:
        async for output in conversation.send(Prompt(message), history):
            outputs.append(output)  # noqa: PERF401  what came before a failure is kept
    except TurnFailure as failure:
        return outputs, failure
    return outputs, None


async def apollo_says(
    environment: Mapping[str, str], timeouts: Timeouts | None = None
) -> tuple[list[Output], TurnFailure | None]:
    """One turn with a driver of its own."""
    async with chat_driver(environment, timeouts) as driver:
        return await turn(await driver.open(APOLLO), "Design a cache")
