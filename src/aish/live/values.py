"""The values that a client receives: events, peers, permission requests, sessions, answers."""

from __future__ import annotations

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True):
    """One event of a stream, as in the log (docs/reference/rest.md, The event).

    `seq` increases by one with each event; an event that was folded from several has that of the last one.
    `prev` is the `seq` of the event before. A client continues from `cursor`. `at` is an RFC 3339 time in
    UTC. `plan_id` and `step` are set in the stream of a plan.
    """

    epoch: str
    seq: int
    prev: int
    cursor: str
    at: str
    type: str
    data: dict[str, Any]
    session_id: str | None = None
    turn_id: str | None = None
    plan_id: str | None = None
    step: str | None = None


class Abilities(msgspec.Struct, frozen=True):
    """The capabilities of a peer. `scores` are from 0 to 1, by capability. `primary`: the capabilities for
    which the peer is preferred."""

    scores: dict[str, float] = {}
    primary: list[str] = []


class Peer(msgspec.Struct, frozen=True):
    """A peer. `evidence` says why it has its `status`."""

    id: str
    name: str
    kind: str
    description: str
    status: str
    evidence: str
    model: str | None = None
    pid: int | None = None
    capabilities: Abilities = Abilities()


class Option(msgspec.Struct, frozen=True):
    """One answer to a permission request. `kind` is allow_once, allow_always, reject_once or
    reject_always."""

    option_id: str
    name: str
    kind: str


class Activity(msgspec.Struct, frozen=True):
    """The activity of its caller in the hub: turns that run, messages in the trays `prompt` and `new`, and
    permission requests that wait for an answer."""

    turns: int = 0
    unread: int = 0
    permissions: int = 0


class Choice(msgspec.Struct, frozen=True):
    """One answer that a question offers."""

    label: str
    description: str = ""


class Question(msgspec.Struct, frozen=True):
    """A question of a permission request. Without `options`, the answer is a text. `multi_select`: several
    options may be chosen. `secret`: the hub does not log the answer."""

    id: str
    header: str
    question: str
    options: list[Choice] = []
    multi_select: bool = False
    secret: bool = False


class Permission(msgspec.Struct, frozen=True):
    """A permission request of a peer.

    For a step of a plan, `session_id` is the id of the plan. After `expires_at` (RFC 3339, UTC), the request
    counts as denied.
    """

    request_id: str
    session_id: str
    turn_id: str
    peer: str
    tool: str
    detail: Any = None
    options: list[Option] = []
    expires_at: str | None = None
    asked_at: str | None = None
    questions: list[Question] = []


class PermissionChange(msgspec.Struct, frozen=True):
    """A request that was made (`pending`), or that is no longer pending.

    `option_id` is the chosen option, or None if there is none. `answers` has the answers to the request's
    questions. `by` says who answered; it is empty if that happened while the connection was lost.
    """

    request: Permission
    pending: bool
    option_id: str | None = None
    by: str = ""
    answers: dict[str, list[str] | str] | None = None


class Message(msgspec.Struct, frozen=True):
    """One message of a session. `role` is user or assistant."""

    role: str
    content: str
    timestamp: str


class SessionState(msgspec.Struct, frozen=True):
    """The state of a session. `head` is the number of its last event, and `cursor` its cursor. `messages` has
    at most 1,000."""

    id: str
    specialist_id: str
    name: str | None
    state: str
    context_window: int
    head: int | None = None
    cursor: str | None = None
    project_id: str | None = None
    metadata: dict[str, Any] = {}
    messages: list[Message] = []


class Answer(msgspec.Struct, frozen=True):
    """The complete answer of a turn.

    `cost` is in USD, as a decimal string, or None if the price is unknown. `seconds` is the duration of the
    turn.
    """

    text: str
    finish_reason: str = "stop"
    usage: dict[str, Any] | None = None
    cost: str | None = None
    seconds: float = 0.0

    def __str__(self) -> str:
        return self.text


class SocketMessage(msgspec.Struct, frozen=True):
    """A whole message that was read from a socket. `ai`: the peer that wrote it. `error`: the failure of a
    turn, if it is one."""

    content: str
    ai: str = ""
    headers: list[str] = []
    error: dict[str, Any] | None = None


class BulkResult(msgspec.Struct, frozen=True):
    """The result of one operation. `status` is success, failed or skipped. `execution_time` is in seconds."""

    status: str
    response: str | None = None
    ai: str | None = None
    execution_time: float = 0.0
    error: dict[str, Any] | None = None
