"""Forwards, and the terminals that they can lead to: `/api/v2/forwards`, `/api/v2/terminals`."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from rhetor.dialects import resources
from rhetor.domain.peer import PeerKind
from rhetor.domain.project import PROJECT
from rhetor.domain.rule_commands import PutTerminal, RemoveForward, RemoveTerminal
from rhetor.domain.rules import Forward, Terminal
from rhetor.errors import UnknownPeer
from rhetor.hub.forwarding import forwards, terminals
from rhetor.hub.state import State
from rhetor.transports.server import event_pages
from rhetor.transports.server.call import Call
from rhetor.transports.server.node import Node

from .bodies import ForwardBody, NewForwardBody, PageQuery, TerminalBody
from .bodies.common import NewName


async def list_forwards(call: Call) -> dict[str, Any]:
    """List the caller's forwards."""
    found = forwards.forwards_of(call.hub.state, call.who)
    return {"forwards": [_forward(call.node, forward) for forward in found]}


async def new_forward(call: Call, body: NewForwardBody) -> dict[str, Any]:
    """Forward the answers of a peer from now on. An earlier forward of the same source is replaced."""
    return _forward(call.node, await call.execute(body.command(body.source)))


async def one_forward(call: Call, source: str) -> dict[str, Any]:
    return _forward(call.node, forwards.forward_of(call.hub.state, call.who, source))


async def put_forward(call: Call, source: str, body: ForwardBody) -> dict[str, Any]:
    """Create or replace the forward of a source."""
    return _forward(call.node, await call.execute(body.command(source)))


async def stop_forward(call: Call, source: str) -> dict[str, Any]:
    """Remove a forward, and return it."""
    return _forward(call.node, await call.execute(RemoveForward(source)))


async def list_terminals(call: Call) -> dict[str, Any]:
    """List the named shells."""
    found = terminals.owned_terminals(call.hub.state, call.who)
    return {"terminals": [await _terminal(call.node, terminal) for terminal in found]}


async def put_terminal(call: Call, name: NewName, body: TerminalBody) -> dict[str, Any]:
    """Register a name, or store the cursor up to which its shell has shown messages."""
    return await _terminal(call.node, await call.execute(PutTerminal(name, body.seen)))


async def one_terminal(call: Call, name: str) -> dict[str, Any]:
    return await _terminal(call.node, terminals.owned_terminal(call.hub.state, call.who, name))


async def remove_terminal(call: Call, name: str) -> dict[str, Any]:
    """Remove the name; the messages stay in the log."""
    return await _terminal(call.node, await call.execute(RemoveTerminal(name)))


async def read_terminal(call: Call, name: str, query: PageQuery) -> Response:
    """Return the events of a terminal, in the same form as those of a session. Without a cursor, return those
    that its shell has not shown."""
    terminal = terminals.owned_terminal(call.hub.state, call.who, name)
    now = await call.hub.state.store.head(terminal.stream)
    if before := query.ends_before:
        head, _ = await call.hub.position(call.who, terminal.stream, None)
        return await event_pages.events_before(call, terminal.stream, head, before, query.limit, query.events)
    seen = f"{now.epoch}:{terminal.seen}" if now else None
    cursor = call.last_event_id or query.after or seen
    head, position = await call.hub.position(call.who, terminal.stream, cursor)
    return await event_pages.events_of(call, terminal.stream, head, position, query.limit, query.events)


def _forward(node: Node, forward: Forward) -> dict[str, Any]:
    state = node.hub.state
    shown = (
        forward.to in state.routing_table.terminals or forwards.terminal_peer(state, forward.to) is not None
    )
    kind = "terminal" if shown else "peer"
    return resources.forward(
        forward, kind, forwards.circle_of(state, forward), _kind_of(state, forward.source)
    )


def _kind_of(state: State, name: str) -> str | None:
    if name.startswith(PROJECT):
        return PeerKind.PROJECT
    try:
        return state.peers.get(name).kind
    except UnknownPeer:
        return None


async def _terminal(node: Node, terminal: Terminal) -> dict[str, Any]:
    state = node.hub.state
    head = await state.store.head(terminal.stream)
    return resources.terminal(
        terminal, head.position if head else None, terminals.readers_of(state, terminal)
    )
