"""What can happen: a closed union of payloads, and the numbered event that carries one.

The names of types and fields are those that clients see (wire page, section 0). A payload knows nothing of
streams, stores or frames.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

from msgspec import Struct, field

Channel = Literal["answer", "reasoning", "stderr"]
PlanStatus = Literal["completed", "failed", "cancelled", "interrupted"]
RunsAt = Literal["hub", "client", "agent"]
_FROM = {"from_": "from"}  # clients see `from`, which is a keyword of Python


class MessageAccepted(Struct, frozen=True, gc=False, rename=_FROM):
    type: ClassVar[str] = "message.accepted"
    message_id: str
    role: str
    content: str
    from_: str = ""
    via: tuple[str, ...] = ()
    execute: bool = False
    delimiter: str | None = None


class TurnQueued(Struct, frozen=True, gc=False):
    """`position`: how many turns are before this one in its session, from 1."""

    type: ClassVar[str] = "turn.queued"
    position: int


class TurnStarted(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "turn.started"
    peer: str
    model: str | None = None


class OutputDelta(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "output.delta"
    text: str
    channel: Channel = "answer"


class OutputPartial(Struct, frozen=True, gc=False):
    """What a turn that did not complete had said until then."""

    type: ClassVar[str] = "output.partial"
    text: str


class ToolCalled(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "tool.called"
    call_id: str
    name: str
    arguments: Any
    runs_at: RunsAt


class ToolReturned(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "tool.returned"
    call_id: str
    result: Any
    is_error: bool = False


class PermissionOption(Struct, frozen=True, gc=False):
    option_id: str
    name: str
    kind: str


class PermissionAsked(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "permission.asked"
    request_id: str
    tool: str
    detail: Any
    options: tuple[PermissionOption, ...]
    expires_at: str | None = None


class PermissionAnswered(Struct, frozen=True, gc=False):
    """`option_id` None: nobody chose one. `by`: a person, `policy`, `expiry`, the peer that withdrew its
    request, or the turn's end."""

    type: ClassVar[str] = "permission.answered"
    request_id: str
    option_id: str | None
    by: str


class ContextInjected(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "context.injected"
    prompts: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)


class MessageForwarded(Struct, frozen=True, gc=False, rename=_FROM):
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


class ForwardFailed(Struct, frozen=True, gc=False, rename=_FROM):
    """What a peer has said was to be passed on, and was not; in the stream where it was said."""

    type: ClassVar[str] = "forward.failed"
    from_: str
    to: str
    code: str
    detail: str


class UsageReported(Struct, frozen=True, gc=False):
    """`cost`: USD as a decimal string, None where the price is not known (never 0 for unknown)."""

    type: ClassVar[str] = "usage.reported"
    model: str | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None
    cost: str | None = None


class AgentRecord(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "agent.record"
    record: Any = None
    raw: str | None = None
    encoding: str | None = None


class BlobKept(Struct, frozen=True, gc=False, rename=_FROM):
    """Binary content lies beside the log, under `blob_id`."""

    type: ClassVar[str] = "blob.kept"
    blob_id: str
    media_type: str
    bytes: int
    from_: str = ""


class TurnCompleted(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "turn.completed"
    message_id: str
    text: str
    finish_reason: str
    usage: dict[str, Any] | None = None
    cost: str | None = None
    seconds: float = 0.0


class TurnFailed(Struct, frozen=True, gc=False):
    """`data`: what the error carries beside: provider, model, status, hint …"""

    type: ClassVar[str] = "turn.failed"
    code: str
    detail: str
    retryable: bool
    data: dict[str, Any] = field(default_factory=dict)


class TurnCancelled(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "turn.cancelled"
    by: str


class TurnInterrupted(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "turn.interrupted"
    reason: str


class SessionStateChanged(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "session.state"
    state: str


class PeerStatusChanged(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "peer.status"
    peer: str
    status: str
    evidence: str


class PeerExited(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "peer.exited"
    peer: str
    exit_code: int | None = None
    signal: int | None = None


class PeerLost(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "peer.lost"
    peer: str
    reason: str


class CheckpointMade(Struct, frozen=True, gc=False):
    """`parent`: the cursor it stands for, with its session: `<session>@<epoch>:<seq>`."""

    type: ClassVar[str] = "checkpoint.made"
    checkpoint_id: str
    name: str
    parent: str


class PlanStarted(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "plan.started"
    steps: tuple[dict[str, Any], ...]


class StepStarted(Struct, frozen=True, gc=False):
    """`session_id`: None for a step whose turn is in the plan's own stream. `capability` and `score` where
    the peer was chosen by capability."""

    type: ClassVar[str] = "step.started"
    step: str
    peer: str
    session_id: str | None
    turn_id: str
    capability: str | None = None
    score: float | None = None


class StepDone(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "step.done"
    step: str
    text: str


class StepFailed(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "step.failed"
    step: str
    code: str
    detail: str
    retryable: bool = False


class StepSkipped(Struct, frozen=True, gc=False):
    """`because`: the step that failed."""

    type: ClassVar[str] = "step.skipped"
    step: str
    because: str


class PlanEnded(Struct, frozen=True, gc=False):
    type: ClassVar[str] = "plan.ended"
    status: PlanStatus


class Folded(Struct, frozen=True, gc=False):
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
_FIELDS = {
    kind: tuple(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
    for kind in get_args(Payload)
}


def data_of(payload: Payload) -> dict[str, Any]:
    """The payload's `data` object as clients see it."""
    return {shown: getattr(payload, name) for shown, name in _FIELDS[type(payload)]}


TurnEnd = TurnCompleted | TurnFailed | TurnCancelled | TurnInterrupted


class Position(Struct, frozen=True, gc=False):
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


class Event(Struct, frozen=True, gc=False):
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
