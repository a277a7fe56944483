"""What clients send, as pydantic models: the doors' own, turned into commands at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from rhetor.domain.command import (
    AnnounceProgram,
    AnswerPermission,
    AnswerTool,
    ImportSessions,
    MakeTeam,
    OpenSocket,
    ResumeSession,
    SendMessage,
    StartPlan,
    StartSession,
)
from rhetor.domain.plan import IfBusy, Step
from rhetor.domain.program import Launch
from rhetor.domain.rule_commands import PutForward, PutRoute, SendRoute
from rhetor.domain.rules import MOST_HOPS, Hop
from rhetor.domain.session import Voice
from rhetor.domain.tool import MOST, Tool
from rhetor.errors import Malformed, Unprocessable
from rhetor.transports.server.problems import PLAIN

Purpose = Annotated[str, Field(max_length=4096)]
JsonMode = Annotated[bool, Field(alias="json")]

Window = Annotated[int, Field(ge=0, le=10_000)]
Id = Annotated[str, Field(min_length=1, max_length=200, pattern=PLAIN)]
Name = Id
Sender = Annotated[str, Field(alias="from", max_length=200, pattern=PLAIN)]
Folder = Annotated[str, Field(max_length=4096, pattern=r"^/[^\x00]*$")]
Delimiter = Annotated[str, Field(max_length=100)]
KEPT_BYTES, KEPT_DEPTH = 64 << 10, 32
MOST_STEPS, MOST_NEEDS = 1000, 10_000


def _of_bounded_size(value: dict[str, Any]) -> dict[str, Any]:
    """What is kept with a session is read with it, each time."""
    if len(msgspec.json.encode(value)) > KEPT_BYTES:
        raise ValueError(f"it is larger than {KEPT_BYTES} bytes of JSON")
    level: list[Any] = [value]
    for _ in range(KEPT_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
    if level:
        raise ValueError(f"it is nested more than {KEPT_DEPTH} levels deep")
    return value


def _inside(value: Any) -> list[Any]:
    """The objects and lists directly in a value."""
    items = value.values() if isinstance(value, dict) else value
    return [item for item in items if isinstance(item, dict | list)]


Kept = Annotated[dict[str, Any], AfterValidator(_of_bounded_size)]


def _bounded(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """A plan is checked in one go, while everybody else waits."""
    if len(steps) > MOST_STEPS:
        raise Unprocessable(f"a plan has at most {MOST_STEPS} steps, not {len(steps)}")
    if sum(len(step.needs) for step in steps) > MOST_NEEDS:
        raise Unprocessable(f"the steps of a plan have at most {MOST_NEEDS} dependencies in all")
    return steps


class Body(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class HowToSend(Body):
    """What every way of sending takes."""

    execute: bool = False
    delimiter: Delimiter | None = None
    if_busy: IfBusy = "queue"
    command_id: Id | None = None
    from_: Sender = ""
    cwd: Folder | None = None


class MessageBody(HowToSend):
    """`context_window` without `session_id` opens a session that is kept."""

    content: str
    session_id: Id | None = None
    context_window: Window | None = None

    def command(self, target: str, key: str | None) -> SendMessage:
        return SendMessage(
            self.content,
            target,
            self.session_id,
            self.context_window,
            self.execute,
            self.delimiter,
            self.if_busy,
            key or self.command_id,
            self.from_,
            cwd=self.cwd,
        )


class SessionMessageBody(HowToSend):
    message: str

    def command(self, session_id: str, key: str | None) -> SendMessage:
        return SendMessage(
            self.message,
            None,
            session_id,
            None,
            self.execute,
            self.delimiter,
            self.if_busy,
            key or self.command_id,
            self.from_,
        )


class ToolBody(Body):
    """A tool that the client runs. `parameters`: a JSON Schema of an object."""

    name: Annotated[str, Field(max_length=64)]
    description: Annotated[str, Field(max_length=16_384)] = ""
    parameters: Kept = {}
    needs_approval: bool = False

    def tool(self) -> Tool:
        return Tool(self.name, self.description, self.parameters, self.needs_approval)


class SessionBody(Body):
    specialist_id: Id
    context_window: Window = 10
    name: Name | None = None
    ttl: Annotated[float, Field(gt=0, le=10**9)] | None = None
    project_id: Id | None = None
    metadata: Kept = {}
    cwd: Folder | None = None
    tools: Annotated[list[ToolBody], Field(max_length=MOST)] = []
    command_id: Id | None = None

    def command(self, key: str | None) -> StartSession:
        return StartSession(
            self.specialist_id,
            self.context_window,
            self.name,
            self.ttl,
            self.project_id,
            self.metadata,
            key or self.command_id,
            tuple(each.tool() for each in self.tools),
            cwd=self.cwd,
        )


class ResumeBody(Body):
    """`standing`: what is said to its peer without a session goes on in it; `cwd`: from that folder."""

    standing: bool = False
    cwd: Folder | None = None

    def command(self, session_id: str) -> ResumeSession:
        return ResumeSession(session_id, self.standing, self.cwd)


class SaveBody(Body):
    name: Name | None = None


class CheckpointBody(Body):
    name: Name | None = None
    cursor: Id | None = None


class PlaceBody(Body):
    """`at`: a checkpoint's id or name, or a cursor; the head where it is left out."""

    at: Id | None = None
    name: Name | None = None


class ImportBody(Body):
    """`since`: RFC 3339; what was written before is left out. `paths`: absolute, of files or folders."""

    tool: Id | None = None
    since: Annotated[str, Field(max_length=40)] | None = None
    paths: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=1000)] = []
    dry_run: bool = False

    def command(self) -> ImportSessions:
        """Raises:
        Malformed: `since` is no time."""
        return ImportSessions(self.tool, self._since(), tuple(self.paths), self.dry_run)

    def _since(self) -> int | None:
        if self.since is None:
            return None
        try:
            given = datetime.fromisoformat(self.since)
            return int((given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError) as error:
            raise Malformed(f"{self.since!r} is no time of RFC 3339") from error


class RestoreBody(Body):
    at: Id


StepId = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")]


class StepBody(Body):
    id: StepId
    ai: Id
    message: str = ""
    depends_on: Annotated[list[Id], Field(max_length=1000)] = []
    session_id: Id | None = None
    context_window: Window | None = None
    execute: bool = False
    delimiter: Delimiter | None = None
    if_busy: IfBusy = "queue"

    def step(self) -> Step:
        return Step(
            self.id,
            self.ai,
            self.message,
            tuple(dict.fromkeys(self.depends_on)),
            self.session_id,
            self.context_window,
            self.execute,
            self.delimiter,
            self.if_busy,
        )


class PlanBody(Body):
    """`line`: a line of the shell's grammar, of peers only; or `steps`. `input`: what a program gave."""

    line: Annotated[str, Field(max_length=64 << 10)] | None = None
    steps: Annotated[list[StepBody], Field(max_length=1000)] | None = None
    input: str = ""
    command_id: Id | None = None
    from_: Sender = ""
    cwd: Folder | None = None

    def command(self, steps: tuple[Step, ...], key: str | None) -> StartPlan:
        return StartPlan(_bounded(steps), self.input, None, key or self.command_id, self.from_, self.cwd)


class OperationBody(Body):
    """`ai`: a peer, `@capability` or `team:name`. `{{id}}` in `message` places that operation's answer."""

    id: StepId
    ai: Id
    message: str = ""
    depends_on: Annotated[list[Id], Field(max_length=1000)] = []
    session_id: Id | None = None

    def step(self) -> Step:
        return Step(self.id, self.ai, self.message, tuple(dict.fromkeys(self.depends_on)), self.session_id)


class BulkBody(Body):
    """`sequential` runs one operation at a time, in the order given, as far as what they need allows."""

    operations: Annotated[list[OperationBody], Field(min_length=1, max_length=1000)]
    execution: Literal["parallel", "sequential"] = "parallel"
    max_parallel: Annotated[int, Field(ge=1, le=1000)] | None = None
    command_id: Id | None = None
    from_: Sender = ""

    def command(self, most: int, key: str | None) -> StartPlan:
        steps = tuple(operation.step() for operation in self.operations)
        most = 1 if self.execution == "sequential" else self.max_parallel or most
        return StartPlan(_bounded(steps), "", most, key or self.command_id, self.from_)


class ToolResultBody(Body):
    """`result`: any JSON value. With `is_error` the model is told that the tool failed."""

    result: Any
    is_error: bool = False
    command_id: Id | None = None

    def command(self, stream: str, call_id: str, key: str | None) -> AnswerTool:
        return AnswerTool(stream, call_id, self.result, self.is_error, key or self.command_id)


class OptionBody(Body):
    option_id: Id
    command_id: Id | None = None

    def command(self, stream: str, request_id: str, key: str | None) -> AnswerPermission:
        return AnswerPermission(stream, request_id, self.option_id, key or self.command_id)


class SocketBody(Body):
    """`model` and `prompt` stand in the place of the specialist's own; `context` (any JSON) is said after the
    prompt, as data."""

    ai_name: Id
    model: Annotated[str, Field(min_length=1, max_length=200, pattern=PLAIN)] | None = None
    prompt: Annotated[str, Field(max_length=64 << 10)] | None = None
    context: Any = None
    command_id: Id | None = None

    def command(self, key: str | None) -> OpenSocket:
        voice = Voice(self.prompt, self._besides(), self.model)
        return OpenSocket(self.ai_name, None if voice == Voice() else voice, key or self.command_id)

    def _besides(self) -> str:
        if self.context is None:
            return ""
        text = self.context if isinstance(self.context, str) else msgspec.json.encode(self.context).decode()
        if len(text.encode()) > KEPT_BYTES:
            raise Unprocessable(f"context is at most {KEPT_BYTES} bytes")
        return f"What is known of the situation, as data:\n{text}"


Members = Annotated[list[Id], Field(min_length=1, max_length=100)]


class MembersBody(Body):
    members: Members


class GroupBody(MembersBody):
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.\-]{0,63}$")]
    command_id: Id | None = None

    def command(self, key: str | None) -> MakeTeam:
        return MakeTeam(self.name, tuple(self.members), key or self.command_id)


class EnvironmentBody(Body):
    variables: Annotated[dict[str, str], Field(max_length=100)]


Word = Annotated[str, Field(max_length=128 << 10, pattern=r"^[^\x00]*$")]
Variable = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00=]+$")]
Side = Annotated[int, Field(ge=1, le=10_000)]


class ProgramBody(Body):
    """`argv`: the program and its arguments, no shell; `env`: all that it is to see."""

    name: Name
    kind: Literal["terminal", "stdio"]
    argv: Annotated[list[Word], Field(min_length=1, max_length=10_000)]
    cwd: Folder
    env: Annotated[dict[Variable, Word], Field(max_length=10_000)] = {}
    rows: Side = 24
    cols: Side = 80
    delimiter: Delimiter | None = None
    protocol: Literal["text", "aish-json"] = "text"
    prompt: Annotated[str, Field(max_length=1000)] | None = None
    on_exit: Literal["survive", "reap"] = "survive"
    description: Annotated[str, Field(max_length=1000, pattern=PLAIN)] = ""

    def command(self) -> AnnounceProgram:
        return AnnounceProgram(
            self.name,
            self.kind,
            tuple(self.argv),
            Launch(self.cwd, self.env, self.rows, self.cols),
            self.delimiter or None,
            self.protocol,
            self.prompt,
            self.on_exit,
            self.description,
        )


class LaunchBody(Body):
    """`cwd`: the sender's own folder, for programs that run there."""

    cwd: Folder | None = None
    session: Name | None = None


class WaitBody(Body):
    """`timeout`: seconds; without one the wait has no end."""

    peers: Annotated[list[Id], Field(min_length=1, max_length=1000)]
    mode: Literal["any", "all"] = "all"
    timeout: Annotated[float, Field(ge=0, le=10**6)] | None = None


Control = Literal["pause", "resume", "interrupt", "stop"]


class ForwardBody(Body):
    """`to`: a peer or a terminal. `json`: as an object with who says it to whom, when and what for;
    `execute`: a wrapped program runs what it is sent."""

    to: Id
    as_json: JsonMode = False
    execute: bool = False

    def command(self, source: str) -> PutForward:
        return PutForward(source, self.to, self.as_json, self.execute)


class NewForwardBody(ForwardBody):
    source: Annotated[str, Field(alias="from", min_length=1, max_length=200, pattern=PLAIN)]


class TerminalBody(Body):
    """`seen`: a cursor of its stream; what comes before it was shown."""

    seen: Id | None = None


class HopBody(Body):
    """`ai`: a peer, `@capability`, `team:name` or `route:name`."""

    ai: Id
    purpose: Purpose = ""


class RouteBody(Body):
    hops: Annotated[list[HopBody], Field(min_length=1, max_length=MOST_HOPS)]

    def command(self, name: str, *, new: bool = False) -> PutRoute:
        return PutRoute(name, tuple(Hop(hop.ai, hop.purpose) for hop in self.hops), new)


class NewRouteBody(RouteBody):
    name: Id


class RouteMessageBody(Body):
    message: str
    command_id: Id | None = None
    from_: Sender = ""
    cwd: Folder | None = None

    def command(self, name: str, key: str | None) -> SendRoute:
        return SendRoute(name, self.message, key or self.command_id, self.from_, self.cwd)


class TextBody(Body):
    text: str
