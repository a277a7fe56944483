"""Peers, their answers, and what was said."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .common import Cost, Cursor, SessionState, Time


class PeerCapabilities(Struct):
    """What a peer can do. Each capability is also a member, under its name with underscores."""

    streaming: bool
    scores: dict[str, float]
    primary: list[str]
    context_tokens: int | None
    context_window: int | None
    max_tokens: int | None
    avg_response_time: float | None
    success_rate: float | None
    cost_per_1k_tokens: float | None


class BriefSession(Struct):
    """A session of a tool. `started`: whether it has had a message."""

    id: str
    name: str | None
    state: SessionState
    started: bool


class TurnNow(Struct):
    """A turn of the caller that runs or waits. `session_id` is null for a step that runs in a plan, and
    `plan_id` for every other turn. `since`: when it began, or was accepted if it is queued. `doing`: what the
    peer does, on one line, for example `answers`, `thinks`, `calls Bash: npm test` and `waits for permission:
    Bash`; null if nothing is known yet."""

    session_id: str | None
    session_name: str | None
    plan_id: str | None
    turn_id: str
    since: Time
    state: Literal["queued", "running", "waiting"]
    doing: str | None


class Peer(Struct):
    """A peer. Unknown values are null. `sessions`: the last 100 sessions with a tool; the number of sessions
    with another peer that have not ended. `now`: the caller's turns with the peer that run or wait."""

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
    now: list[TurnNow]


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


class ModelPrice(Struct):
    """In USD per million tokens. `cached_per_1m`: null if it is that of other input."""

    input_per_1m: str
    output_per_1m: str
    cached_per_1m: str | None


class Model(Struct):
    """A model. `takes`: `text`, and `image`, `pdf` and `audio` if it takes them; null if only the running
    agent knows. `json`: it gives answers by a schema. `price`: null if it is unknown. `peers`: the
    specialists that use it. `is_default`: `auto` means it now. `error`: why it cannot be used; null if it
    can."""

    model: str
    provider: str
    takes: list[str] | None
    json: bool
    price: ModelPrice | None
    peers: list[str]
    is_default: bool
    error: str | None


class SilentProvider(Struct):
    """A provider that did not list its models, and why."""

    provider: str
    detail: str
    hint: str


class Models(Struct):
    models: list[Model]
    silent: list[SilentProvider]


class Waited(Struct):
    idle: list[str]
    waiting: list[str]
    timed_out: bool


class Exchange(Struct):
    """A message and its answer. `model`: the one that answered, null if it is not known; `session_name`: null
    if the session has no name."""

    at: Time
    ai: str
    model: str | None
    stream: str
    session_name: str | None
    turn_id: str
    message: str
    response: str


class History(Struct):
    history: list[Exchange]


class Hit(Struct):
    """A message that was found. `highlights`: start and length of the words in `excerpt`, in characters;
    `session_name`: null if the session has no name."""

    at: Time
    ai: str
    stream: str
    session_name: str | None
    cursor: Cursor
    turn_id: str | None
    role: str
    excerpt: str
    highlights: list[list[int]]


class Hits(Struct):
    hits: list[Hit]
