"""The commands that callers send to the hub, the same for all APIs: a closed union."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

from .event import Api, ContextInjected
from .given import GivenConversation, KeptWithTurn
from .parts import GivenPart
from .plan import IfBusy, IfOffline, Step
from .program import Launch, OnExit
from .questions import Answers
from .rule_commands import RuleCommand
from .session import Voice
from .token_commands import TokenCommand
from .tool import Tool


class SendMessage(Struct, frozen=True, gc=False):
    """Send `content` to a peer (a name or `@capability`), or to the peer of a session.

    Without `session_id`, a new session is opened. If `context_window` is set, the session is kept; otherwise
    it ends with the answer, or, if the peer is a program, the default session is used. `command_id` is the
    idempotency key. `from_` is the sender as shown to readers; it grants no rights. `via`: the peers that the
    content passed through, oldest first. `cwd`: the sender's folder, for programs that run there. `context`:
    texts that are sent before the message. `model` (`auto` or `provider/model`) and `system` (a prompt)
    replace those of a specialist for this message. `parts`: images, audio and files, after the content, which
    may then be empty. `response_schema`: the JSON Schema of the answer. `given`: the whole conversation, as a
    client of a stateless API gives it with each message; `content` is the text of its new messages. `api`:
    the API that it came through. `kept`: what that API stores with the turn. `hops`: through how many peers
    of other hubs the content passed. `if_offline`: whether a message to a peer whose machine is not connected
    waits for it; otherwise it is rejected.
    """

    content: str
    target: str | None = None
    session_id: str | None = None
    context_window: int | None = None
    execute: bool = False
    delimiter: str | None = None
    if_busy: IfBusy = "queue"
    command_id: str | None = None
    from_: str = ""
    via: tuple[str, ...] = ()
    cwd: str | None = None
    context: tuple[ContextInjected, ...] = ()
    model: str | UnsetType = UNSET
    system: str | UnsetType = UNSET
    parts: tuple[GivenPart, ...] | UnsetType = UNSET
    response_schema: dict[str, Any] | UnsetType = UNSET
    given: GivenConversation | UnsetType = UNSET
    kept: KeptWithTurn | UnsetType = UNSET
    api: Api | UnsetType = UNSET
    hops: int | UnsetType = UNSET
    if_offline: IfOffline | UnsetType = UNSET


class StartSession(Struct, frozen=True, gc=False):
    """Open a session with a peer; an empty `peer`, and no `context_window`, mean the configured default.

    `ttl`: seconds without use after which the session expires. None means the configured value, or no expiry
    if the session has a name. `attended`: stop the session some time after its last client has disconnected.
    `cwd`: the folder in which the session's own program runs.
    """

    peer: str
    context_window: int | None = None
    name: str | None = None
    ttl: float | None = None
    project_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    command_id: str | None = None
    tools: tuple[Tool, ...] = ()
    voice: Voice | None = None
    attended: bool = False
    cwd: str | None = None


class PauseSession(Struct, frozen=True, gc=False):
    """Start no further turn until the session is resumed. The running turn continues."""

    session_id: str


class ResumeSession(Struct, frozen=True, gc=False):
    """Continue a paused session.

    `standing`: make it the default session, which gets the messages to its peer that name no session. If the
    peer's programs run in their callers' folders, it gets only the messages from the folder `cwd`.
    """

    session_id: str
    standing: bool = False
    cwd: str | None = None


class CancelTurn(Struct, frozen=True, gc=False):
    """End the turn, whether it is running or waits. A turn that has ended stays as it is."""

    session_id: str
    turn_id: str


class ForgetResponse(Struct, frozen=True, gc=False):
    """Remove what an API has stored with the turn, so that it no longer finds it. The turn stays in the
    log."""

    turn_id: str


class SaveSession(Struct, frozen=True, gc=False):
    """Keep the session: it no longer expires. `name`: its new name, if given."""

    session_id: str
    name: str | None = None


class InterruptSession(Struct, frozen=True, gc=False):
    """End the running turn, if there is one. The next waiting turn starts."""

    session_id: str


class AbandonTurn(Struct, frozen=True, gc=False):
    """The caller no longer waits for the turn. It ends, unless a wrapped program is running it already."""

    session_id: str
    turn_id: str


class StopSession(Struct, frozen=True, gc=False):
    """End the session, and cancel its running and waiting turns. Stopping it again changes nothing."""

    session_id: str


class ShareSession(Struct, frozen=True, gc=False):
    """Let another subject read a session, and do there what needs one of `scopes`. It replaces an earlier
    share with the subject."""

    session_id: str
    subject: str
    scopes: tuple[str, ...] = ()


class UnshareSession(Struct, frozen=True, gc=False):
    """Take a share back."""

    session_id: str
    subject: str


class MakeCheckpoint(Struct, frozen=True, gc=False):
    """Give a position of the session a name. `cursor`: the position; None means the head."""

    session_id: str
    name: str = ""
    cursor: str | None = None


class RestoreSession(Struct, frozen=True, gc=False):
    """Reset the session to a checkpoint or a cursor.

    A new epoch begins there. It refers to the old one, which is kept.
    """

    session_id: str
    at: str


class ForkSession(Struct, frozen=True, gc=False):
    """Open a new session that continues from a position of this one. `at`: None means the head.

    `cwd`: a new folder for it, an absolute path; the files of the checkpoint, or those of now, are copied
    there. `worktree`: the folder is a git worktree; without `cwd`, it is next to the repository.
    """

    session_id: str
    at: str | None = None
    name: str | None = None
    cwd: str | None = None
    worktree: bool = False


class ImportSessions(Struct, frozen=True, gc=False):
    """Import conversations that coding agents have stored themselves.

    `tool`: one agent, or None for all known ones. `since`: only files changed at or after this Unix time in
    milliseconds. `paths`: these files, or the files in these folders, instead of the agents' own folders.
    `dry_run`: only report what would be imported.
    """

    tool: str | None = None
    since: int | None = None
    paths: tuple[str, ...] = ()
    dry_run: bool = False


class StartPlan(Struct, frozen=True, gc=False):
    """Run a plan.

    `stdin`: text that is appended to the messages of steps without `needs`. `max_parallel`: how many steps
    may run at the same time, None for no limit. `cwd`: the sender's folder, for programs that run there.
    """

    steps: tuple[Step, ...]
    stdin: str = ""
    max_parallel: int | None = None
    command_id: str | None = None
    from_: str = ""
    cwd: str | None = None


class StopPlan(Struct, frozen=True, gc=False):
    """Cancel a plan and all its running steps."""

    plan_id: str


class AnswerTool(Struct, frozen=True, gc=False):
    """Send the result (any JSON value) of a tool call for which a turn of the caller waits.

    `stream`: the id of the session, or of the plan if one of its steps called the tool.
    """

    stream: str
    call_id: str
    result: Any
    is_error: bool = False
    command_id: str | None = None


class AnswerPermission(Struct, frozen=True, gc=False):
    """Answer a permission request with one of the options that it offers, or with the `answers` to its
    questions. `stream`: as in `AnswerTool`."""

    stream: str
    request_id: str
    option_id: str | None = None
    command_id: str | None = None
    answers: Answers | None = None


class AnnounceProgram(Struct, frozen=True, gc=False):
    """Start a program as a peer.

    `kind`: `terminal` runs it in a terminal of its own, `stdio` on pipes. The other fields are as in
    `Program`.
    """

    name: str
    kind: Literal["terminal", "stdio"]
    argv: tuple[str, ...]
    launch: Launch
    delimiter: str | None = None
    protocol: Literal["text", "aish-json"] = "text"
    prompt: str | None = None
    on_exit: OnExit = "survive"
    description: str = ""


class LaunchTool(Struct, frozen=True, gc=False):
    """Start a configured program. No effect if it is running already.

    `session`: for a program with one process per conversation, the name of the conversation, which is opened
    if it does not exist. `cwd`: the caller's folder, for programs that run there.
    """

    name: str
    session: str | None = None
    cwd: str | None = None


class EndProgram(Struct, frozen=True, gc=False):
    """End a peer's program with SIGTERM, and with SIGKILL after 5 seconds.

    If the peer is not configured, it is removed. `force`: kill its host process if it does not answer.
    """

    name: str
    force: bool = False


class OpenSocket(Struct, frozen=True, gc=False):
    """Open a socket on a peer (a name or `@capability`), with a session of its own.

    `voice`: a prompt and a model for a specialist in that session.
    """

    peer: str
    voice: Voice | None = None
    command_id: str | None = None


class CloseSocket(Struct, frozen=True, gc=False):
    """End a socket and its session."""

    socket_id: str


class KeepBlob(Struct, frozen=True, gc=False):
    """Send binary content to all readers of a session."""

    session_id: str
    media_type: str
    content: bytes
    from_: str = ""
    command_id: str | None = None

    def __repr__(self) -> str:
        return f"KeepBlob({self.session_id!r}, {self.media_type!r}, {len(self.content)} bytes)"


class UploadBlob(Struct, frozen=True, gc=False):
    """Store binary content for the parts of later messages. `media_type`: empty if it is unknown."""

    media_type: str
    content: bytes
    name: str = ""

    def __repr__(self) -> str:
        return f"UploadBlob({self.media_type!r}, {len(self.content)} bytes)"


class MakeTeam(Struct, frozen=True, gc=False):
    """Define a team of peers, which is addressed as `team:<name>`."""

    name: str
    members: tuple[str, ...]
    command_id: str | None = None


class ChangeTeam(Struct, frozen=True, gc=False):
    """Replace the members of a team."""

    name: str
    members: tuple[str, ...]


class DropTeam(Struct, frozen=True, gc=False):
    """Remove a team."""

    name: str


Command = (
    SendMessage
    | StartSession
    | PauseSession
    | ResumeSession
    | SaveSession
    | InterruptSession
    | AbandonTurn
    | CancelTurn
    | ForgetResponse
    | StopSession
    | ShareSession
    | UnshareSession
    | MakeCheckpoint
    | RestoreSession
    | ForkSession
    | ImportSessions
    | StartPlan
    | StopPlan
    | AnswerTool
    | AnswerPermission
    | AnnounceProgram
    | LaunchTool
    | EndProgram
    | OpenSocket
    | CloseSocket
    | KeepBlob
    | UploadBlob
    | MakeTeam
    | ChangeTeam
    | DropTeam
    | RuleCommand
    | TokenCommand
)
