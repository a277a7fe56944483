"""The specialists: `/api/v2/specialists`. Changes are written to the configuration file."""

from __future__ import annotations

from typing import Any

from rhetor.domain.peer import Peer, PeerKind
from rhetor.errors import NameTaken, NotFound
from rhetor.transports.server.call import Call

from .bodies import SpecialistBody, SpecialistChangeBody


async def list_specialists(call: Call) -> dict[str, Any]:
    """List the specialists."""
    found = [_shape(call, peer) for peer in call.hub.state.peers if peer.kind is PeerKind.SPECIALIST]
    return {"specialists": sorted(found, key=lambda each: str(each["name"]))}


async def one_specialist(call: Call, name: str) -> dict[str, Any]:
    """Return a specialist, with its prompt."""
    return _shape(call, _found(call, name))


async def add(call: Call, body: SpecialistBody) -> dict[str, Any]:
    """Add a specialist. It can be used at once."""
    call.acting.detail = body.name
    if call.hub.state.peers.has(body.name):
        raise NameTaken("peer", body.name)
    await call.node.configuration.add_specialist(body.name, body.values())
    return _shape(call, _found(call, body.name))


async def change(call: Call, name: str, body: SpecialistChangeBody) -> dict[str, Any]:
    """Change a specialist, also a built-in one. A member that is null gets its built-in or default value."""
    call.acting.detail = ", ".join(values := body.values())
    await call.node.configuration.change_specialist(name, values)
    return _shape(call, _found(call, name))


async def remove(call: Call, name: str) -> dict[str, Any]:
    """Remove a specialist, also a built-in one."""
    await call.node.configuration.remove_specialist(name)
    return {"name": name, "status": "removed"}


def _found(call: Call, name: str) -> Peer:
    for peer in call.hub.state.peers:
        if peer.kind is PeerKind.SPECIALIST and peer.name.lower() == name.lower():
            return peer
    raise NotFound("specialist", name[:200])


def _shape(call: Call, peer: Peer) -> dict[str, Any]:
    return {
        "name": peer.name,
        "role": peer.role,
        "description": peer.description,
        "prompt": peer.prompt,
        "model": peer.model,
        "capabilities": {each.name: each.score for each in peer.capabilities},
        "primary": [each.name for each in peer.capabilities if each.primary],
        "mcp_servers": list(peer.mcp_servers),
        "origin": call.node.configuration.origin_of(peer.name),
    }
