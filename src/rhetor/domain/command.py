"""What can be asked of the hub, whatever door it came through: a closed union."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from .event import ContextInjected
from .plan import IfBusy, Step
from .program import Launch, OnExit
from .rule_commands import RuleCommand
from .session import Voice
from .tool import Tool


@dataclass(frozen=True, slots=True)
class SendMessage:
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


@dataclass(frozen=True, slots=True)
class StartSession:
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


@dataclass(frozen=True, slots=True)
class PauseSession:
    """The running turn goes on; those that wait do, until the session is resumed."""

    session_id: str


@dataclass(frozen=True, slots=True)
class ResumeSession:
    """`standing`: what is said to its peer without a session goes on in it from now on; where the peer's
    programs run in their callers' folders, from the folder `cwd`."""

    session_id: str
    standing: bool = False
    cwd: str | None = None


@dataclass(frozen=True, slots=True)
class SaveSession:
    """Keep it: it has no end of its own any more, and is called `name` where one is given."""

    session_id: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class InterruptSession:
    """End the running turn, if there is one; those that wait come next."""

    session_id: str


@dataclass(frozen=True, slots=True)
class StopSession:
    """End the session: the running turn and all that wait are cancelled. A second time changes nothing."""

    session_id: str


@dataclass(frozen=True, slots=True)
class MakeCheckpoint:
    """Give a position (the head where `cursor` is None) a name."""

    session_id: str
    name: str = ""
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class RestoreSession:
    """Go back to a checkpoint or a cursor, by reference: a new epoch begins there, the old one is kept."""

    session_id: str
    at: str


@dataclass(frozen=True, slots=True)
class ForkSession:
    """A new session that stands on a position of this one (its head where `at` is None)."""

    session_id: str
    at: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ImportSessions:
    """Take conversations in that coding agents have kept themselves: those of `tool`, None for all that are
    known. `since`: files that were written later (Unix time in milliseconds); `paths`: these files, or what
    is in these folders, in the place of the agents' own; `dry_run`: only say what there is."""

    tool: str | None = None
    since: int | None = None
    paths: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class StartPlan:
    """`stdin`: text that steps without needs are given after their own words. `max_parallel`: how many steps
    run at once, None for all that may; `cwd`: the sender's folder, for programs that run there."""

    steps: tuple[Step, ...]
    stdin: str = ""
    max_parallel: int | None = None
    command_id: str | None = None
    from_: str = ""
    cwd: str | None = None


@dataclass(frozen=True, slots=True)
class StopPlan:
    plan_id: str


@dataclass(frozen=True, slots=True)
class AnswerTool:
    """The result (any JSON value) of a tool call that the caller's turn waits for. `stream`: the id of the
    session, or of the plan, where one of its steps asked."""

    stream: str
    call_id: str
    result: Any
    is_error: bool = False
    command_id: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerPermission:
    """The option chosen, one of those that were offered. `stream`: as for `AnswerTool`."""

    stream: str
    request_id: str
    option_id: str
    command_id: str | None = None


@dataclass(frozen=True, slots=True)
class AnnounceProgram:
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


@dataclass(frozen=True, slots=True)
class LaunchTool:
    """Start a configured program; one that runs goes on. `session`: the name of a conversation, which is
    opened where there is none, of a program that has one each; `cwd`: the caller's folder, for those that
    run there."""

    name: str
    session: str | None = None
    cwd: str | None = None


@dataclass(frozen=True, slots=True)
class EndProgram:
    """End a peer's program: TERM, 5 seconds, KILL. One that is no configured tool is forgotten."""

    name: str


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """A socket on a peer (a name or `@capability`), with a session of its own. `voice`: how a specialist is
    to speak there."""

    peer: str
    voice: Voice | None = None
    command_id: str | None = None


@dataclass(frozen=True, slots=True)
class CloseSocket:
    socket_id: str


@dataclass(frozen=True, slots=True)
class KeepBlob:
    """Say bytes in a session, to all who read it."""

    session_id: str
    media_type: str
    content: bytes = field(repr=False)
    from_: str = ""
    command_id: str | None = None


@dataclass(frozen=True, slots=True)
class MakeTeam:
    """Peers under one name, `team:<name>` from then on."""

    name: str
    members: tuple[str, ...]
    command_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeTeam:
    name: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DropTeam:
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


@dataclass(frozen=True, slots=True)
class Principal:
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
