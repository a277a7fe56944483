"""The projects of machines that have joined: `site@build1`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhetor.domain.machine import AT
from rhetor.domain.peer import Peer
from rhetor.domain.project import Project
from rhetor.errors import OnOtherMachine

if TYPE_CHECKING:
    from rhetor.hub.state import State


def machine_project(state: State, name: str, owner: str = "") -> Project | None:
    """Return the project of a machine, as it belongs to each caller; None if there is none of this name."""
    own, at, machine = name.partition(AT)
    joined = state.machines.find(machine) if at else None
    offered = joined.project(own) if joined is not None else None
    if joined is None or offered is None:
        return None
    return Project(f"{own}{AT}{joined.name}", offered.path, owner, joined.since, machine=joined.name)


def machine_projects(state: State, owner: str) -> list[Project]:
    """Return the projects of all machines."""
    return [
        Project(f"{each.name}{AT}{joined.name}", each.path, owner, joined.since, machine=joined.name)
        for joined in state.machines
        for each in joined.projects
    ]


def require_same_machine(project: Project, peer: Peer) -> None:
    """Check that the peer's program can work in the folder of the project.

    Raises:
        OnOtherMachine: it runs on another machine.
    """
    if peer.program is None or peer.machine == project.machine:
        return
    where, runs = project.machine or "the hub's machine", peer.machine or "the hub's machine"
    raise OnOtherMachine(
        f"the project {project.name} is on {where}, and {peer.name} runs on {runs}",
        machine=project.machine or peer.machine,
        hint="use an agent and a project of the same machine",
    )
