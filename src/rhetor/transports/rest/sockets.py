"""Sockets and groups: `/api/ai/socket`; and the bytes that were said there: `/api/v2/blobs`."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from rhetor.auth.policy import Policy
from rhetor.dialects.raw import timestamp
from rhetor.domain import command as c
from rhetor.domain.socket import HUB, HUB_PEER, Socket, is_shared
from rhetor.hub.sessions import blobs
from rhetor.hub.sessions.sockets import Active, active_sockets
from rhetor.transports.server.node import Node
from rhetor.transports.server.router import Doors

from .bodies import GroupBody, MembersBody, SocketBody
from .dependencies import Here, Key, Who

doors = Doors(tags=["sockets"])
PAGE = "/api/ai/socket"


@doors.on("POST", f"{PAGE}/create", Policy.USER)
async def create(body: SocketBody, who: Who, here: Here, key: Key = None) -> dict[str, Any]:
    """Open a socket on a peer."""
    socket: Socket = await here.hub.execute(who, body.command(key))
    url = _url(here, socket.id)
    return {"socket_id": socket.id, "websocket_url": url, "session_id": socket.session_id, "ai": socket.peer}


@doors.on("GET", PAGE, Policy.USER)
async def list_sockets(who: Who, here: Here) -> dict[str, Any]:
    """The caller's sockets that can be written to; those that are always there come first."""
    active = await active_sockets(here.hub.state, who)
    return {"sockets": [_shape(here, socket) for socket in active]}


@doors.on("POST", f"{PAGE}/groups", Policy.USER)
async def make_group(body: GroupBody, who: Who, here: Here, key: Key = None) -> dict[str, Any]:
    """Make `team:<name>`, with a socket `group:<name>`."""
    return _group(here, body.name, await here.hub.execute(who, body.command(key)))


@doors.on("GET", f"{PAGE}/groups", Policy.USER)
async def list_groups(here: Here) -> dict[str, Any]:
    teams = sorted(here.hub.state.peers.teams.items())
    return {"groups": [_group(here, name, members) for name, members in teams]}


@doors.on("GET", f"{PAGE}/groups/{{name}}", Policy.USER)
async def one_group(name: str, here: Here) -> dict[str, Any]:
    return _group(here, name, here.hub.state.peers.team(name))


@doors.on("PUT", f"{PAGE}/groups/{{name}}", Policy.USER)
async def change_group(name: str, body: MembersBody, who: Who, here: Here) -> dict[str, Any]:
    members = await here.hub.execute(who, c.ChangeTeam(name, tuple(body.members)))
    return _group(here, name, members)


@doors.on("DELETE", f"{PAGE}/groups/{{name}}", Policy.USER)
async def drop_group(name: str, who: Who, here: Here) -> dict[str, Any]:
    await here.hub.execute(who, c.DropTeam(name))
    return {"name": name, "status": "deleted"}


@doors.on("DELETE", f"{PAGE}/{{id}}", Policy.USER)
async def close(id: str, who: Who, here: Here) -> dict[str, Any]:
    """End the socket and its session. What was said in it stays."""
    await here.hub.execute(who, c.CloseSocket(id))
    return {"socket_id": id, "status": "closed"}


@doors.on("GET", "/api/v2/blobs/{id}", Policy.USER)
async def read_blob(id: str, who: Who, here: Here) -> Response:
    """Binary content as it came; a browser is told to save it, and to guess nothing."""
    blob = await blobs.owned_blob(here.hub.state, who, id)
    headers = {
        "content-disposition": f'attachment; filename="{id}"',
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'",
        "cache-control": "private, no-store",
        "content-type": blob.media_type,
    }
    return Response(blob.content, headers=headers)


def _shape(here: Node, socket: Active) -> dict[str, Any]:
    return {
        "socket_id": socket.id,
        "websocket_url": _url(here, socket.id),
        "ai": HUB if socket.peer == HUB_PEER else socket.peer,
        "session_id": socket.session_id,
        "created_at": timestamp(socket.created_at) if socket.created_at is not None else None,
        "binary": is_shared(socket.peer),
        "readers": socket.readers,
        "waiting": socket.waiting,
        "head": str(socket.head) if socket.head else None,
    }


def _group(here: Node, name: str, members: Any) -> dict[str, Any]:
    configured = name == "all" or here.hub.state.peers.is_configured_team(name)
    return {
        "name": name,
        "members": list(members),
        "origin": "configured" if configured else "made",
        "socket_id": f"group:{name}",
        "websocket_url": _url(here, f"group:{name}"),
    }


def _url(here: Node, socket_id: str) -> str:
    return f"{here.url.replace('http', 'ws', 1)}/ws/socket/{socket_id}"
