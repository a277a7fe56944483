"""What can happen: a closed union of payloads, and the numbered event that carries one.

The names of types and fields are those that clients see (wire page, section 0). A payload knows nothing of
streams, stores or frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args

Channel = Literal["answer", "reasoning", "stderr"]
PlanStatus = Literal["completed", "failed", "cancelled", "interrupted"]
RunsAt = Literal["hub", "client", "agent"]


@dataclass(frozen=True, slots=True)
class MessageAccepted:
    type: ClassVar[str] = "message.accepted"
    message_id: str
    role: str
    content: str
    from_: str = ""
    via: tuple[str, ...] = ()
    execute: bool = False
    delimiter: str | None = None


@dataclass(frozen=True, slots=True)
class TurnQueued:
    """`position`: how many turns are before this one in its session, from 1."""

    type: ClassVar[str] = "turn.queued"
    position: int


@dataclass(frozen=True, slots=True)
class TurnStarted:
    type: ClassVar[str] = "turn.started"
    peer: str
    model: str | None = None


@dataclass(frozen=True, slots=True)
class OutputDelta:
    type: ClassVar[str] = "output.delta"
    text: str
    channel: Channel = "answer"


@dataclass(frozen=True, slots=True)
class OutputPartial:
    """What a turn that did not complete had said until then."""

    type: ClassVar[str] = "output.partial"
    text: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    type: ClassVar[str] = "tool.called"
    call_id: str
    name: str
    arguments: Any
    runs_at: RunsAt


@dataclass(frozen=True, slots=True)
class ToolReturned:
    type: ClassVar[str] = "tool.returned"
    call_id: str
    result: Any
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class PermissionOption:
    option_id: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class PermissionAsked:
    type: ClassVar[str] = "permission.asked"
    request_id: str
    tool: str
    detail: Any
    options: tuple[PermissionOption, ...]
    expires_at: str | None = None


@dataclass(frozen=True, slots=True)
class PermissionAnswered:
    """`option_id` None: nobody chose one. `by`: a person, `policy`, `expiry`, the peer that withdrew its
    request, or the turn's end."""

    type: ClassVar[str] = "permission.answered"
    request_id: str
    option_id: str | None
    by: str


@dataclass(frozen=True, slots=True)
class ContextInjected:
    type: ClassVar[str] = "context.injected"
    prompts: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MessageForwarded:
    """What a peer has said, as it is shown at a terminal. `via`: the peers that it came through, who said it
    last; `time`: when; `source`: where it was said, `{session_id | plan_id, turn_id}`; `as_json`: whether it
    is to be shown as an object with all that."""

    type: ClassVar[str] = "message.forwarded"
    from_: str
    to: str
    via: tuple[str, ...]
    content: str
    time: str
    purpose: str | None = None
    as_json: bool = False
    source: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForwardFailed:
    """What a peer has said was to be passed on, and was not; in the stream where it was said."""

    type: ClassVar[str] = "forward.failed"
    from_: str
    to: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class UsageReported:
    """`cost`: USD as a decimal string, None where the price is not known (never 0 for unknown)."""

    type: ClassVar[str] = "usage.reported"
    model: str | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None
    cost: str | None = None


@dataclass(frozen=True, slots=True)
class AgentRecord:
    type: ClassVar[str] = "agent.record"
    record: Any = None
    raw: str | None = None
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class BlobKept:
    """Binary content lies beside the log, under `blob_id`."""

    type: ClassVar[str] = "blob.kept"
    blob_id: str
    media_type: str
    bytes: int
    from_: str = ""


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    type: ClassVar[str] = "turn.completed"
    message_id: str
    text: str
    finish_reason: str
    usage: dict[str, Any] | None = None
    cost: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """`data`: what the error carries beside: provider, model, status, hint …"""

    type: ClassVar[str] = "turn.failed"
    code: str
    detail: str
    retryable: bool
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TurnCancelled:
    type: ClassVar[str] = "turn.cancelled"
    by: str


@dataclass(frozen=True, slots=True)
class TurnInterrupted:
    type: ClassVar[str] = "turn.interrupted"
    reason: str


@dataclass(frozen=True, slots=True)
class SessionStateChanged:
    type: ClassVar[str] = "session.state"
    state: str


@dataclass(frozen=True, slots=True)
class PeerStatusChanged:
    type: ClassVar[str] = "peer.status"
    peer: str
    status: str
    evidence: str


@dataclass(frozen=True, slots=True)
class PeerExited:
    type: ClassVar[str] = "peer.exited"
    peer: str
    exit_code: int | None = None
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class PeerLost:
    type: ClassVar[str] = "peer.lost"
    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class CheckpointMade:
    """`parent`: the cursor it stands for, with its session: `<session>@<epoch>:<seq>`."""

    type: ClassVar[str] = "checkpoint.made"
    checkpoint_id: str
    name: str
    parent: str


@dataclass(frozen=True, slots=True)
class PlanStarted:
    type: ClassVar[str] = "plan.started"
    steps: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class StepStarted:
    """`session_id`: None for a step whose turn is in the plan's own stream. `capability` and `score` where
    the peer was chosen by capability."""

    type: ClassVar[str] = "step.started"
    step: str
    peer: str
    session_id: str | None
    turn_id: str
    capability: str | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class StepDone:
    type: ClassVar[str] = "step.done"
    step: str
    text: str


@dataclass(frozen=True, slots=True)
class StepFailed:
    type: ClassVar[str] = "step.failed"
    step: str
    code: str
    detail: str
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """`because`: the step that failed."""

    type: ClassVar[str] = "step.skipped"
    step: str
    because: str


@dataclass(frozen=True, slots=True)
class PlanEnded:
    type: ClassVar[str] = "plan.ended"
    status: PlanStatus


@dataclass(frozen=True, slots=True)
class Folded:
    """Stands for the chunks `from_seq`…`to_seq` of a finished turn; its event's `seq` is `to_seq`."""

    type: ClassVar[str] = "folded"
    from_seq: int
    to_seq: int


Payload = (
    MessageAccepted
    | TurnQueued
    | TurnStarted
    | OutputDelta
    | OutputPartial
    | ToolCalled
    | ToolReturned
    | PermissionAsked
    | PermissionAnswered
    | ContextInjected
    | MessageForwarded
    | ForwardFailed
    | UsageReported
    | AgentRecord
    | BlobKept
    | TurnCompleted
    | TurnFailed
    | TurnCancelled
    | TurnInterrupted
    | SessionStateChanged
    | PeerStatusChanged
    | PeerExited
    | PeerLost
    | CheckpointMade
    | PlanStarted
    | StepStarted
    | StepDone
    | StepFailed
    | StepSkipped
    | PlanEnded
    | Folded
)
PAYLOADS: dict[str, type[Payload]] = {kind.type: kind for kind in get_args(Payload)}
# `from` is what clients see; Python keeps that word for itself
_FIELDS = {kind: tuple((f.name, f.name.rstrip("_")) for f in fields(kind)) for kind in get_args(Payload)}


def data_of(payload: Payload) -> dict[str, Any]:
    """The payload's `data` object as clients see it."""
    return {shown: getattr(payload, name) for name, shown in _FIELDS[type(payload)]}


TurnEnd = TurnCompleted | TurnFailed | TurnCancelled | TurnInterrupted


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an incarnation of a stream. `epoch`: 32 hex digits; `seq`: from 1, 0 is before the first."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"

    @classmethod
    def parse(cls, cursor: str) -> Position | None:
        """The position that `str` printed; None where the text is no cursor."""
        epoch, colon, seq = cursor.partition(":")
        well_formed = colon and len(epoch) == 32 and epoch.isalnum() and epoch.isascii()
        if not well_formed or not (seq.isascii() and seq.isdigit() and len(seq) <= 18):
            return None
        return cls(epoch, int(seq))


@dataclass(frozen=True, slots=True)
class Event:
    """A payload with its number. `stream` is a session's id, a plan's id, or `hub`; `at` is Unix time in
    milliseconds; `step` is set in a plan's stream for what one of its steps said."""

    stream: str
    position: Position
    at: int
    payload: Payload
    turn_id: str | None = None
    step: str | None = None

    @property
    def seq(self) -> int:
        return self.position.seq

    @property
    def prev(self) -> int:
        """The number that a reader of the whole stream has seen before this one."""
        return self.payload.from_seq - 1 if isinstance(self.payload, Folded) else self.position.seq - 1
