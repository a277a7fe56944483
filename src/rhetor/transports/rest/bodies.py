"""The types of request bodies and queries, and the commands that they become."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from rhetor.codec.typed_json import (
    PLAIN,
    Object,
    Texts,
    check_total,
    decoded,
    kept,
    no_list,
    no_object,
    nothing,
    text_of,
    texts,
    tool_result,
)
from rhetor.dialects.peer_socket import Delimiter, Id, Sender, Window
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
from rhetor.domain.questions import Answers
from rhetor.domain.rule_commands import PutForward, PutRoute, SendRoute
from rhetor.domain.rules import MOST_HOPS, Hop
from rhetor.domain.session import SessionState, Voice
from rhetor.domain.tool import MOST, Tool
from rhetor.errors import Malformed, Unprocessable

Name = Id
Purpose = Annotated[str, Meta(max_length=4096)]
Folder = Annotated[str, Meta(max_length=4096, pattern=r"^/[^\x00]*$")]
MOST_STEPS, MOST_NEEDS = 1000, 10_000
MOST_WORDS, MOST_VARIABLES = 10_000, 100


class Body(Struct, frozen=True, kw_only=True):
    """The base of all bodies. Members that a body does not name are ignored."""


def _bounded(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps, if they are not too many: checking a plan blocks the event loop."""
    if len(steps) > MOST_STEPS:
        raise Unprocessable(f"a plan can have at most {MOST_STEPS} steps, not {len(steps)}")
    if sum(len(step.needs) for step in steps) > MOST_NEEDS:
        raise Unprocessable(f"a plan can have at most {MOST_NEEDS} dependencies in total")
    return steps


class HowToSend(Body, frozen=True, kw_only=True):
    """The members that every body with a message has."""

    execute: bool = False
    delimiter: Delimiter | None = None
    if_busy: IfBusy = "queue"
    command_id: Id | None = None
    from_: Sender = field(name="from", default="")


class MessageBody(HowToSend, frozen=True, kw_only=True):
    """A message to a peer. `context_window` without `session_id` opens a session that is kept. `cwd`: the
    caller's folder, in which a coding agent works; a session keeps the folder in which it was opened."""

    content: str
    session_id: Id | None = None
    context_window: Window | None = None
    cwd: Folder | None = None

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


class SessionMessageBody(HowToSend, frozen=True, kw_only=True):
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


class ToolBody(Body, frozen=True, kw_only=True):
    """A tool that the client runs. `parameters`: a JSON Schema of an object."""

    name: Annotated[str, Meta(max_length=64)]
    description: Annotated[str, Meta(max_length=16_384)] = ""
    parameters: Object = field(default_factory=no_object)
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
    tools: Annotated[list[ToolBody], Meta(max_length=MOST)] = []
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


class CheckpointBody(Body, frozen=True, kw_only=True):
    name: Name | None = None
    cursor: Id | None = None


class PlaceBody(Body, frozen=True, kw_only=True):
    """Where to fork a session. `at`: a checkpoint's id or name, or a cursor; the head if it is left out."""

    at: Id | None = None
    name: Name | None = None


class ImportBody(Body, frozen=True, kw_only=True):
    """Which transcripts to import. `since`: an RFC 3339 time; files that were last changed before it are left
    out. `paths`: absolute paths of files or folders."""

    tool: Id | None = None
    since: Annotated[str, Meta(max_length=40)] | None = None
    paths: Annotated[list[Annotated[str, Meta(max_length=4096)]], Meta(max_length=1000)] = []
    dry_run: bool = False

    def command(self) -> ImportSessions:
        """Return the command.

        Raises:
            Malformed: `since` is not an RFC 3339 time.
        """
        return ImportSessions(self.tool, self._since(), tuple(self.paths), self.dry_run)

    def _since(self) -> int | None:
        if self.since is None:
            return None
        try:
            given = datetime.fromisoformat(self.since)
            return int((given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError) as error:
            raise Malformed(f"{self.since!r} is not an RFC 3339 time") from error


class RestoreBody(Body, frozen=True, kw_only=True):
    at: Id


StepId = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")]


# decoded only after the dependencies of the whole plan have been counted
Needs = Annotated[
    Raw,
    Meta(extra_json_schema={"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 200}}),
]


def _needs(steps: Sequence[StepBody | OperationBody], name: str) -> list[tuple[str, ...]]:
    """Return the dependencies of each step, without duplicates.

    Raises:
        Unprocessable: a dependency is not an id, or the plan has too many dependencies.
    """
    # counting commas is enough, because no step has an id with a comma
    if sum(1 + bytes(step.depends_on).count(b",") for step in steps) > MOST_NEEDS + len(steps):
        raise Unprocessable(f"a plan can have at most {MOST_NEEDS} dependencies in total")
    found = (
        decoded(step.depends_on, list[Id], f"body.{name}.{n}.depends_on") for n, step in enumerate(steps)
    )
    return [tuple(dict.fromkeys(needs)) for needs in found]


class StepBody(Body, frozen=True, kw_only=True):
    id: StepId
    ai: Id
    message: str = ""
    depends_on: Needs = field(default_factory=no_list)
    session_id: Id | None = None
    context_window: Window | None = None
    execute: bool = False
    delimiter: Delimiter | None = None
    if_busy: IfBusy = "queue"

    def step(self, needs: tuple[str, ...]) -> Step:
        return Step(
            self.id,
            self.ai,
            self.message,
            needs,
            self.session_id,
            self.context_window,
            self.execute,
            self.delimiter,
            self.if_busy,
        )


class PlanBody(Body, frozen=True, kw_only=True):
    """Either `line`, a line of the shell's grammar with peers only, or `steps`. `input`: text that is
    appended to the messages of steps without dependencies."""

    line: Annotated[str, Meta(max_length=64 << 10)] | None = None
    steps: Annotated[list[StepBody], Meta(max_length=1000)] | None = None
    input: str = ""
    command_id: Id | None = None
    from_: Sender = field(name="from", default="")
    cwd: Folder | None = None

    def own_steps(self) -> tuple[Step, ...]:
        steps = self.steps or []
        return tuple(each.step(of) for each, of in zip(steps, _needs(steps, "steps"), strict=True))

    def command(self, steps: tuple[Step, ...], key: str | None) -> StartPlan:
        return StartPlan(_bounded(steps), self.input, None, key or self.command_id, self.from_, self.cwd)


class OperationBody(Body, frozen=True, kw_only=True):
    """An operation. `ai`: a peer, `@capability` or `team:name`. `{{id}}` in `message` stands for the answer
    of the operation with that id."""

    id: StepId
    ai: Id
    message: str = ""
    depends_on: Needs = field(default_factory=no_list)
    session_id: Id | None = None

    def step(self, needs: tuple[str, ...]) -> Step:
        return Step(self.id, self.ai, self.message, needs, self.session_id)


class BulkBody(Body, frozen=True, kw_only=True):
    """A bulk request. `sequential` runs one operation at a time, in the order given, as far as dependencies
    allow."""

    operations: Annotated[list[OperationBody], Meta(min_length=1, max_length=1000)]
    execution: Literal["parallel", "sequential"] = "parallel"
    max_parallel: Annotated[int, Meta(ge=1, le=1000)] | None = None
    command_id: Id | None = None
    from_: Sender = field(name="from", default="")

    def command(self, most: int, key: str | None) -> StartPlan:
        needs = _needs(self.operations, "operations")
        steps = tuple(each.step(of) for each, of in zip(self.operations, needs, strict=True))
        most = 1 if self.execution == "sequential" else self.max_parallel or most
        return StartPlan(_bounded(steps), "", most, key or self.command_id, self.from_)


class ToolResultBody(Body, frozen=True, kw_only=True):
    """The result of a tool, as any JSON value. `is_error`: report to the model that the tool failed."""

    result: Raw
    is_error: bool = False
    command_id: Id | None = None

    def command(self, stream: str, call_id: str, key: str | None) -> AnswerTool:
        result = tool_result(self.result, "body.result")
        return AnswerTool(stream, call_id, result, self.is_error, key or self.command_id)


class OptionBody(Body, frozen=True, kw_only=True):
    """An answer to a permission request: one of its options, or `answers` to its questions by their ids, each
    a list of labels or a text."""

    option_id: Id | None = None
    answers: Object = field(default_factory=no_object)
    command_id: Id | None = None

    def command(self, stream: str, request_id: str, key: str | None) -> AnswerPermission:
        kept(self.answers, "body.answers")  # checks the size
        answers = decoded(self.answers, Answers, "body.answers")
        if self.option_id is None and not answers:
            raise Unprocessable("body: option_id or answers is required")
        return AnswerPermission(stream, request_id, self.option_id, key or self.command_id, answers or None)


class SocketBody(Body, frozen=True, kw_only=True):
    """A socket to open. `model` and `prompt` replace the specialist's own; `context` (any JSON) follows the
    prompt, as data."""

    ai_name: Id
    model: Annotated[str, Meta(min_length=1, max_length=200, pattern=PLAIN)] | None = None
    prompt: Annotated[str, Meta(max_length=64 << 10)] | None = None
    context: Raw = field(default_factory=nothing)
    command_id: Id | None = None

    def command(self, key: str | None) -> OpenSocket:
        voice = Voice(self.prompt, self._besides(), self.model)
        return OpenSocket(self.ai_name, None if voice == Voice() else voice, key or self.command_id)

    def _besides(self) -> str:
        text = text_of(self.context, "body.context")
        if text is None:
            return ""
        return f"What is known of the situation, as data:\n{text}"


Members = Annotated[list[Id], Meta(min_length=1, max_length=100)]


class MembersBody(Body, frozen=True, kw_only=True):
    members: Members


class GroupBody(MembersBody, frozen=True, kw_only=True):
    name: Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_.\-]{0,63}$")]
    command_id: Id | None = None

    def command(self, key: str | None) -> MakeTeam:
        return MakeTeam(self.name, tuple(self.members), key or self.command_id)


class EnvironmentBody(Body, frozen=True, kw_only=True):
    variables: Texts

    def texts(self) -> dict[str, str]:
        return texts(self.variables, "body.variables", MOST_VARIABLES)


# the pattern is checked only after the number of words, because an invalid body may have a million
Word = Annotated[str, Meta(max_length=128 << 10, extra_json_schema={"pattern": r"^[^\x00]*$"})]
Side = Annotated[int, Meta(ge=1, le=10_000)]


class ProgramBody(Body, frozen=True, kw_only=True):
    """A program to start as a peer. `argv`: the program and its arguments, run without a shell; `env`: the
    program's whole environment."""

    name: Name
    kind: Literal["terminal", "stdio"]
    argv: Annotated[list[Word], Meta(min_length=1, max_length=MOST_WORDS)]
    cwd: Folder
    env: Texts = field(default_factory=no_object)
    rows: Side = 24
    cols: Side = 80
    delimiter: Delimiter | None = None
    protocol: Literal["text", "aish-json"] = "text"
    prompt: Annotated[str, Meta(max_length=1000)] | None = None
    on_exit: Literal["survive", "reap"] = "survive"
    description: Annotated[str, Meta(max_length=1000, pattern=PLAIN)] = ""

    def command(self) -> AnnounceProgram:
        """Return the command.

        Raises:
            Unprocessable: there is a NUL in a word, or the name of a variable is empty or contains `=`.
        """
        env = texts(self.env, "body.env", MOST_WORDS)
        if any("\0" in word for word in (*self.argv, *env, *env.values())):
            raise Unprocessable("argv and env must not contain NUL")
        if any(not name or "=" in name for name in env):
            raise Unprocessable("the name of a variable must not be empty or contain =")
        return AnnounceProgram(
            self.name,
            self.kind,
            tuple(self.argv),
            Launch(self.cwd, env, self.rows, self.cols),
            self.delimiter or None,
            self.protocol,
            self.prompt,
            self.on_exit,
            self.description,
        )


class LaunchBody(Body, frozen=True, kw_only=True):
    """How to start a tool. `cwd`: the caller's folder, for programs that run there."""

    cwd: Folder | None = None
    session: Name | None = None


class WaitBody(Body, frozen=True, kw_only=True):
    """The peers to wait for. `timeout`: in seconds; without it, the wait has no limit."""

    peers: Annotated[list[Id], Meta(min_length=1, max_length=1000)]
    mode: Literal["any", "all"] = "all"
    timeout: Annotated[float, Meta(ge=0, le=10**6)] | None = None


class ForwardBody(Body, frozen=True, kw_only=True):
    """A forward. `to`: a peer or a terminal. `json`: forward a JSON object with the text, its source, its
    destination, the time and the purpose. `execute`: a wrapped program executes the text."""

    to: Id
    as_json: bool = field(name="json", default=False)
    execute: bool = False

    def command(self, source: str) -> PutForward:
        return PutForward(source, self.to, self.as_json, self.execute)


class NewForwardBody(ForwardBody, frozen=True, kw_only=True):
    source: Id = field(name="from")


class TerminalBody(Body, frozen=True, kw_only=True):
    """A named shell. `seen`: the cursor of its stream up to which it has shown messages."""

    seen: Id | None = None


class HopBody(Body, frozen=True, kw_only=True):
    """A hop of a route. `ai`: a peer, `@capability`, `team:name` or `route:name`."""

    ai: Id
    purpose: Purpose = ""


class RouteBody(Body, frozen=True, kw_only=True):
    hops: Annotated[list[HopBody], Meta(min_length=1, max_length=MOST_HOPS)]

    def command(self, name: str, *, new: bool = False) -> PutRoute:
        return PutRoute(name, tuple(Hop(hop.ai, hop.purpose) for hop in self.hops), new)


class NewRouteBody(RouteBody, frozen=True, kw_only=True):
    name: Id


class RouteMessageBody(Body, frozen=True, kw_only=True):
    message: str
    command_id: Id | None = None
    from_: Sender = field(name="from", default="")
    cwd: Folder | None = None

    def command(self, name: str, key: str | None) -> SendRoute:
        return SendRoute(name, self.message, key or self.command_id, self.from_, self.cwd)


class TextBody(Body, frozen=True, kw_only=True):
    text: str


class Query(Struct, frozen=True, kw_only=True):
    """The base of all queries. Parameters that a query does not name are ignored."""


Limit = Annotated[int, Meta(ge=1, le=1000)]


class AfterQuery(Query, frozen=True, kw_only=True):
    """Where to read events. `after`: the cursor after which they begin; the hub checks it."""

    after: Annotated[str, Meta(extra_json_schema={"pattern": r"^([0-9A-Za-z]{32}:[0-9]{1,18})?$"})] | None = (
        None
    )


class PageQuery(AfterQuery, frozen=True, kw_only=True):
    limit: Limit = 500


class SessionsQuery(Query, frozen=True, kw_only=True):
    peer: str | None = None
    tool: str | None = None
    state: SessionState | UnsetType = UNSET
    project: str | None = None
    name: str | None = None


class MessagesQuery(Query, frozen=True, kw_only=True):
    """What to return of a session. `messages`: how many of the last messages."""

    messages: Annotated[int, Meta(ge=0, le=100_000)] = 1000


class HistoryQuery(Query, frozen=True, kw_only=True):
    limit: Limit = 20


class SearchQuery(HistoryQuery, frozen=True, kw_only=True):
    q: Annotated[str, Meta(min_length=1, max_length=1000)]


class CapableQuery(Query, frozen=True, kw_only=True):
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.7


class EndQuery(Query, frozen=True, kw_only=True):
    """`force`: kill the program's host process if it does not answer."""

    force: bool = False


class ToolsQuery(Query, frozen=True, kw_only=True):
    """What to return of the tools. `check`: run each program's health check too."""

    check: bool = False


class LoginQuery(Query, frozen=True, kw_only=True):
    code: Annotated[str, Meta(max_length=200)]
