"""Named sockets and groups: `/api/ai/socket`."""

from __future__ import annotations

from typing import Any

from rhetor.domain import command as c
from rhetor.domain.socket import HUB, HUB_PEER, Socket, is_shared, standing_peer
from rhetor.domain.timestamps import timestamp
from rhetor.errors import Unprocessable
from rhetor.hub.sessions.sockets import Active, active_sockets, found_socket
from rhetor.transports.server.call import Call
from rhetor.transports.server.node import Node

from .bodies import GroupBody, MembersBody, SocketBody
from .peers import as_sent

PAGE = "/api/ai/socket"


async def create(call: Call, body: SocketBody) -> dict[str, Any]:
    """Open a socket on a peer. `team-chat-all` and `rhetor` name the sockets that always exist."""
    if body.model is not None:
        await call.node.providers.require_model(body.model)
    command: c.OpenSocket = body.command(call.key)
    if standing_peer(body.ai_name) is None:
        socket: Socket = await call.execute(command)
    elif command.voice is not None:
        raise Unprocessable(f"the socket {body.ai_name} has no model, prompt or context of its own")
    else:
        socket = await found_socket(call.hub.state, call.who, body.ai_name)
    url = _url(call.node, socket.id)
    ai = _ai(socket.peer) if standing_peer(body.ai_name) else as_sent(body.ai_name, socket.peer)
    return {"socket_id": socket.id, "websocket_url": url, "session_id": socket.session_id, "ai": ai}


async def list_sockets(call: Call) -> dict[str, Any]:
    """List the caller's active sockets; the permanent ones come first."""
    active = await active_sockets(call.hub.state, call.who)
    return {"sockets": [_shape(call.node, socket) for socket in active]}


async def make_group(call: Call, body: GroupBody) -> dict[str, Any]:
    """Create the team `team:<name>`, which has the socket `group:<name>`."""
    return _group(call.node, body.name, await call.execute(body.command(call.key)))


async def list_groups(call: Call) -> dict[str, Any]:
    teams = sorted(call.hub.state.peers.teams.items())
    return {"groups": [_group(call.node, name, members) for name, members in teams]}


async def one_group(call: Call, name: str) -> dict[str, Any]:
    return _group(call.node, name, call.hub.state.peers.team(name))


async def change_group(call: Call, name: str, body: MembersBody) -> dict[str, Any]:
    members = await call.execute(c.ChangeTeam(name, tuple(body.members)))
    return _group(call.node, name, members)


async def drop_group(call: Call, name: str) -> dict[str, Any]:
    await call.execute(c.DropTeam(name))
    return {"name": name, "status": "deleted"}


async def close(call: Call, id: str) -> dict[str, Any]:
    """Close the socket and end its session. Its messages are kept."""
    await call.execute(c.CloseSocket(id))
    return {"socket_id": id, "status": "closed"}


def _shape(node: Node, socket: Active) -> dict[str, Any]:
    return {
        "socket_id": socket.id,
        "websocket_url": _url(node, socket.id),
        "ai": _ai(socket.peer),
        "session_id": socket.session_id,
        "created_at": timestamp(socket.created_at) if socket.created_at is not None else None,
        "binary": is_shared(socket.peer),
        "readers": socket.readers,
        "waiting": socket.waiting,
        "head": socket.head.seq if socket.head else None,
        "cursor": str(socket.head) if socket.head else None,
    }


def _ai(peer: str) -> str:
    return HUB if peer == HUB_PEER else peer


def _group(node: Node, name: str, members: Any) -> dict[str, Any]:
    configured = name == "all" or node.hub.state.peers.is_configured_team(name)
    return {
        "name": name,
        "members": list(members),
        "origin": "configured" if configured else "made",
        "socket_id": f"group:{name}",
        "websocket_url": _url(node, f"group:{name}"),
    }


def _url(node: Node, socket_id: str) -> str:
    return f"{node.url.replace('http', 'ws', 1)}/ws/socket/{socket_id}"
