"""The caller of a tool, and what a tool returns to it. This module does not know the MCP library."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from rhetor.domain.command import Command
from rhetor.domain.principal import Principal
from rhetor.hub.hub import Hub
from rhetor.transports.server.node import Node

API = "mcp"
BODY_BYTES = 3 << 20  # a message of 1 MiB fits, however it is escaped; parsing more would block the hub
MOST_VALUES = 20_000  # of a request; the library builds an object from each
Report = Callable[[str], Awaitable[None]]


class McpCaller(Struct, frozen=True):
    """`report` sends a progress message for the request; None if the client did not ask for progress."""

    who: Principal
    node: Node
    report: Report | None = None

    @property
    def hub(self) -> Hub:
        return self.node.hub

    async def execute(self, command: Command) -> Any:
        """Do the same as `Hub.execute`, for the caller."""
        return await self.hub.execute(self.who, command, API)


class Outcome(Struct, frozen=True):
    """The result of a tool. `text` is for a model, `data` has the same as JSON values. `is_error`: the tool
    ran, but what it was asked for failed."""

    text: str
    data: dict[str, Any]
    is_error: bool = False
