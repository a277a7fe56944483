"""The driver of models that can have tools: it runs turns with tools, and leaves all others to the driver of
plain models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Literal

from msgspec.structs import replace

from rhetor.domain.output import Output
from rhetor.domain.peer import Peer
from rhetor.drivers.base import Driver, PastMessage, Prompt
from rhetor.drivers.model_tools.calls import Answers
from rhetor.drivers.model_tools.toolbox import Servers, collect
from rhetor.drivers.model_tools.turn import ToolTurn
from rhetor.drivers.models.deadline import Interrupted
from rhetor.drivers.models.driver import ChatConversation, ChatDriver
from rhetor.drivers.models.given.text import as_text
from rhetor.drivers.models.json_answer import checked
from rhetor.drivers.models.offline import OfflineConversation
from rhetor.drivers.models.turn import Question, TurnResources


def with_tools(chat: Driver, servers: Servers) -> ToolingDriver:
    """Return a driver of models for turns with and without tools."""
    assert isinstance(chat, ChatDriver)
    return ToolingDriver(chat, servers)


class ToolingDriver:
    """Runs turns that have tools itself, and all others with `chat`, whose resources it shares. `chat` and
    `servers` belong to the caller, who closes them."""

    sessions: Literal["many", "one"] = "many"

    def __init__(self, chat: ChatDriver, servers: Servers) -> None:
        self._chat = chat
        self._servers = servers

    async def open(self, peer: Peer, resume: str | None = None) -> ToolingConversation:
        plain = await self._chat.open(peer, resume)
        return ToolingConversation(peer, plain, self._chat.resources, self._servers)

    async def aclose(self) -> None:
        pass


class ToolingConversation:
    def __init__(
        self, peer: Peer, plain: ChatConversation, resources: TurnResources, servers: Servers
    ) -> None:
        self._peer = peer
        self._plain = plain
        self._resources = resources
        self._servers = servers
        self._answers = Answers()
        self._turn: ToolTurn | None = None

    def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        # if a client sends tools of its own, it runs them itself, after the turn
        given_tools = message.given is not None and message.given.tools
        has_tools = bool(message.tools or self._peer.mcp_servers) and not given_tools
        return self._with_tools(message, history) if has_tools else self._plain.send(message, history)

    async def _with_tools(
        self, message: Prompt, history: Sequence[PastMessage]
    ) -> AsyncGenerator[Output, None]:
        peer, options = self._peer, None
        if message.given is not None:
            options = message.given.options
            peer, message, history = as_text(peer, message)
            options = replace(options, schema=message.schema)
        question = Question(peer, message, history, OfflineConversation(peer))
        toolbox = await collect(self._peer, message.tools, self._servers)
        self._turn = ToolTurn(self._resources, question, toolbox, self._servers, self._answers, options)
        try:
            asked, schema = self._turn.outputs(), message.schema
            checking = asked if schema is None else checked(asked, schema, whole=options is None)
            async with aclosing(checking) as outputs:
                async for output in outputs:
                    yield output
        except Interrupted:
            return

    async def answer(self, id: str, value: Any) -> None:
        self._answers.give(id, value)

    async def interrupt(self) -> None:
        await self._plain.interrupt()
        if self._turn is not None:
            self._turn.interrupt()

    async def aclose(self) -> None:
        await self._plain.aclose()
