"""Sessions, their checkpoints, and imports of conversations."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from rhetor.codec.forms import PLAIN
from rhetor.codec.typed_json import Object, check_total, kept, no_object
from rhetor.dialects.peer_socket import Id, Window
from rhetor.domain.command import (
    ForkSession,
    ImportSessions,
    ResumeSession,
    ShareSession,
    StartSession,
)
from rhetor.domain.session import SessionState
from rhetor.domain.tool import MOST, NAME, Tool

from .common import Body, Cursor, Folder, Name, Query, Time, milliseconds

PARAMETERS = {"type": "object", "properties": {"type": {"const": "object"}}}


class ToolBody(Body, frozen=True, kw_only=True):
    """A tool that the client runs. `parameters`: a JSON Schema of an object."""

    name: Annotated[str, Meta(max_length=64, extra_json_schema={"pattern": f"^{NAME.pattern}$"})]
    description: Annotated[str, Meta(max_length=16_384)] = ""
    parameters: Annotated[Object, Meta(extra_json_schema=PARAMETERS)] = field(default_factory=no_object)
    needs_approval: bool = False

    def tool(self, where: str) -> Tool:
        parameters = kept(self.parameters, f"{where}.parameters")
        return Tool(self.name, self.description, parameters, self.needs_approval)


class SessionBody(Body, frozen=True, kw_only=True):
    specialist_id: Id
    context_window: Window | None = None
    name: Name | None = None
    ttl: Annotated[float, Meta(gt=0, le=10**9)] | None = None
    project_id: Id | None = None
    metadata: Object = field(default_factory=no_object)
    cwd: Folder | None = None
    tools: Annotated[list[ToolBody], Meta(max_length=MOST)] = field(default_factory=list)
    command_id: Id | None = None

    def command(self, key: str | None) -> StartSession:
        return StartSession(
            self.specialist_id,
            self.context_window,
            self.name,
            self.ttl,
            self.project_id,
            kept(self.metadata, "body.metadata"),
            key or self.command_id,
            self._tools(),
            cwd=self.cwd,
        )

    def _tools(self) -> tuple[Tool, ...]:
        check_total([tool.parameters for tool in self.tools], "body.tools")
        return tuple(tool.tool(f"body.tools.{n}") for n, tool in enumerate(self.tools))


class ResumeBody(Body, frozen=True, kw_only=True):
    """How to resume a session. `standing`: messages to its peer that name no session continue this one;
    `cwd`: only messages from that folder do."""

    standing: bool = False
    cwd: Folder | None = None

    def command(self, session_id: str) -> ResumeSession:
        return ResumeSession(session_id, self.standing, self.cwd)


class SaveBody(Body, frozen=True, kw_only=True):
    name: Name | None = None


class ShareBody(Body, frozen=True, kw_only=True):
    """Whom to share a session with. `scopes`: what the subject may do there; `read` is always included."""

    subject: Annotated[str, Meta(min_length=1, max_length=320, pattern=PLAIN)]
    scopes: Annotated[list[Literal["read", "send", "approve"]], Meta(min_length=1, max_length=3)]

    def command(self, session_id: str) -> ShareSession:
        return ShareSession(session_id, self.subject, tuple(self.scopes))


class CheckpointBody(Body, frozen=True, kw_only=True):
    name: Name | None = None
    cursor: Cursor | None = None


class ForkBody(Body, frozen=True, kw_only=True):
    """How to fork a session. `at`: a checkpoint's id or name, a cursor, or `-1`, the place before the last
    message; the head if it is left out. `cwd`: an absolute path, at which a folder with the files is made.
    `worktree`: make a git worktree there."""

    at: Id | None = None
    name: Name | None = None
    cwd: Folder | None = None
    worktree: bool = False

    def command(self, session_id: str) -> ForkSession:
        return ForkSession(session_id, self.at, self.name, self.cwd, self.worktree)


_NO_PARENT = {"pattern": r"^/[^\x00]*$", "not": {"pattern": r"/\.\.(/|$)"}}
Absolute = Annotated[str, Meta(max_length=4096, extra_json_schema=_NO_PARENT)]


class ImportBody(Body, frozen=True, kw_only=True):
    """Which transcripts to import. `since`: an RFC 3339 time; files that were last changed before it are left
    out. `paths`: absolute paths of files or folders."""

    tool: Id | None = None
    since: Time | None = None
    paths: Annotated[list[Absolute], Meta(max_length=1000)] = field(default_factory=list)
    dry_run: bool = False

    def command(self) -> ImportSessions:
        """Return the command.

        Raises:
            Malformed: `since` is not an RFC 3339 time.
        """
        since = None if self.since is None else milliseconds(self.since)
        return ImportSessions(self.tool, since, tuple(self.paths), self.dry_run)


class RestoreBody(Body, frozen=True, kw_only=True):
    """Where to restore a session to. `at`: a checkpoint's id or name, a cursor, or `-1`, the place before the
    last message. `dry_run`: only return which files would change."""

    at: Id
    dry_run: bool = False


class SessionsQuery(Query, frozen=True, kw_only=True):
    """Which sessions to list. `summary`: with a summary of each."""

    peer: str | None = None
    tool: str | None = None
    state: SessionState | UnsetType = UNSET
    project: str | None = None
    name: str | None = None
    summary: bool = False


class MessagesQuery(Query, frozen=True, kw_only=True):
    """What to return of a session. `messages`: how many of the last messages."""

    messages: Annotated[int, Meta(ge=0, le=100_000)] = 1000
