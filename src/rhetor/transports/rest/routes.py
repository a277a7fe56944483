"""Routes, and what is said in front of messages: `/api/v2/routes`, `/context`, `/purposes`."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from rhetor.auth.policy import Policy
from rhetor.dialects import resources
from rhetor.domain.rule_commands import ClearContext, PromoteContext, PutPurpose, RemoveRoute, StageContext
from rhetor.domain.rules import Purpose
from rhetor.hub.forwarding import context
from rhetor.hub.plans import routes
from rhetor.hub.plans.plans import Planned
from rhetor.transports.rest.bodies import NewRouteBody, RouteBody, RouteMessageBody, TextBody
from rhetor.transports.server import sse
from rhetor.transports.server.router import Doors

from .dependencies import Here, Key, Who

doors = Doors(tags=["routes"])


@doors.on("GET", "/api/v2/routes", Policy.USER)
async def list_routes(who: Who, here: Here) -> dict[str, Any]:
    """The caller's named chains of peers."""
    return {"routes": [resources.route(route) for route in routes.routes_of(here.hub.state, who)]}


@doors.on("POST", "/api/v2/routes", Policy.USER)
async def new_route(body: NewRouteBody, who: Who, here: Here) -> dict[str, Any]:
    """Name a chain; a name that is there already is a conflict."""
    return resources.route(await here.hub.execute(who, body.command(body.name, new=True)))


@doors.on("GET", "/api/v2/routes/{name}", Policy.USER)
async def one_route(name: str, who: Who, here: Here) -> dict[str, Any]:
    return resources.route(routes.route_of(here.hub.state, who, name))


@doors.on("PUT", "/api/v2/routes/{name}", Policy.USER)
async def put_route(name: str, body: RouteBody, who: Who, here: Here) -> dict[str, Any]:
    """Name a chain, in the place of an earlier one of that name."""
    return resources.route(await here.hub.execute(who, body.command(name)))


@doors.on("DELETE", "/api/v2/routes/{name}", Policy.USER)
async def remove_route(name: str, who: Who, here: Here) -> dict[str, Any]:
    return resources.route(await here.hub.execute(who, RemoveRoute(name)))


@doors.on("POST", "/api/v2/routes/{name}/send", Policy.USER)
async def send_route(
    name: str, body: RouteMessageBody, request: Request, who: Who, here: Here, key: Key = None
) -> Response:
    """Send a message along the route: a plan, whose events are read as they come."""
    here.check_environment(request)
    planned: Planned = await here.hub.execute(who, body.command(name, key))
    return sse.planned(request, here.hub, planned.plan_id, planned.after, await here.notices())


@doors.on("GET", "/api/v2/context/{peer}", Policy.USER)
async def show_context(peer: str, who: Who, here: Here) -> dict[str, Any]:
    """What is staged for a peer, and what it is told with the next message."""
    return resources.context(await context.staged_for(here.hub.state, who, peer))


@doors.on("POST", "/api/v2/context/{peer}/stage", Policy.USER)
async def stage(peer: str, body: TextBody, who: Who, here: Here) -> dict[str, Any]:
    """Add a text to what is staged."""
    return resources.context(await here.hub.execute(who, StageContext(peer, body.text)))


@doors.on("POST", "/api/v2/context/{peer}/promote", Policy.USER)
async def promote(peer: str, who: Who, here: Here) -> dict[str, Any]:
    """What is staged is sent once, in front of the next message."""
    return resources.context(await here.hub.execute(who, PromoteContext(peer)))


@doors.on("DELETE", "/api/v2/context/{peer}", Policy.USER)
async def clear(peer: str, who: Who, here: Here) -> dict[str, Any]:
    """Send nothing of it."""
    return resources.context(await here.hub.execute(who, ClearContext(peer)))


@doors.on("GET", "/api/v2/purposes", Policy.USER)
async def list_purposes(who: Who, here: Here) -> dict[str, Any]:
    """What peers and terminals are for."""
    found = here.hub.state.routing_table.purposes.values()
    return {"purposes": [resources.purpose(each) for each in found if each.owner == who.subject]}


@doors.on("GET", "/api/v2/purposes/{peer}", Policy.USER)
async def one_purpose(peer: str, who: Who, here: Here) -> dict[str, Any]:
    name = context.named(here.hub.state, who, peer)
    text = here.hub.state.routing_table.purpose_of(who.subject, name)
    return resources.purpose(Purpose(who.subject, name, text or ""))


@doors.on("PUT", "/api/v2/purposes/{peer}", Policy.USER)
async def put_purpose(peer: str, body: TextBody, who: Who, here: Here) -> dict[str, Any]:
    """Told to the peer with each message, and sent along with what is forwarded from it."""
    return resources.purpose(await here.hub.execute(who, PutPurpose(peer, body.text)))


@doors.on("DELETE", "/api/v2/purposes/{peer}", Policy.USER)
async def remove_purpose(peer: str, who: Who, here: Here) -> dict[str, Any]:
    return resources.purpose(await here.hub.execute(who, PutPurpose(peer, "")))
