"""Forwards and the terminals that they lead to: `/api/v2/forwards`, `/api/v2/terminals`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Query, Request, Response

from rhetor.auth.policy import Policy
from rhetor.dialects import resources
from rhetor.domain.rule_commands import PutTerminal, RemoveForward, RemoveTerminal
from rhetor.domain.rules import Forward, Terminal
from rhetor.hub.forwarding import forwards, terminals
from rhetor.transports.rest.bodies import ForwardBody, NewForwardBody, TerminalBody
from rhetor.transports.server import sse
from rhetor.transports.server.node import Node
from rhetor.transports.server.router import Doors

from .dependencies import Here, Who

doors = Doors(tags=["forwards"])


@doors.on("GET", "/api/v2/forwards", Policy.USER)
async def list_forwards(who: Who, here: Here) -> dict[str, Any]:
    """What is passed on, from whom to whom."""
    found = forwards.forwards_of(here.hub.state, who)
    return {"forwards": [_forward(here, forward) for forward in found]}


@doors.on("POST", "/api/v2/forwards", Policy.USER)
async def new_forward(body: NewForwardBody, who: Who, here: Here) -> dict[str, Any]:
    """Pass on what a peer says from now on. It takes the place of an earlier one of the same source."""
    return _forward(here, await here.hub.execute(who, body.command(body.source)))


@doors.on("GET", "/api/v2/forwards/{source}", Policy.USER)
async def one_forward(source: str, who: Who, here: Here) -> dict[str, Any]:
    return _forward(here, forwards.forward_of(here.hub.state, who, source))


@doors.on("PUT", "/api/v2/forwards/{source}", Policy.USER)
async def put_forward(source: str, body: ForwardBody, who: Who, here: Here) -> dict[str, Any]:
    """The same for a source by name."""
    return _forward(here, await here.hub.execute(who, body.command(source)))


@doors.on("DELETE", "/api/v2/forwards/{source}", Policy.USER)
async def stop_forward(source: str, who: Who, here: Here) -> dict[str, Any]:
    """Pass on nothing more; the answer is what there was."""
    return _forward(here, await here.hub.execute(who, RemoveForward(source)))


@doors.on("GET", "/api/v2/terminals", Policy.USER)
async def list_terminals(who: Who, here: Here) -> dict[str, Any]:
    """The shells that have a name."""
    found = terminals.owned_terminals(here.hub.state, who)
    return {"terminals": [await _terminal(here, terminal) for terminal in found]}


@doors.on("PUT", "/api/v2/terminals/{name}", Policy.USER)
async def put_terminal(name: str, body: TerminalBody, who: Who, here: Here) -> dict[str, Any]:
    """Register a name, or say how much was shown there."""
    return await _terminal(here, await here.hub.execute(who, PutTerminal(name, body.seen)))


@doors.on("GET", "/api/v2/terminals/{name}", Policy.USER)
async def one_terminal(name: str, who: Who, here: Here) -> dict[str, Any]:
    return await _terminal(here, terminals.owned_terminal(here.hub.state, who, name))


@doors.on("DELETE", "/api/v2/terminals/{name}", Policy.USER)
async def remove_terminal(name: str, who: Who, here: Here) -> dict[str, Any]:
    """Forget the name; what was shown there stays in the log."""
    return await _terminal(here, await here.hub.execute(who, RemoveTerminal(name)))


@doors.on("GET", "/api/v2/terminals/{name}/events", Policy.USER)
async def read_terminal(
    name: str,
    request: Request,
    who: Who,
    here: Here,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """What is shown there, as the events of a session are read; without a cursor what was not seen yet."""
    terminal = terminals.owned_terminal(here.hub.state, who, name)
    now = await here.hub.state.store.head(terminal.stream)
    seen = f"{now.epoch}:{terminal.seen}" if now else None
    head, position = await here.hub.position(who, terminal.stream, last_event_id or after or seen)
    return await sse.events_of(here.hub, request, terminal.stream, head, position, limit)


def _forward(here: Node, forward: Forward) -> dict[str, Any]:
    state = here.hub.state
    shown = (
        forward.to in state.routing_table.terminals or forwards.terminal_peer(state, forward.to) is not None
    )
    return resources.forward(forward, "terminal" if shown else "peer", forwards.circle_of(state, forward))


async def _terminal(here: Node, terminal: Terminal) -> dict[str, Any]:
    state = here.hub.state
    head = await state.store.head(terminal.stream)
    return resources.terminal(terminal, head, state.presence.readers(terminal.stream))
