"""MCP servers whose tools models may have: `/api/mcp-servers`."""

from __future__ import annotations

import asyncio
from typing import Any

from rhetor.domain.principal import ADMIN
from rhetor.domain.rule_commands import RemoveToolServer
from rhetor.domain.secrets import masked_arguments, masked_url
from rhetor.domain.tool_server import ToolServer
from rhetor.errors import NotFound, ToolServerFailed
from rhetor.transports.server.call import Call

from .bodies import ToolServerBody

MASK = "(masked)"


async def list_servers(call: Call) -> dict[str, Any]:
    """List the MCP servers of the configuration and those that were added. `command`, `url` and `env` are
    shown only to callers with the scope admin."""
    servers = call.hub.state.tool_servers
    found = {**servers.added, **servers.configured}
    shown = [_shape(found[name], name in servers.configured) for name in sorted(found)]
    if not (call.who.is_agent or call.who.has(ADMIN)):
        shown = [{**each, "command": None, "url": None, "env": {}} for each in shown]
    return {"mcp_servers": shown}


async def add(call: Call, body: ToolServerBody) -> dict[str, Any]:
    """Add an MCP server. Specialists that name it can use it at once."""
    return _shape(await call.execute(body.command_to_add()), is_configured=False)


async def remove(call: Call, name: str) -> dict[str, Any]:
    """Remove an MCP server that was added, and stop it."""
    await call.execute(RemoveToolServer(name))
    return {"name": name, "status": "removed"}


async def test(call: Call, name: str) -> dict[str, Any]:
    """Connect to an MCP server and list its tools, within 10 seconds."""
    servers = call.hub.state.tool_servers
    if name not in servers.configured and name not in servers.added:
        raise NotFound("MCP server", name)
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        tools = await servers.test(name)
    except ToolServerFailed as failure:
        why = {"error": call.hub.state.secrets.mask(failure.detail), "hint": failure.data.get("hint")}
        return {"ok": False, "tools": [], "seconds": loop.time() - began, **why}
    return {"ok": True, "tools": [tool.name for tool in tools], "seconds": loop.time() - began}


def _shape(server: ToolServer, is_configured: bool) -> dict[str, Any]:
    return {
        "name": server.name,
        "transport": server.transport,
        "command": masked_arguments(server.command, MASK) or None,
        "url": masked_url(server.url, MASK) if server.url else None,
        "env": dict.fromkeys(server.env, MASK),
        "allow_private": server.allow_private,
        "approve": server.approve if server.approve == "all" else list(server.approve),
        "source": "configuration" if is_configured else "api",
    }
