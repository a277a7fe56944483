"""What can be asked of the hub, whatever door it came through: a closed union."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from .event import ContextInjected
from .plan import IfBusy, Step
from .program import Launch, OnExit
from .rule_commands import RuleCommand
from .session import Voice
from .tool import Tool


class SendMessage(Struct, frozen=True, gc=False):
    """Say `content` to a peer (a name or `@capability`), or in a session, whose peer it then is.

    Without a session, `context_window` opens one that is kept; without either the message has a session of
    its own, over when it is answered. `command_id` is the idempotency key; `from_` is how the sender is
    shown, never who it is; `via`: peers that the content has passed through; `cwd`: the sender's folder, for
    programs that run there; `context`: what is said in front of it.
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


class StartSession(Struct, frozen=True, gc=False):
    """`peer`: empty for the configured one. `ttl` in seconds; None takes the configured one, and no end for a
    session that has a name. `attended`: it is stopped some time after its last attendant has left. `cwd`: the
    folder in which a program of its own runs."""

    peer: str
    context_window: int = 10
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
    """The running turn goes on; those that wait do, until the session is resumed."""

    session_id: str


class ResumeSession(Struct, frozen=True, gc=False):
    """`standing`: what is said to its peer without a session goes on in it from now on; where the peer's
    programs run in their callers' folders, from the folder `cwd`."""

    session_id: str
    standing: bool = False
    cwd: str | None = None


class SaveSession(Struct, frozen=True, gc=False):
    """Keep it: it has no end of its own any more, and is called `name` where one is given."""

    session_id: str
    name: str | None = None


class InterruptSession(Struct, frozen=True, gc=False):
    """End the running turn, if there is one; those that wait come next."""

    session_id: str


class StopSession(Struct, frozen=True, gc=False):
    """End the session: the running turn and all that wait are cancelled. A second time changes nothing."""

    session_id: str


class MakeCheckpoint(Struct, frozen=True, gc=False):
    """Give a position (the head where `cursor` is None) a name."""

    session_id: str
    name: str = ""
    cursor: str | None = None


class RestoreSession(Struct, frozen=True, gc=False):
    """Go back to a checkpoint or a cursor, by reference: a new epoch begins there, the old one is kept."""

    session_id: str
    at: str


class ForkSession(Struct, frozen=True, gc=False):
    """A new session that stands on a position of this one (its head where `at` is None)."""

    session_id: str
    at: str | None = None
    name: str | None = None


class ImportSessions(Struct, frozen=True, gc=False):
    """Take conversations in that coding agents have kept themselves: those of `tool`, None for all that are
    known. `since`: files that were written later (Unix time in milliseconds); `paths`: these files, or what
    is in these folders, in the place of the agents' own; `dry_run`: only say what there is."""

    tool: str | None = None
    since: int | None = None
    paths: tuple[str, ...] = ()
    dry_run: bool = False


class StartPlan(Struct, frozen=True, gc=False):
    """`stdin`: text that steps without needs are given after their own words. `max_parallel`: how many steps
    run at once, None for all that may; `cwd`: the sender's folder, for programs that run there."""

    steps: tuple[Step, ...]
    stdin: str = ""
    max_parallel: int | None = None
    command_id: str | None = None
    from_: str = ""
    cwd: str | None = None


class StopPlan(Struct, frozen=True, gc=False):
    plan_id: str


class AnswerTool(Struct, frozen=True, gc=False):
    """The result (any JSON value) of a tool call that the caller's turn waits for. `stream`: the id of the
    session, or of the plan, where one of its steps asked."""

    stream: str
    call_id: str
    result: Any
    is_error: bool = False
    command_id: str | None = None


class AnswerPermission(Struct, frozen=True, gc=False):
    """The option chosen, one of those that were offered. `stream`: as for `AnswerTool`."""

    stream: str
    request_id: str
    option_id: str
    command_id: str | None = None


class AnnounceProgram(Struct, frozen=True, gc=False):
    """Start a program as a peer. `kind` terminal: in a terminal of its own; stdio: on pipes."""

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
    """Start a configured program; one that runs goes on. `session`: the name of a conversation, which is
    opened where there is none, of a program that has one each; `cwd`: the caller's folder, for those that
    run there."""

    name: str
    session: str | None = None
    cwd: str | None = None


class EndProgram(Struct, frozen=True, gc=False):
    """End a peer's program: TERM, 5 seconds, KILL. One that is no configured tool is forgotten."""

    name: str


class OpenSocket(Struct, frozen=True, gc=False):
    """A socket on a peer (a name or `@capability`), with a session of its own. `voice`: how a specialist is
    to speak there."""

    peer: str
    voice: Voice | None = None
    command_id: str | None = None


class CloseSocket(Struct, frozen=True, gc=False):
    socket_id: str


class KeepBlob(Struct, frozen=True, gc=False):
    """Say bytes in a session, to all who read it."""

    session_id: str
    media_type: str
    content: bytes
    from_: str = ""
    command_id: str | None = None

    def __repr__(self) -> str:
        return f"KeepBlob({self.session_id!r}, {self.media_type!r}, {len(self.content)} bytes)"


class MakeTeam(Struct, frozen=True, gc=False):
    """Peers under one name, `team:<name>` from then on."""

    name: str
    members: tuple[str, ...]
    command_id: str | None = None


class ChangeTeam(Struct, frozen=True, gc=False):
    name: str
    members: tuple[str, ...]


class DropTeam(Struct, frozen=True, gc=False):
    name: str


Command = (
    SendMessage
    | StartSession
    | PauseSession
    | ResumeSession
    | SaveSession
    | InterruptSession
    | StopSession
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
    | MakeTeam
    | ChangeTeam
    | DropTeam
    | RuleCommand
)
AGENT = "agent"  # the scope of callers that descend from a peer's program


class Principal(Struct, frozen=True, gc=False):
    """Who asks. `local`: over the owner's own Unix socket."""

    subject: str
    scopes: frozenset[str] = frozenset()
    local: bool = False

    @property
    def is_agent(self) -> bool:
        """Whether a peer's program asks: it cannot approve, start programs, or see others' sessions."""
        return AGENT in self.scopes

    @property
    def peer(self) -> str | None:
        """The peer whose program asks; None for a person."""
        return self.subject.removeprefix(f"{AGENT}:") if self.is_agent else None
