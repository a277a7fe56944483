"""Projects: folders with defaults for their sessions. A session belongs to a project by its `project_id`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import StartSession
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.domain.project import Project, ProjectSettings
from rhetor.domain.rule_commands import ChangeProject, CreateProject
from rhetor.domain.session import Session, Voice
from rhetor.errors import NameTaken, NotFound, OnOtherMachine, StateConflict, Unprocessable
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.catalog.sessions import CWD, session_of
from rhetor.hub.catalog.sessions import OPEN as OPEN_STATES
from rhetor.hub.core.checks import require_name, require_person
from rhetor.hub.programs.ownership import peers_for
from rhetor.store.base import Expect, Row

from .machine_projects import machine_project, machine_projects, require_same_machine

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND, OPEN = "project", "open"


async def create(state: State, principal: Principal, command: CreateProject) -> Project:
    """Create a project in an existing folder under one of the allowed roots.

    Raises:
        Forbidden: the caller is a peer's program.
        Malformed: the name is invalid.
        Unprocessable: the path is no folder under an allowed root, or a setting is invalid.
        NameTaken: a project has the name.
        StoreRefused, ShuttingDown: nothing was stored; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    require_name(command.name, "project name")
    _check(state, principal, command.settings)
    path = await asyncio.to_thread(_folder, command.path, state.limits.project_roots)
    project = Project(command.name, path, principal.subject, state.ids.now(), command.settings)
    row = _row(project)
    try:
        await state.store.commit(HUB_STREAM, [], expects=[row.unchanged], rows=[row])
    except StateConflict:
        raise NameTaken(KIND, command.name) from None
    return project


async def change(state: State, principal: Principal, command: ChangeProject) -> Project:
    """Replace the settings of a project. They apply to sessions that are opened from now on.

    Raises:
        Forbidden: the caller is a peer's program.
        NotFound: the caller has no such project.
        Unprocessable: a setting is invalid.
        StoreRefused, ShuttingDown: nothing was changed; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    project = await owned_project(state, principal, command.name)
    if project.machine:
        detail = f"{project.name} is defined in the configuration of {project.machine}"
        raise OnOtherMachine(
            detail, machine=project.machine, hint="its sessions have no defaults of their own"
        )
    project = replace(project, settings=command.settings)
    _check(state, principal, command.settings)
    expect = Expect(KIND, project.name, frozenset({OPEN}))
    await state.store.commit(HUB_STREAM, [], expects=[expect], rows=[_row(project)])
    return project


async def owned_project(state: State, principal: Principal, name: str) -> Project:
    """Return the caller's project of this name.

    Raises:
        NotFound: the caller has no such project.
    """
    if (there := machine_project(state, name, principal.subject)) is not None:
        return there
    row = await state.store.get(KIND, name)
    if row is None or row.owner != principal.subject:
        raise NotFound(KIND, name)
    return msgspec.json.decode(row.doc, type=Project)


async def projects(state: State, principal: Principal) -> Sequence[Project]:
    """Return the caller's projects, the oldest first, and those of machines."""
    rows = await state.store.find(KIND, owner=principal.subject)
    own = [msgspec.json.decode(row.doc, type=Project) for row in rows]
    return [*own, *machine_projects(state, principal.subject)]


async def open_sessions(state: State, principal: Principal) -> dict[str, list[str]]:
    """Return the ids of the caller's sessions that have not ended, by project, for the last 100,000."""
    rows = await state.store.find(
        "session", owner=principal.subject, state=OPEN_STATES, limit=100_000, newest=True
    )
    found: dict[str, list[str]] = {}
    for session in map(session_of, rows):
        if session.project_id is not None:
            found.setdefault(session.project_id, []).append(session.id)
    return found


async def project_of(state: State, principal: Principal, command: StartSession) -> Project | None:
    """Return the project in which a session is opened; None if its `project_id` is only a label."""
    if command.project_id is None:
        return None
    try:
        return await owned_project(state, principal, command.project_id)
    except NotFound:
        return None


def in_project(project: Project, peer: Peer, session: Session) -> Session:
    """Return the session with the defaults of its project. A program runs in the project's folder, unless its
    caller gave another one.

    Raises:
        OnOtherMachine: the program and the folder are on different machines.
    """
    require_same_machine(project, peer)
    if peer.program is not None:
        session = replace(session, metadata={CWD: project.path, **session.metadata})
    settings, voice = project.settings, session.voice or Voice()
    voice = replace(
        voice,
        model=voice.model or settings.model,
        mcp_servers=settings.mcp_servers,
        permissions=settings.permissions,
    )
    return session if voice == Voice() else replace(session, voice=voice)


def _check(state: State, principal: Principal, settings: ProjectSettings) -> None:
    if settings.default_peer is not None:
        peers_for(state, principal).resolve(settings.default_peer)
    servers = state.tool_servers
    for name in settings.mcp_servers:
        if name not in servers.configured and name not in servers.added:
            raise Unprocessable(f"settings.mcp_servers: there is no MCP server {name!r}", server=name)


def _folder(path: str, roots: Sequence[str]) -> str:
    """Return the path of the folder without symbolic links, so that none leads out of its root."""
    try:
        found = Path(path).expanduser().resolve(strict=True)
        allowed = [Path(root).expanduser().resolve() for root in roots]
    except (OSError, RuntimeError, ValueError) as error:
        raise Unprocessable(f"path: {path[:200]} is no folder: {error}", path=path[:200]) from None
    if not found.is_dir():
        raise Unprocessable(f"path: {path[:200]} is no folder", path=path[:200])
    if not any(found.is_relative_to(root) for root in allowed):
        detail = f"path: {found} is not in an allowed folder; to allow it, add its parent to projects.roots"
        raise Unprocessable(detail, path=str(found))
    return str(found)


def _row(project: Project) -> Row:
    doc = msgspec.json.encode(project)
    return Row(KIND, project.name, OPEN, doc, owner=project.owner, at=project.created_at)
