"""The types of the responses, for the OpenAPI page. Other modules build the responses themselves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

Cursor = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}:[0-9]+$")]
Time = Annotated[str, Meta(description="RFC 3339 in UTC, with milliseconds")]
Cost = Annotated[str | None, Meta(description="USD as a decimal string; null if the price is unknown")]
SessionState = Literal["active", "paused", "waiting", "stopped", "failed", "expired"]


class Problem(Struct):
    """An error (RFC 9457). The error's own data are additional members."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool


class Frame(Struct):
    """One event of a stream. `data`: JSON in one line; `event`: `reset` if the position was lost, `error` if
    the hub ended the stream early."""

    data: str
    id: Cursor | None = None
    event: str | None = None


class Status(Struct):
    status: str


class Capabilities(Struct):
    """What the hub offers. `capabilities`: the peers that have each capability, best first."""

    version: str
    doors: list[str]
    features: list[str]
    capabilities: dict[str, list[str]]


class UnusableModel(Struct):
    """A model that a setting names. `unknown`: its provider does not have it; otherwise the provider or the
    agent is not available."""

    setting: str
    model: str
    detail: str
    hint: str
    unknown: bool


class HubStatus(Struct):
    version: str
    pid: int
    started_at: Time
    home: str
    sockets: list[str]
    url: str
    peers: int
    sessions: int
    running: int
    provider: dict[str, Any]
    models: list[UnusableModel]


class Fingerprint(Struct):
    fingerprint: str


class Reloaded(Struct):
    """The settings that have changed. `changed`: those in effect now; `needs_restart`: those that take effect
    when the hub starts again."""

    changed: list[str]
    needs_restart: list[str]


class Code(Struct):
    """A one-time code for a browser login. `expires_in`: in seconds."""

    code: str
    url: str
    expires_in: float


class PeerCapabilities(Struct):
    streaming: bool
    scores: dict[str, float]
    primary: list[str]
    context_tokens: int | None
    max_tokens: int | None


class BriefSession(Struct):
    """A session of a tool. `started`: whether it has had a message."""

    id: str
    name: str | None
    state: SessionState
    started: bool


class Peer(Struct):
    """A peer. Unknown values are null. `sessions`: the last 100 sessions with a tool; the number of sessions
    with another peer that have not ended."""

    id: str
    name: str
    kind: str
    description: str
    status: str
    evidence: str
    host: str | None
    port: int | None
    pid: int | None
    delimiter: str | None
    websocket_supported: bool
    model: str | None
    capabilities: PeerCapabilities
    avg_response_time: float | None
    success_rate: float | None
    cost_per_1k_tokens: Cost
    sessions: int | list[BriefSession]
    forwards: list[str]


class Peers(Struct):
    peers: list[Peer]


class Match(Struct):
    ai_id: str
    score: float
    primary: bool
    origin: str


class Reply(Struct):
    """A complete answer. `execution_time`: in seconds."""

    response: str
    finish_reason: str
    ai: str
    session_id: str
    turn_id: str
    usage: dict[str, int | None] | None
    execution_time: float


class Accepted(Struct):
    """An accepted message. Its answer follows `cursor`."""

    ai: str
    session_id: str
    turn_id: str
    cursor: Cursor


class Said(Struct):
    role: Literal["user", "assistant"]
    content: str
    timestamp: Time


class Session(Struct):
    """A session. `started`: whether it has had a message. `ttl`: seconds without use until it expires; null
    if it does not expire."""

    id: str
    specialist_id: str
    name: str | None
    owner: str
    project_id: str | None
    state: SessionState
    started: bool
    created_at: Time
    used_at: Time
    ttl: float | None
    context_window: int
    metadata: dict[str, Any]
    tools: list[dict[str, Any]]
    messages: list[Said]
    head: int | None
    cursor: Cursor | None


class Sessions(Struct):
    sessions: list[Session]


class ImportedFile(Struct):
    """The import of one file. `new`: imported turns; `known`: turns that were in the log already;
    `malformed`: lines that cannot be read; `skipped`, `error`: why nothing was imported."""

    path: str
    tool: str
    conversation: str
    session_id: str | None
    new: int
    known: int
    malformed: int
    skipped: str | None
    error: str | None


class Imported(Struct):
    """An import. `unchanged`: how many files have not changed since an earlier import; `more`: files are left
    for the next run."""

    dry_run: bool
    files: list[ImportedFile]
    unchanged: int
    more: bool


class Event(Struct):
    epoch: str
    seq: int
    prev: int
    cursor: Cursor
    session_id: str | None
    turn_id: str | None
    at: Time
    type: str
    data: dict[str, Any]


class Page(Struct):
    outcome: Literal["ok"]
    recovered: bool
    epoch: str
    head: int
    earliest: int
    events: list[Event]


class Checkpoint(Struct):
    checkpoint_id: str
    name: str
    parent: str


class KeptCheckpoint(Struct):
    checkpoint_id: str
    name: str
    cursor: Cursor
    at: Time


class Checkpoints(Struct):
    checkpoints: list[KeptCheckpoint]


class Dialog(Struct):
    text: str
    options: list[str]


class ProgramStatus(Struct):
    """The status of a peer, and the evidence for it. `screen`: the lines of its terminal, if it has one."""

    name: str
    kind: str
    driver: str
    status: str
    evidence: str
    since: Time
    pid: int | None
    exit_code: int | None
    signal: int | None
    reasons: list[str]
    screen: list[str] | None
    dialog: Dialog | None
    running: int
    waiting: int


class Ended(Struct):
    """How a program ended: with a code, or by a signal; neither if that is unknown."""

    name: str
    exit_code: int | None
    signal: int | None


class Waited(Struct):
    idle: list[str]
    waiting: list[str]
    timed_out: bool


class Health(Struct):
    check: str
    ok: bool
    detail: str
    version: str | None


class Login(Struct):
    """Whether an agent is logged in. `how`: how this is known, or how to log in."""

    known: Literal["yes", "no", "unknown"]
    how: str


class Tool(Struct, kw_only=True):
    """A configured or wrapped program. `path`: null also if the program is wrapped. `sessions`: the last 100.
    `health`: present if it was requested."""

    name: str
    display_name: str
    description: str
    driver: str
    executable: str
    installed: bool
    path: str | None
    how_to_install: str | None
    login: Login
    status: str
    evidence: str
    pid: int | None
    capabilities: dict[str, float]
    sessions: list[BriefSession]
    health: Health | UnsetType = UNSET


class CheckedTool(Tool, kw_only=True):
    health: Health


class Tools(Struct):
    tools: list[Tool]


class Reported(Struct):
    """What a running program reports about itself. A member that it does not report is left out."""

    model: str = ""
    mode: str = ""
    models: list[str] = []
    modes: list[str] = []
    commands: list[str] = []
    tools: list[str] = []


class ToolCapabilities(Struct):
    """The capabilities of a program. `origins`: whether each one is declared or reported."""

    name: str
    static: dict[str, bool | float]
    dynamic: dict[str, float]
    capabilities: dict[str, float]
    origins: dict[str, str]
    reported: Reported


class ToolAnswered(Struct):
    call_id: str
    turn_id: str
    cursor: Cursor


class PermissionAnswered(Struct):
    request_id: str
    turn_id: str
    cursor: Cursor


class Permission(Struct):
    request_id: str
    session_id: str
    turn_id: str
    peer: str
    tool: str
    detail: Any
    options: list[dict[str, Any]]
    expires_at: Time | None
    asked_at: Time
    questions: list[dict[str, Any]] | UnsetType = UNSET


class Permissions(Struct):
    permissions: list[Permission]


class Plan(Struct):
    id: str
    status: str
    steps: list[dict[str, Any]]
    head: int | None
    cursor: Cursor | None


class PlanStarted(Struct):
    """A started plan. Its events follow `cursor`."""

    plan_id: str
    cursor: Cursor


class TurnAbandoned(Struct):
    turn_id: str
    continues: str | None


class PlanStopped(Struct):
    id: str
    status: str


class ForwardFailed(Struct):
    code: str
    detail: str
    at: Time


class Forward(Struct):
    """A forward. `kind`: the kind of its destination. `circle`: the peers through which answers return to its
    source; empty if they do not. `failed`: why the last answer was not forwarded."""

    from_: str = field(name="from")
    to: str
    kind: Literal["terminal", "peer"]
    as_json: bool = field(name="json")
    execute: bool
    session_id: str | None
    circle: list[str]
    failed: ForwardFailed | None
    created_at: Time


class Forwards(Struct):
    forwards: list[Forward]


class Terminal(Struct):
    """A named shell. `attached`: how many shells follow its stream now; `seen`: the cursor up to which it has
    shown messages."""

    name: str
    attached: int
    head: int | None
    cursor: Cursor | None
    seen: Cursor | None
    created_at: Time


class Terminals(Struct):
    terminals: list[Terminal]


class Hop(Struct):
    ai: str
    purpose: str | None


class Route(Struct):
    name: str
    hops: list[Hop]
    created_at: Time


class Routes(Struct):
    routes: list[Route]


class Staged(Struct):
    ai: str
    staged: list[str]
    next: list[str]


class Purpose(Struct):
    name: str
    purpose: str | None


class Purposes(Struct):
    purposes: list[Purpose]


class Result(Struct):
    status: Literal["success", "failed", "skipped"]
    response: str | None
    ai: str | None
    execution_time: float


class Results(Struct):
    results: dict[str, Result]


class Exchange(Struct):
    at: Time
    ai: str
    stream: str
    turn_id: str
    message: str
    response: str


class History(Struct):
    history: list[Exchange]


class Hit(Struct):
    """A message that was found. `highlights`: start and length of the words in `excerpt`, in characters."""

    at: Time
    ai: str
    stream: str
    cursor: Cursor
    turn_id: str | None
    role: str
    excerpt: str
    highlights: list[list[int]]


class Hits(Struct):
    hits: list[Hit]


class OpenedSocket(Struct):
    socket_id: str
    websocket_url: str
    session_id: str
    ai: str


class Socket(Struct):
    """A named socket. `session_id`, `created_at`, `head`: null if it was never used; `readers`: how many
    connections it has; `waiting`: how many whole messages no connection has received."""

    socket_id: str
    websocket_url: str
    ai: str
    session_id: str | None
    created_at: Time | None
    binary: bool
    readers: int
    waiting: int
    head: int | None
    cursor: Cursor | None


class Sockets(Struct):
    sockets: list[Socket]


class SocketClosed(Struct):
    socket_id: str
    status: str


class Group(Struct):
    name: str
    members: list[str]
    origin: Literal["configured", "made"]
    socket_id: str
    websocket_url: str


class Groups(Struct):
    groups: list[Group]


class GroupDeleted(Struct):
    name: str
    status: str
