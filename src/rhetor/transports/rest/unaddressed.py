"""Named shells and projects, which are listed with the peers although no message can be sent to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rhetor.dialects import resources
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.peer_stats import PeerStats
from rhetor.domain.program import ProgramState, ProgramStatus
from rhetor.domain.project import PROJECT, Project
from rhetor.domain.rules import Terminal
from rhetor.domain.session import Session
from rhetor.hub.forwarding.terminals import owned_terminals
from rhetor.hub.sessions import projects
from rhetor.transports.server.call import Caller


async def listed(call: Caller) -> list[dict[str, Any]]:
    """Return the caller's named shells and projects."""
    state, who = call.hub.state, call.who
    shells = [_shell(call, terminal) for terminal in owned_terminals(state, who)]
    found = await projects.projects(state, who)
    sessions = await projects.open_sessions(state, who) if found else ()
    return [*shells, *(_project(call, project, sessions) for project in found)]


async def one(call: Caller, id: str) -> dict[str, Any] | None:
    """Return the caller's named shell or project that is listed with this id, if there is one."""
    state, who = call.hub.state, call.who
    if id.startswith(PROJECT):
        project = await projects.owned_project(state, who, id.removeprefix(PROJECT))
        return _project(call, project, await projects.open_sessions(state, who))
    terminal = state.routing_table.terminals.get(id)
    return _shell(call, terminal) if terminal is not None and terminal.owner == who.subject else None


def _shell(call: Caller, terminal: Terminal) -> dict[str, Any]:
    table, presence = call.hub.state.routing_table, call.hub.state.presence
    purpose = table.purpose_of(terminal.owner, terminal.name)
    peer = Peer(
        terminal.name, PeerKind.TERMINAL, "shell", purpose or "a named shell", display_name=terminal.name
    )
    if presence.readers(terminal.stream):
        return _shape(call, peer, "idle", "it is open")
    return _shape(call, peer, "gone", "no shell with this name is open")


def _project(call: Caller, project: Project, sessions: Sequence[Session]) -> dict[str, Any]:
    runners = call.hub.state.runners
    own = [session.id for session in sessions if session.project_id == project.name]
    running = sum(id in runners for id in own)
    peer = Peer(
        project.id,
        PeerKind.PROJECT,
        "project",
        project.path,
        model=project.settings.model,
        display_name=project.name,
    )
    if running:
        return _shape(call, peer, "busy", f"turns run in {running} of its sessions", len(own))
    return _shape(call, peer, "idle", "no turn running", len(own))


def _shape(
    call: Caller, peer: Peer, status: ProgramState, evidence: str, sessions: int = 0
) -> dict[str, Any]:
    shown = resources.peer(
        peer,
        running=0,
        sessions=sessions,
        stats=PeerStats(),
        model=peer.model,
        instance_view=resources.InstanceView(None, ProgramStatus(status, evidence, 0)),
        forward=call.hub.state.routing_table.forward_of(call.who.subject, peer.name),
    )
    return {**shown, "websocket_supported": False}
