"""What a client of the hub is given: events, peers, requests for permission. Values; they do nothing."""

from __future__ import annotations

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True):
    """One event of a stream, as the log has it (docs/reference/rest.md, The event).

    `seq` grows by one from event to event; where `folded` stands for several, it is the last one's. `cursor`
    is where to go on from. `at`: RFC 3339, UTC. `plan_id` and `step`: of a plan's stream.
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
    """`scores`: from 0 to 1, by capability; `primary`: those for which the peer is asked first."""

    scores: dict[str, float] = {}
    primary: list[str] = []


class Peer(msgspec.Struct, frozen=True):
    """Who can be talked to. `status` with the `evidence` for it."""

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
    """One way to answer a request. `kind`: allow_once, allow_always, reject_once, reject_always."""

    option_id: str
    name: str
    kind: str


class Permission(msgspec.Struct, frozen=True):
    """A peer asks a person. `session_id` is the plan's for a step of a plan; `expires_at`: RFC 3339, UTC,
    after which it counts as refused."""

    request_id: str
    session_id: str
    turn_id: str
    peer: str
    tool: str
    detail: Any = None
    options: list[Option] = []
    expires_at: str | None = None
    asked_at: str | None = None


class PermissionChange(msgspec.Struct, frozen=True):
    """A request waits, or does no more: then with the option that was chosen (None: none was) and who did.
    `by` is empty where it ended while the connection was away."""

    request: Permission
    waits: bool
    option_id: str | None = None
    by: str = ""


class Message(msgspec.Struct, frozen=True):
    """`role`: user or assistant."""

    role: str
    content: str
    timestamp: str


class SessionState(msgspec.Struct, frozen=True):
    """A session as the hub knows it. `head`: the cursor of its last event; `messages`: up to 1,000."""

    id: str
    specialist_id: str
    name: str | None
    state: str
    context_window: int
    head: str | None = None
    project_id: str | None = None
    metadata: dict[str, Any] = {}
    messages: list[Message] = []


class Answer(msgspec.Struct, frozen=True):
    """A turn's whole answer. `cost`: USD as a decimal string, None where the price is unknown; `seconds`: how
    long the turn took."""

    text: str
    finish_reason: str = "stop"
    usage: dict[str, Any] | None = None
    cost: str | None = None
    seconds: float = 0.0

    def __str__(self) -> str:
        return self.text
