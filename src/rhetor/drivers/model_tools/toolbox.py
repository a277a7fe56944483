"""The tools of one turn: the client's own, and those of the MCP servers that the peer has."""

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
    """MCP servers by the names that the configuration gives them."""

    async def tools(self, server: str) -> Sequence[Tool]:
        """The tools that a server has, with the user's word on which need approval.

        Raises:
            ToolServerFailed: it cannot be used; says what to do.
        """
        ...

    async def call(self, server: str, call_id: str, tool: str, arguments: Any) -> ToolResult:
        """Run a tool. Whatever goes wrong is a result with `is_error`, from which a model can go on."""
        ...


class AvailableTool(msgspec.Struct, frozen=True):
    """A tool as the model sees it. `server` None: the client runs it. `name`: what its server calls it."""

    tool: Tool
    server: str | None = None
    name: str = ""

    @property
    def runs_at(self) -> Literal["hub", "client"]:
        return "client" if self.server is None else "hub"


Toolbox = Mapping[str, AvailableTool]


async def collect(peer: Peer, client: Sequence[Tool], servers: Servers) -> Toolbox:
    """All tools of a turn, by the names under which the model gets them: the client's as they are, a server's
    as `server__tool`.

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
    """The name in the letters that providers take, at most 64 of them, and different from the others."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", wanted)[:64]
    number = 1
    while name in taken:
        number += 1
        name = f"{name[:60]}_{number}"
    return name
