"""The tools of one turn: the client's own, and those of the peer's MCP servers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec
from msgspec.structs import replace

from rhetor.domain.output import ToolResult
from rhetor.domain.peer import Peer
from rhetor.domain.tool import Tool


class Servers(Protocol):
    """The MCP servers, by their names in the configuration."""

    async def tools(self, server: str) -> Sequence[Tool]:
        """Return the tools of a server. The configuration decides which of them need approval.

        Raises:
            ToolServerFailed: the server cannot be used. The error has a hint.
        """
        ...

    async def call(self, server: str, call_id: str, tool: str, arguments: Any) -> ToolResult:
        """Run a tool. If the call fails, return a result with `is_error`, so that the model can continue."""
        ...


class AvailableTool(msgspec.Struct, frozen=True):
    """A tool as the model sees it. `server`: the server that runs it, None if the client does. `name`: the
    server's own name of the tool."""

    tool: Tool
    server: str | None = None
    name: str = ""

    @property
    def runs_at(self) -> Literal["hub", "client"]:
        return "client" if self.server is None else "hub"


MAX_NAME = 64  # characters

Toolbox = Mapping[str, AvailableTool]


async def collect(peer: Peer, client: Sequence[Tool], servers: Servers) -> Toolbox:
    """Return all tools of a turn by the names that the model sees: the client's own names, and for the tools
    of a server, `server__tool`.

    Raises:
        ToolServerFailed: a server of the peer cannot be used.
    """
    found = {tool.name: AvailableTool(tool) for tool in client}
    for server in peer.mcp_servers:
        for tool in await servers.tools(server):
            name = _free(f"{server}__{tool.name}", found)
            found[name] = AvailableTool(replace(tool, name=name), server, tool.name)
    return found


def _free(wanted: str, taken: Mapping[str, object]) -> str:
    """Return a name that differs from those in `taken`, with at most 64 characters, all of which providers
    accept."""
    base = re.sub(r"[^A-Za-z0-9_-]", "_", wanted)
    name, number = base[:MAX_NAME], 1
    while name in taken:
        number += 1
        suffix = f"_{number}"
        name = f"{base[: MAX_NAME - len(suffix)]}{suffix}"
    return name
