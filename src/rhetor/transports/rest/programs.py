"""Programs as peers: starting and ending them, their status, and waiting until they are idle."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from rhetor.dialects import resources
from rhetor.domain.command import EndProgram, LaunchTool
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.principal import ADMIN, Principal
from rhetor.domain.program import Exit
from rhetor.domain.timestamps import timestamp
from rhetor.errors import UnknownPeer
from rhetor.hub.catalog.pauses import Pause
from rhetor.hub.programs.instances import reports
from rhetor.hub.programs.now import gone_since, own_programs, pauses_of, running_turns
from rhetor.hub.programs.ownership import own_instances, peers_for
from rhetor.hub.programs.status import (
    inspect,
    look_at_hosts,
    paused_status,
    until_idle,
    visible_to,
    waiting_messages,
)
from rhetor.hub.sessions import sessions
from rhetor.transports.server.call import Call, Caller
from rhetor.transports.views.peers import instance_view, model_of, peer_status, shape

from .bodies import EndQuery, LaunchBody, ProgramBody, ToolsQuery, WaitBody

# a wrapped program was found by its owner's shell, whose variables the hub does not keep
WRAPPED = {
    "installed": True,
    "path": None,
    "how_to_install": None,
    "login": {"known": "unknown", "how": "it is a wrapped program"},
}


async def announce(call: Call, body: ProgramBody) -> dict[str, Any]:
    """Start a program as a peer. It outlives the hub; its environment is not stored."""
    return await shape(call, await call.execute(body.command()))


async def end(call: Call, name: str, query: EndQuery) -> dict[str, Any]:
    """End a peer's program and all its descendants: SIGTERM, and SIGKILL after 5 seconds. With `force`, the
    program's host process is killed if it does not answer."""
    return await _end(call, name, query)


async def status(call: Call, id: str) -> dict[str, Any]:
    """Return the status of a peer, and the reasons for it."""
    state = call.hub.state
    peer = peers_for(state, call.who).get(id)
    instance = next(iter(own_instances(state, call.who, peer.name)), None)
    program = next(iter(own_programs(state, call.who, peer.name)), None)
    gone = gone_since(state, peer.name)
    how = paused_status(state, peer)
    if how is None and instance is not None and not call.who.is_agent:
        seen = await inspect(state, instance)
    else:
        seen = visible_to(state, call.who, peer, how or peer_status(call.node, peer))
    running, waiting = running_turns(state, peer), await waiting_messages(state, peer)
    place = resources.InstanceView((program.pid or None) if program else None, seen)
    ended = gone[0] if gone and not program else None
    own = program.session_id if program and program.owner == call.who.subject else None
    shown = resources.status(peer, place, ended, running, waiting, None if call.who.is_agent else own)
    pauses = [pause for pause in pauses_of(state, peer) if pause.owner == call.who.subject]
    return {**shown, "model": model_of(call, peer), "paused": [_paused(pause) for pause in pauses]}


def _paused(pause: Pause) -> dict[str, Any]:
    return {
        "turn_id": pause.id,
        "session_id": pause.stream,
        "request_id": pause.request_id,
        "cause": pause.question.cause,
        "reason": pause.question.reason,
        "resets_at": None if pause.question.resets_at is None else timestamp(pause.question.resets_at),
        "then": pause.question.then or None,
        "since": timestamp(pause.at),
    }


async def wait(call: Call, body: WaitBody) -> dict[str, Any]:
    """Wait until any or all of the peers are idle."""
    waited = await until_idle(call.hub.state, call.who, body.peers, body.mode, body.timeout)
    return {"idle": waited.idle, "waiting": waited.waiting, "timed_out": waited.timed_out}


async def tools(call: Caller, query: ToolsQuery) -> dict[str, Any]:
    """List the configured and the wrapped programs; with `check`, also the results of their health checks."""
    await look_at_hosts(call.hub.state, list(call.hub.state.instances.values()))
    seen = peers_for(call.hub.state, call.who)
    peers = [peer for peer in seen if peer.kind is PeerKind.TOOL]
    found = [await _tool(call, peer) for peer in peers]
    if query.check:
        healths = await asyncio.gather(*(_health(call, peer) for peer in peers))
        found = [{**tool, "health": health} for tool, health in zip(found, healths, strict=True)]
    return {"tools": found}


async def tool(call: Call, name: str) -> dict[str, Any]:
    """Return a configured program, and the result of its health check."""
    peer = _tool_peer(call, name)
    return {**await _tool(call, peer), "health": await _health(call, peer)}


async def launch(call: Call, name: str, body: LaunchBody) -> dict[str, Any]:
    """Start the program if it is not running."""
    peer = await call.execute(LaunchTool(_tool_peer(call, name).name, body.session, body.cwd))
    return await _tool(call, peer)


async def terminate(call: Call, name: str, query: EndQuery) -> dict[str, Any]:
    return await _end(call, _tool_peer(call, name).name, query)


async def capabilities(call: Call, name: str) -> dict[str, Any]:
    """Return the configured and the reported capabilities of a program; reported ones take precedence.
    `reported`: what else the program reports while it is running."""
    peer, state = _tool_peer(call, name), call.hub.state
    dynamic = reports(state).get(peer.name, {})
    now = peer.reporting(dynamic)
    told: dict[str, Any] = {}
    for program in own_programs(state, call.who, peer.name):
        told |= program.details
    return {
        "name": peer.name,
        "static": {"streaming": peer.streams, **{c.name: c.score for c in peer.capabilities}},
        "dynamic": dynamic,
        "capabilities": {c.name: c.score for c in now.capabilities},
        "origins": {c.name: c.origin for c in now.capabilities},
        "reported": told,
    }


async def _end(call: Call, name: str, query: EndQuery) -> dict[str, Any]:
    ended: Exit = await call.execute(EndProgram(name, query.force))
    return {"name": name, "exit_code": ended.exit_code, "signal": ended.signal}


def _tool_peer(call: Caller, name: str) -> Peer:
    """Return the peer of a configured or wrapped program.

    Raises:
        UnknownPeer: there is no such tool.
    """
    peer = peers_for(call.hub.state, call.who).get(name)
    if peer.kind is not PeerKind.TOOL:
        raise UnknownPeer(name)
    return peer


async def _health(call: Caller, peer: Peer) -> dict[str, Any]:
    """Return the result of a program's health check. That of a wrapped program is whether it is running."""
    node = call.node
    if peer.machine:
        online = node.hub.state.machines.is_online(peer.machine)
        found = peer_status(node, peer).evidence
        return {"check": "status", "ok": online, "detail": found, "version": None}
    if not node.hub.state.peers.is_announced(peer.name):
        health = await node.programs.health(peer)
        return health if sees_places(call.who) else {**health, "detail": ""}
    how = peer_status(node, peer)
    return {"check": "status", "ok": how.state != "gone", "detail": how.evidence, "version": None}


def sees_places(who: Principal) -> bool:
    """Return whether the caller sees where programs are: administrators do, and programs on this machine."""
    return who.is_agent or who.has(ADMIN)


def without_places(tool: dict[str, Any]) -> dict[str, Any]:
    """Return what a program is, or what is known of its file, without where that is."""
    named = {"executable": Path(tool["executable"]).name} if "executable" in tool else {}
    return {**tool, **named, "path": None, "login": {**tool["login"], "how": ""}}


def _on_machine(call: Caller, peer: Peer) -> dict[str, Any]:
    """Return what is known of a program on another machine, which offers only what is installed there."""
    machine = call.hub.state.machines.find(peer.machine)
    offers = machine.offers if machine is not None else ()
    logins = (offer.login for offer in offers if offer.peer(peer.machine).name == peer.name)
    known, how = next(logins, ("unknown", ""))
    login = {"known": known, "how": how or f"as {peer.machine} found it when it connected"}
    return {"installed": True, "path": None, "how_to_install": None, "login": login}


async def _tool(call: Caller, peer: Peer) -> dict[str, Any]:
    found = await _whole_tool(call, peer)
    return found if sees_places(call.who) else without_places(found)


async def _whole_tool(call: Caller, peer: Peer) -> dict[str, Any]:
    assert peer.program is not None
    node, state = call.node, call.hub.state
    how = instance_view(node, call.who, peer)
    is_wrapped = state.peers.is_announced(peer.name)
    return {
        "name": peer.name,
        "display_name": peer.title,
        "description": peer.description,
        "driver": peer.driver,
        "executable": peer.program.argv[0],
        **(_on_machine(call, peer) if peer.machine else WRAPPED if is_wrapped else node.programs.found(peer)),
        "status": how.status.state,
        "evidence": how.status.evidence,
        "pid": how.pid,
        "capabilities": {c.name: c.score for c in peer.capabilities},
        "sessions": list(map(resources.brief, await sessions.of_tool(state, call.who, peer))),
    }
