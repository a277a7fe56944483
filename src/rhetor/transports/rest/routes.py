"""Routes, and the context and purposes that precede messages: `/api/v2/routes`, `/context`, `/purposes`."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from rhetor.dialects import resources
from rhetor.domain.rule_commands import ClearContext, PromoteContext, PutPurpose, RemoveRoute, StageContext
from rhetor.domain.rules import Purpose
from rhetor.hub.forwarding import context
from rhetor.hub.plans import routes
from rhetor.hub.plans.plans import Planned
from rhetor.transports.rest.bodies import NewRouteBody, PurposeBody, RouteBody, RouteMessageBody, TextBody
from rhetor.transports.rest.bodies.rules import RouteName
from rhetor.transports.server import sse
from rhetor.transports.server.call import Call


async def list_routes(call: Call) -> dict[str, Any]:
    """List the caller's routes, which are named chains of peers."""
    return {"routes": [resources.route(route) for route in routes.routes_of(call.hub.state, call.who)]}


async def new_route(call: Call, body: NewRouteBody) -> dict[str, Any]:
    """Create a route. If the name is in use, the response is a conflict."""
    return resources.route(await call.execute(body.command(body.name, new=True)))


async def one_route(call: Call, name: str) -> dict[str, Any]:
    return resources.route(routes.route_of(call.hub.state, call.who, name))


async def put_route(call: Call, name: RouteName, body: RouteBody) -> dict[str, Any]:
    """Create or replace a route."""
    return resources.route(await call.execute(body.command(name)))


async def remove_route(call: Call, name: str) -> dict[str, Any]:
    return resources.route(await call.execute(RemoveRoute(name)))


async def send_route(call: Call, name: str, body: RouteMessageBody) -> Response:
    """Send a message along the route. This starts a plan, whose events are streamed."""
    call.node.check_environment(call)
    planned: Planned = await call.execute(body.command(name, call.key))
    return sse.planned(call, planned.plan_id, planned.after, await call.node.notices(call))


async def show_context(call: Call, peer: str) -> dict[str, Any]:
    """Return the staged context of a peer, and the context of its next message."""
    return resources.context(await context.staged_for(call.hub.state, call.who, peer))


async def stage(call: Call, peer: str, body: TextBody) -> dict[str, Any]:
    """Add a text to the staged context."""
    return resources.context(await call.execute(StageContext(peer, body.text)))


async def promote(call: Call, peer: str) -> dict[str, Any]:
    """Send the staged context before the next message, once."""
    return resources.context(await call.execute(PromoteContext(peer)))


async def clear(call: Call, peer: str) -> dict[str, Any]:
    """Discard the context."""
    return resources.context(await call.execute(ClearContext(peer)))


async def list_purposes(call: Call) -> dict[str, Any]:
    """List the purposes of peers and terminals."""
    found = call.hub.state.routing_table.purposes.values()
    return {"purposes": [resources.purpose(each) for each in found if each.owner == call.who.subject]}


async def one_purpose(call: Call, peer: str) -> dict[str, Any]:
    name = context.resolved_name(call.hub.state, call.who, peer)
    text = call.hub.state.routing_table.purpose_of(call.who.subject, name)
    return resources.purpose(Purpose(call.who.subject, name, text or ""))


async def put_purpose(call: Call, peer: str, body: PurposeBody) -> dict[str, Any]:
    """Set a purpose, which is sent with each message to the peer and with what is forwarded from it."""
    return resources.purpose(await call.execute(PutPurpose(peer, body.text)))


async def remove_purpose(call: Call, peer: str) -> dict[str, Any]:
    return resources.purpose(await call.execute(PutPurpose(peer, "")))
