"""MCP servers that are added while the hub runs. They are durable, and used like configured ones."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.principal import Principal
from rhetor.domain.rule_commands import AddToolServer, RemoveToolServer
from rhetor.domain.secrets import secrets_of
from rhetor.domain.tool_server import ToolServer
from rhetor.errors import NameTaken, NotFound, StateConflict, ToolServerConfigured
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.core.checks import require_name, require_person
from rhetor.store.base import Expect, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND, ADDED = "tool-server", "added"
SHOWN = "MCP server"
log = logging.getLogger(__name__)


async def load(state: State) -> None:
    """Load the stored servers. One whose name the configuration now uses is hidden by it. A server that a
    peer names, but that does not exist, is logged: the peer's turns fail until it is added."""
    for row in await state.store.find(KIND, state=ADDED, limit=100_000):
        mirror(state, row.id, row)
    known = {*state.tool_servers.configured, *state.tool_servers.added}
    for peer in state.peers:
        for name in sorted({*peer.mcp_servers} - known):
            log.warning("unknown MCP server", extra={"server": name, "peer": peer.name})


def mirror(state: State, name: str, row: Row | None) -> None:
    """Use a server as it is stored. None: it was removed."""
    if row is not None:
        _use(state, msgspec.json.decode(row.doc, type=ToolServer))
    elif name in state.tool_servers.added:
        state.tool_servers.remove(name)


async def add(state: State, principal: Principal, command: AddToolServer) -> ToolServer:
    """Add a server. Turns that begin from now on can use it.

    Raises:
        Forbidden: the caller is a peer's program.
        Malformed: the name is invalid.
        NameTaken: a server has the name.
        Unprocessable: the hub never calls the address in its URL.
        StoreRefused, ShuttingDown: nothing was stored; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    server = command.server
    require_name(server.name, "name of an MCP server")
    state.tool_servers.check(server)
    if server.name in state.tool_servers.configured:
        raise NameTaken(SHOWN, server.name)
    row = Row(
        KIND, server.name, ADDED, msgspec.json.encode(server), owner=principal.subject, at=state.ids.now()
    )
    try:
        await state.store.commit(HUB_STREAM, [], expects=[row.unchanged], rows=[row])
    except StateConflict:
        raise NameTaken(SHOWN, server.name) from None
    _use(state, server)
    return server


async def remove(state: State, principal: Principal, command: RemoveToolServer) -> None:
    """Remove a server that was added. It is stopped if it is running.

    Raises:
        Forbidden: the caller is a peer's program.
        ToolServerConfigured: the server is defined in the configuration.
        NotFound: there is no such server.
        StoreRefused: nothing was changed; the command may be sent again.
    """
    require_person(principal)
    name = command.name
    if name in state.tool_servers.configured:
        raise ToolServerConfigured(name)
    expect = Expect(KIND, name, frozenset({ADDED}))
    try:
        await state.store.commit(HUB_STREAM, [], expects=[expect], drop=[(KIND, name)])
    except StateConflict:
        raise NotFound(SHOWN, name) from None
    state.tool_servers.remove(name)
    log.info("MCP server removed", extra={"server": name})


def _use(state: State, server: ToolServer) -> None:
    state.secrets.add(secrets_of(server.env, server.command, server.url))
    state.tool_servers.put(server)
