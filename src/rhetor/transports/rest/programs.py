"""Programs as peers: started and ended, by name or by their own arguments; how they are; waiting for them."""

from __future__ import annotations

import asyncio
from typing import Any

from rhetor.auth.policy import Policy
from rhetor.dialects import resources
from rhetor.domain.command import EndProgram, LaunchTool
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.program import Exit
from rhetor.errors import UnknownPeer
from rhetor.hub.programs.instances import instances_of, reports
from rhetor.hub.programs.status import running_turns, until_idle, waiting_messages
from rhetor.transports.server.node import Node
from rhetor.transports.server.router import Doors

from .bodies import LaunchBody, ProgramBody, WaitBody
from .dependencies import Here, Who
from .peers import instance_view, peer_status, shape

doors = Doors(tags=["programs"])


@doors.on("POST", "/api/v2/programs", Policy.OWNER)
async def announce(body: ProgramBody, who: Who, here: Here) -> dict[str, Any]:
    """Start a program as a peer. It outlives the hub; its environment is not kept."""
    return shape(here, await here.hub.execute(who, body.command()))


@doors.on("DELETE", "/api/v2/programs/{name}", Policy.USER)
async def end(name: str, who: Who, here: Here) -> dict[str, Any]:
    """End a peer's program: TERM, 5 seconds, KILL, for it and all that descends from it."""
    return await _end(name, who, here)


@doors.on("GET", "/api/v2/ai/{id}/status", Policy.USER)
async def status(id: str, here: Here) -> dict[str, Any]:
    """How a peer is, and why that is thought."""
    state = here.hub.state
    peer = state.peers.get(id)
    instance, gone = next(iter(instances_of(state, peer.name)), None), state.gone.get(peer.name)
    how = await instance.running.inspect() if instance else peer_status(here, peer)
    running, waiting = running_turns(state, peer), await waiting_messages(state, peer)
    place = resources.InstanceView(instance.running.pid if instance else None, how)
    return resources.status(peer, place, gone[0] if gone and not instance else None, running, waiting)


@doors.on("POST", "/api/v2/wait", Policy.USER)
async def wait(body: WaitBody, here: Here) -> dict[str, Any]:
    """Wait until one of the peers, or all of them, are idle."""
    waited = await until_idle(here.hub.state, body.peers, body.mode, body.timeout)
    return {"idle": waited.idle, "waiting": waited.waiting, "timed_out": waited.timed_out}


@doors.on("GET", "/api/v2/tools", Policy.USER)
async def tools(here: Here, check: bool = False) -> dict[str, Any]:
    """The programs that can be launched by name; with `check`, also what each one's health check says."""
    peers = [peer for peer in here.hub.state.peers if _is_tool(here, peer)]
    found = [_tool(here, peer) for peer in peers]
    if check:
        healths = await asyncio.gather(*map(here.programs.health, peers))
        found = [{**tool, "health": health} for tool, health in zip(found, healths, strict=True)]
    return {"tools": found}


@doors.on("GET", "/api/v2/tools/{name}", Policy.USER)
async def tool(name: str, here: Here) -> dict[str, Any]:
    """One of them, and what its health check says."""
    peer = _tool_peer(here, name)
    return {**_tool(here, peer), "health": await here.programs.health(peer)}


@doors.on("POST", "/api/v2/tools/{name}/launch", Policy.USER)
async def launch(name: str, body: LaunchBody, who: Who, here: Here) -> dict[str, Any]:
    """Start it; one that runs goes on."""
    peer = await here.hub.execute(who, LaunchTool(_tool_peer(here, name).name, body.session, body.cwd))
    return _tool(here, peer)


@doors.on("POST", "/api/v2/tools/{name}/terminate", Policy.USER)
async def terminate(name: str, who: Who, here: Here) -> dict[str, Any]:
    return await _end(_tool_peer(here, name).name, who, here)


@doors.on("GET", "/api/v2/tools/{name}/capabilities", Policy.USER)
async def capabilities(name: str, here: Here) -> dict[str, Any]:
    """What it is configured to be good at, and what it says itself, which counts where both do; `reported`:
    what else it tells of itself while it runs."""
    peer, state = _tool_peer(here, name), here.hub.state
    dynamic = reports(state).get(peer.name, {})
    now = peer.reporting(dynamic)
    told: dict[str, Any] = {}
    for instance in instances_of(state, peer.name):
        told |= instance.running.details
    return {
        "name": peer.name,
        "static": {"streaming": peer.streams, **{c.name: c.score for c in peer.capabilities}},
        "dynamic": dynamic,
        "capabilities": {c.name: c.score for c in now.capabilities},
        "origins": {c.name: c.origin for c in now.capabilities},
        "reported": told,
    }


async def _end(name: str, who: Who, here: Node) -> dict[str, Any]:
    ended: Exit = await here.hub.execute(who, EndProgram(name))
    return {"name": name, "exit_code": ended.exit_code, "signal": ended.signal}


def _tool_peer(here: Node, name: str) -> Peer:
    """Raises:
    UnknownPeer: there is no such tool."""
    peer = here.hub.state.peers.get(name)
    if not _is_tool(here, peer):
        raise UnknownPeer(name)
    return peer


def _is_tool(here: Node, peer: Peer) -> bool:
    return peer.kind is PeerKind.TOOL and not here.hub.state.peers.is_put(peer.name)


def _tool(here: Node, peer: Peer) -> dict[str, Any]:
    assert peer.program is not None
    how = instance_view(here, peer)
    return {
        "name": peer.name,
        "display_name": peer.title,
        "description": peer.description,
        "driver": peer.driver,
        "executable": peer.program.argv[0],
        **here.programs.found(peer),
        "status": how.status.state,
        "evidence": how.status.evidence,
        "pid": how.pid,
        "capabilities": {c.name: c.score for c in peer.capabilities},
        "sessions": running_turns(here.hub.state, peer),
    }
