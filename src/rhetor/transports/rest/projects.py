"""Projects: `/api/projects`."""

from __future__ import annotations

from typing import Any

import msgspec

from rhetor.dialects import resources
from rhetor.domain.project import Project, ProjectSettings
from rhetor.domain.rule_commands import ChangeProject, CreateProject
from rhetor.domain.timestamps import timestamp
from rhetor.hub.sessions import projects, sessions
from rhetor.hub.sessions.usage import usage
from rhetor.transports.server.call import Call

from .analytics import shown
from .bodies import ProjectBody, ProjectSettingsBody

SHOWN = 100


async def list_projects(call: Call) -> dict[str, Any]:
    """List the caller's projects, the oldest first."""
    found = await projects.projects(call.hub.state, call.who)
    return {"projects": [await _shape(call, project) for project in found]}


async def create(call: Call, body: ProjectBody) -> dict[str, Any]:
    """Create a project in an existing folder."""
    settings = await _checked(call, body.settings)
    return await _shape(call, await call.execute(CreateProject(body.name, body.path, settings)))


async def one_project(call: Call, id: str) -> dict[str, Any]:
    """Return a project with its last sessions and their usage."""
    state = call.hub.state
    project = await projects.owned_project(state, call.who, id)
    used = await usage(state, call.who, "project", project=project.name)
    return {**await _shape(call, project), "usage": shown(used.total)}


async def change(call: Call, id: str, body: ProjectSettingsBody) -> dict[str, Any]:
    """Replace the settings of a project, for the sessions that are opened from now on."""
    return await _shape(call, await call.execute(ChangeProject(id, await _checked(call, body))))


async def _checked(call: Call, body: ProjectSettingsBody) -> ProjectSettings:
    if body.model is not None:
        await call.node.providers.require_model(body.model)
    return body.settings()


async def _shape(call: Call, project: Project) -> dict[str, Any]:
    found = await sessions.listed(call.hub.state, call.who, project=project.name, limit=SHOWN)
    return {
        "id": project.name,
        "name": project.name,
        "path": project.path,
        "settings": msgspec.to_builtins(project.settings),
        "sessions": [{**resources.brief(session), "specialist_id": session.peer} for session in found],
        "created_at": timestamp(project.created_at),
    }
