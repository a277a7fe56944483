"""Forwards and the terminals that they lead to: `/api/v2/forwards`, `/api/v2/terminals`."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from rhetor.dialects import resources
from rhetor.domain.rule_commands import PutTerminal, RemoveForward, RemoveTerminal
from rhetor.domain.rules import Forward, Terminal
from rhetor.hub.forwarding import forwards, terminals
from rhetor.transports.server import sse
from rhetor.transports.server.call import Call
from rhetor.transports.server.node import Node

from .bodies import ForwardBody, NewForwardBody, PageQuery, TerminalBody


async def list_forwards(call: Call) -> dict[str, Any]:
    """What is passed on, from whom to whom."""
    found = forwards.forwards_of(call.hub.state, call.who)
    return {"forwards": [_forward(call.node, forward) for forward in found]}


async def new_forward(call: Call, body: NewForwardBody) -> dict[str, Any]:
    """Pass on what a peer says from now on. It takes the place of an earlier one of the same source."""
    return _forward(call.node, await call.execute(body.command(body.source)))


async def one_forward(call: Call, source: str) -> dict[str, Any]:
    return _forward(call.node, forwards.forward_of(call.hub.state, call.who, source))


async def put_forward(call: Call, source: str, body: ForwardBody) -> dict[str, Any]:
    """The same for a source by name."""
    return _forward(call.node, await call.execute(body.command(source)))


async def stop_forward(call: Call, source: str) -> dict[str, Any]:
    """Pass on nothing more; the answer is what there was."""
    return _forward(call.node, await call.execute(RemoveForward(source)))


async def list_terminals(call: Call) -> dict[str, Any]:
    """The shells that have a name."""
    found = terminals.owned_terminals(call.hub.state, call.who)
    return {"terminals": [await _terminal(call.node, terminal) for terminal in found]}


async def put_terminal(call: Call, name: str, body: TerminalBody) -> dict[str, Any]:
    """Register a name, or say how much was shown there."""
    return await _terminal(call.node, await call.execute(PutTerminal(name, body.seen)))


async def one_terminal(call: Call, name: str) -> dict[str, Any]:
    return await _terminal(call.node, terminals.owned_terminal(call.hub.state, call.who, name))


async def remove_terminal(call: Call, name: str) -> dict[str, Any]:
    """Forget the name; what was shown there stays in the log."""
    return await _terminal(call.node, await call.execute(RemoveTerminal(name)))


async def read_terminal(call: Call, name: str, query: PageQuery) -> Response:
    """What is shown there, as the events of a session are read; without a cursor what was not seen yet."""
    terminal = terminals.owned_terminal(call.hub.state, call.who, name)
    now = await call.hub.state.store.head(terminal.stream)
    seen = f"{now.epoch}:{terminal.seen}" if now else None
    cursor = call.last_event_id or query.after or seen
    head, position = await call.hub.position(call.who, terminal.stream, cursor)
    return await sse.events_of(call, terminal.stream, head, position, query.limit)


def _forward(node: Node, forward: Forward) -> dict[str, Any]:
    state = node.hub.state
    shown = (
        forward.to in state.routing_table.terminals or forwards.terminal_peer(state, forward.to) is not None
    )
    return resources.forward(forward, "terminal" if shown else "peer", forwards.circle_of(state, forward))


async def _terminal(node: Node, terminal: Terminal) -> dict[str, Any]:
    state = node.hub.state
    head = await state.store.head(terminal.stream)
    return resources.terminal(
        terminal, head.position if head else None, state.presence.readers(terminal.stream)
    )
