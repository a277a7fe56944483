"""The resources and prompts: the configuration, the peers, the sessions, and the specialists as prompts."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import msgspec

from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.principal import ADMIN
from rhetor.errors import NotFound
from rhetor.hub.sessions.states import readable_session
from rhetor.transports.rest import peers, sessions
from rhetor.transports.rest.bodies import SessionsQuery

from .caller import McpCaller

RESOURCES = {
    "rhetor://config": (
        "config",
        "The configuration in force, and where each value comes from; secrets are masked",
    ),
    "rhetor://peers": ("peers", "All peers and teams, with their status"),
    "rhetor://sessions": ("sessions", "Your sessions, without their messages"),
}
SESSION = "rhetor://sessions/{id}"


async def read(caller: McpCaller, uri: str) -> str:
    """Return a resource as JSON.

    Raises:
        NotFound: there is no such resource, or the session belongs to another owner.
        Forbidden: the caller lacks the scope admin, and asks for the configuration.
    """
    found = await _found(caller, uri)
    return caller.hub.state.secrets.mask(msgspec.json.encode(found).decode())


async def _found(caller: McpCaller, uri: str) -> dict[str, Any]:
    match uri:
        case "rhetor://config":
            caller.who.require(ADMIN)
            values = caller.node.configuration.values()
            return {"config": [{"key": key, "value": value, "origin": at} for key, value, at in values]}
        case "rhetor://peers":
            return await peers.list_peers(caller)
        case "rhetor://sessions":
            return await sessions.list_sessions(caller, SessionsQuery())
    id = unquote(uri.removeprefix("rhetor://sessions/"))
    if id == uri or not id:
        raise NotFound("resource", uri[:200])
    return await sessions.described(caller.node, await readable_session(caller.hub.state, caller.who, id))


def specialists(caller: McpCaller) -> list[Peer]:
    return [peer for peer in caller.hub.state.peers if peer.kind is PeerKind.SPECIALIST]


def prompt_of(caller: McpCaller, name: str, message: str) -> tuple[str, str]:
    """Return the description of a specialist, and its prompt followed by the message.

    Raises:
        NotFound: there is no such specialist.
    """
    peer = next((peer for peer in specialists(caller) if peer.name == name), None)
    if peer is None:
        raise NotFound("prompt", name[:200])
    text = peer.prompt or peer.role or peer.description
    return peer.description, "\n\n".join(part for part in (text, message) if part)
