"""A project: a folder with defaults for the sessions that belong to it."""

from __future__ import annotations

from msgspec import Struct, field

from .permission import Rules

PROJECT = "project:"  # cannot collide: the name of a peer has no colon


class ProjectSettings(Struct, frozen=True, gc=False):
    """Defaults of a project's sessions. `model`, `mcp_servers` and `permissions`: of the specialist, in the
    sessions of the project only; the last two are added to its own."""

    default_peer: str | None = None
    model: str | None = None
    permissions: Rules = field(default_factory=Rules)
    mcp_servers: tuple[str, ...] = ()


class Project(Struct, frozen=True, gc=False):
    """A project. Its name is its id. `path`: an absolute path without symbolic links. `created_at`: Unix time
    in milliseconds. `machine`: on which the folder is; empty for the hub's own."""

    name: str
    path: str
    owner: str
    created_at: int
    settings: ProjectSettings = field(default_factory=ProjectSettings)
    machine: str = ""

    @property
    def id(self) -> str:
        """How the project is called among the peers: `project:site`."""
        return PROJECT + self.name
