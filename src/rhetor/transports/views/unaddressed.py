"""Named shells, projects and machines, which are listed with the peers although no message can be sent to
them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rhetor.dialects import resources
from rhetor.domain.machine import MACHINE, JoinedMachine
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.peer_stats import PeerStats
from rhetor.domain.program import ProgramState, ProgramStatus
from rhetor.domain.project import PROJECT, Project
from rhetor.domain.rules import Terminal
from rhetor.hub.forwarding.terminals import owned_terminals, readers_of
from rhetor.hub.programs.now import open_turns
from rhetor.hub.sessions import projects
from rhetor.transports.server.call import Viewer


async def listed(call: Viewer) -> list[dict[str, Any]]:
    """Return the caller's named shells and projects, and the machines that have joined."""
    state, who = call.hub.state, call.who
    shells = [shell(call, terminal) for terminal in owned_terminals(state, who)]
    found = await projects.projects(state, who)
    sessions = await projects.open_sessions(state, who) if found else {}
    machines = [machine(call, each) for each in state.machines]
    return [*shells, *(project(call, each, sessions.get(each.name, ())) for each in found), *machines]


async def one(call: Viewer, id: str) -> dict[str, Any] | None:
    """Return the caller's named shell or project, or the machine, that is listed with this id, if there is
    one."""
    state, who = call.hub.state, call.who
    if id.startswith(MACHINE):
        joined = state.machines.find(id.removeprefix(MACHINE))
        return None if joined is None else machine(call, joined)
    if id.startswith(PROJECT):
        found = await projects.owned_project(state, who, id.removeprefix(PROJECT))
        sessions = await projects.open_sessions(state, who)
        return project(call, found, sessions.get(found.name, ()))
    terminal = terminal_of(call, id)
    return None if terminal is None else shell(call, terminal)


def terminal_of(call: Viewer, name: str) -> Terminal | None:
    """Return the caller's named shell of this name, if there is one."""
    terminal = call.hub.state.routing_table.terminals.get(name)
    return terminal if terminal is not None and terminal.owner == call.who.subject else None


def shell(call: Viewer, terminal: Terminal) -> dict[str, Any]:
    """Return a named shell as the caller sees it."""
    state = call.hub.state
    purpose = state.routing_table.purpose_of(terminal.owner, terminal.name)
    peer = Peer(
        terminal.name, PeerKind.TERMINAL, "shell", purpose or "a named shell", display_name=terminal.name
    )
    if readers_of(state, terminal):
        return _shape(call, peer, "idle", "it is open")
    return _shape(call, peer, "gone", "no shell with this name is open")


def project(call: Viewer, project: Project, sessions: Sequence[str]) -> dict[str, Any]:
    """Return a project as the caller sees it. `sessions`: its open ones."""
    running = len({each.stream for each in open_turns(call.hub.state)}.intersection(sessions))
    peer = Peer(
        project.id,
        PeerKind.PROJECT,
        "project",
        project.path,
        model=project.settings.model,
        display_name=project.name,
    )
    if running:
        return _shape(call, peer, "busy", f"turns run in {running} of its sessions", len(sessions))
    return _shape(call, peer, "idle", "no turn running", len(sessions))


def machine(call: Viewer, machine: JoinedMachine) -> dict[str, Any]:
    """Return a machine that has joined."""
    names = ", ".join(offer.name for offer in machine.offers) or "nothing"
    peer = Peer(
        f"{MACHINE}{machine.name}",
        PeerKind.MACHINE,
        "machine",
        f"{machine.hostname or machine.name} offers {names}",
        display_name=machine.name,
    )
    if call.hub.state.machines.is_online(machine.name):
        return _shape(call, peer, "online", "it is connected")
    return _shape(call, peer, "offline", machine.why)


def _shape(
    call: Viewer, peer: Peer, status: ProgramState, evidence: str, sessions: int = 0
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
