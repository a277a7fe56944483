"""Events: what happened, as numbered records of a stream.

A payload is one of a closed union of types. The names of types and fields are those that clients see, except
that `from_` is `from` in JSON. A payload does not know its stream or its number; an `Event` adds both.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

from msgspec import UNSET, Struct, UnsetType, field

from .audit import AuditEntry
from .given import Vendor
from .mailbox import CommandAnswered, CommandRequested, MailboxClosed
from .parts import Part
from .questions import Answers, Question
from .schedule import Change
from .snapshot import LeftOut

Channel = Literal["answer", "reasoning", "stderr", "unsolicited"]
PlanStatus = Literal["completed", "failed", "cancelled", "interrupted"]
Then = Literal["note", "ask", "fallback"]
RunsAt = Literal["hub", "client", "agent", "caller"]
Api = Literal["chat", "responses", "messages"]
EntryStatus = Literal["pending", "in_progress", "completed"]
_FROM = {"from_": "from"}  # clients see `from`, which is a keyword of Python


class Cause(Struct, frozen=True, gc=False):
    """The original message from which another one follows. `origin`: the id of that message or of its plan.
    `delivery`: the number of the delivery, of all that forwards and teams made of the original. `caller`,
    `project`: who sent the original, and the project of its session, if the sender of this one differs."""

    origin: str
    delivery: int = 0
    caller: str | UnsetType = UNSET
    project: str | UnsetType = UNSET


class MessageAccepted(Struct, frozen=True, gc=False, rename=_FROM):
    """A message is in the log and will be answered; it opens its turn.

    `role` is `user`. `from_`: the sender as shown to readers. `via`: the peers that the content passed
    through, oldest first. `execute` and `delimiter` matter to programs only. `cause`: the original, if
    the message follows from another one. `model` and `system`: the model that answers this message, and
    the text that replaces the specialist's prompt for it. `parts`: what follows the content.
    `response_schema`: the JSON Schema of the answer. `api`: the API of a vendor that it came through; the
    client gave the conversation so far with it.
    """

    type: ClassVar[str] = "message.accepted"
    message_id: str
    role: str
    content: str
    from_: str = ""
    via: tuple[str, ...] = ()
    execute: bool = False
    delimiter: str | None = None
    cause: Cause | UnsetType = UNSET
    model: str | UnsetType = UNSET
    system: str | UnsetType = UNSET
    parts: tuple[Part, ...] | UnsetType = UNSET
    response_schema: dict[str, Any] | UnsetType = UNSET
    api: Api | UnsetType = UNSET


class TurnQueued(Struct, frozen=True, gc=False):
    """The turn waits. `position`: its place among the waiting turns of its session, from 1."""

    type: ClassVar[str] = "turn.queued"
    position: int


class TurnStarted(Struct, frozen=True, gc=False):
    """The peer is working on the turn. `model`: the model that was asked for, if the peer is one.

    If the turn is passed on to another peer while it runs, there is one event for each of them. `instead_of`:
    the peer that was called before.
    """

    type: ClassVar[str] = "turn.started"
    peer: str
    model: str | None = None
    instead_of: str | UnsetType = UNSET


class OutputDelta(Struct, frozen=True, gc=False):
    """A piece of the output, to be appended to the earlier pieces of its channel."""

    type: ClassVar[str] = "output.delta"
    text: str
    channel: Channel = "answer"


class OutputPartial(Struct, frozen=True, gc=False):
    """The whole answer, up to the point where the turn failed, was cancelled or was interrupted.

    After the turn's end: the answer with the text that arrived late. It replaces the answer so far.
    """

    type: ClassVar[str] = "output.partial"
    text: str


class ToolCalled(Struct, frozen=True, gc=False):
    """The model called a tool.

    `arguments`: any JSON value. `runs_at`: who runs the tool. If it is `client`, the turn waits until a
    client sends the result. If it is `caller`, the turn ends; the caller runs the tool, and sends the result
    with its next message.
    """

    type: ClassVar[str] = "tool.called"
    call_id: str
    name: str
    arguments: Any
    runs_at: RunsAt


class ToolReturned(Struct, frozen=True, gc=False):
    """The result of a tool call, any JSON value. `is_error`: the tool failed, and `result` is the error."""

    type: ClassVar[str] = "tool.returned"
    call_id: str
    result: Any
    is_error: bool = False


class ReasoningKept(Struct, frozen=True, gc=False):
    """The object in which a model's provider has its reasoning, unchanged. A client sends it back with the
    conversation, because the provider's API needs it again. Its text is in the chunks of reasoning."""

    type: ClassVar[str] = "reasoning.kept"
    vendor: Vendor
    data: dict[str, Any]


class PermissionOption(Struct, frozen=True, gc=False):
    """One answer that a permission request offers.

    `kind`: `allow_once`, `allow_always`, `reject_once` or `reject_always`, as ACP names them.
    """

    option_id: str
    name: str
    kind: str


class PermissionAsked(Struct, frozen=True, gc=False):
    """The peer asks whether it may use a tool; the turn waits for the answer.

    `tool`: the program's own name of the tool; if the turn is paused, what paused it. `detail`: any JSON
    value that helps a person decide. `expires_at`: the time, in RFC 3339, when the request is denied if
    nobody has answered; None if it waits without limit. `questions`: what the peer wants to know, if it asks
    for that.
    """

    type: ClassVar[str] = "permission.asked"
    request_id: str
    tool: str
    detail: Any
    options: tuple[PermissionOption, ...]
    expires_at: str | None = None
    questions: tuple[Question, ...] | UnsetType = UNSET


class PermissionAnswered(Struct, frozen=True, gc=False):
    """A permission request was answered.

    `option_id`: the option that was chosen, or None if none was. `by`: a person, `policy`, `expiry`, `reset`
    (the turn was paused until that time), the peer that withdrew its request, or the end of the
    turn. `answers`: the answers to the request's questions, by their ids; no option was chosen then.
    """

    type: ClassVar[str] = "permission.answered"
    request_id: str
    option_id: str | None
    by: str
    answers: Answers | UnsetType = UNSET


class ContextInjected(Struct, frozen=True, gc=False):
    """Texts that were sent to the peer before the message.

    `metadata`: where they came from (`source`) and when they were written (`timestamp`, RFC 3339).
    """

    type: ClassVar[str] = "context.injected"
    prompts: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)


class MessageForwarded(Struct, frozen=True, gc=False, rename=_FROM):
    """An answer of a peer, forwarded to the terminal `to`.

    `from_`: the peer. `via`: the peers that it passed through, ending with `from_`. `time`: when the answer
    was complete, in RFC 3339. `purpose`: the stated purpose of the peer. `as_json`: show it as an object with
    these members. `source`: the answer's turn, as `{session_id | plan_id, turn_id}`. `tool`: what the peer
    is, as `{name, kind, driver, capabilities}`, if it is a tool and `as_json` is set.
    """

    type: ClassVar[str] = "message.forwarded"
    from_: str
    to: str
    via: tuple[str, ...]
    content: str
    time: str
    purpose: str | None = None
    as_json: bool = False
    source: dict[str, str] = field(default_factory=dict)
    tool: dict[str, Any] | UnsetType = UNSET


class ForwardFailed(Struct, frozen=True, gc=False, rename=_FROM):
    """An answer was not forwarded to `to`. The event is in the stream of the answer. `hint`: what to do."""

    type: ClassVar[str] = "forward.failed"
    from_: str
    to: str
    code: str
    detail: str
    hint: str | UnsetType = UNSET


class UsageReported(Struct, frozen=True, gc=False):
    """The tokens of one model call.

    `cost`: USD as a decimal string, or None if the price is unknown (never 0 for unknown).
    `cache_written_tokens`: of the input, those that the provider wrote to its cache, if there are any.
    `reasoning_tokens`: of the output, those of the reasoning, if there are any.
    """

    type: ClassVar[str] = "usage.reported"
    model: str | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None
    cost: str | None = None
    cache_written_tokens: int | UnsetType = UNSET
    reasoning_tokens: int | UnsetType = UNSET


class BudgetReached(Struct, frozen=True, gc=False):
    """Most of a limit of a budget is used, or all of it.

    `budget`: `global`, `peer.NAME`, `project.NAME` or `caller.NAME`. `limit`: the name of the limit, and
    `value` its value. `value`, `spent`: a number of tokens, or USD as a decimal string. `share`: of the limit
    that is spent. `resets_at`: when the next period begins, in RFC 3339. `then`: `note` (nothing follows),
    `ask` (the turn is paused) or `fallback` (`peer` answers instead).
    """

    type: ClassVar[str] = "budget.reached"
    budget: str
    limit: str
    value: int | str
    spent: int | str
    share: float
    resets_at: str
    then: Then
    peer: str | None = None


class QuotaPaused(Struct, frozen=True, gc=False):
    """The peer's usage limit is reached, so the turn is paused.

    `resets_at`: when the limit ends, in RFC 3339. `reason`: what the peer or its provider said.
    """

    type: ClassVar[str] = "quota.paused"
    resets_at: str
    reason: str


class AgentRecord(Struct, frozen=True, gc=False):
    """A record of a coding agent, as it was received.

    `record`: the JSON value. If the line was not JSON, `raw` has its bytes in base64, and `encoding` is
    `base64`.
    """

    type: ClassVar[str] = "agent.record"
    record: Any = None
    raw: str | None = None
    encoding: str | None = None


class PlanEntry(Struct, frozen=True, gc=False):
    """A step of an agent's own plan."""

    text: str
    status: EntryStatus = "pending"


class AgentPlan(Struct, frozen=True, gc=False):
    """What a coding agent plans to do in this turn. It replaces the agent's plan so far."""

    type: ClassVar[str] = "agent.plan"
    entries: tuple[PlanEntry, ...]


class BlobKept(Struct, frozen=True, gc=False, rename=_FROM):
    """Binary content was sent in the session. The content is stored beside the log, under `blob_id`.

    `bytes`: its size. `from_`: the sender as shown to readers.
    """

    type: ClassVar[str] = "blob.kept"
    blob_id: str
    media_type: str
    bytes: int
    from_: str = ""


class TurnCompleted(Struct, frozen=True, gc=False):
    """The turn ended with the whole answer, `text`.

    `finish_reason`: as OpenAI names them, and `refusal`. `usage`: the tokens of all model calls of the turn.
    `cost`: USD as a decimal string, or None if a price is unknown. `seconds`: from the start of the turn to
    its end, without the time in which it was paused. `called`: the names of the tools that the model called,
    and that the caller runs now. `stop_sequence`: that of the client's which ended the answer, if the
    provider says so.
    """

    type: ClassVar[str] = "turn.completed"
    message_id: str
    text: str
    finish_reason: str
    usage: dict[str, Any] | None = None
    cost: str | None = None
    seconds: float = 0.0
    called: tuple[str, ...] | UnsetType = UNSET
    stop_sequence: str | UnsetType = UNSET


class TurnFailed(Struct, frozen=True, gc=False):
    """The turn ended with an error. `data`: details, such as provider, model, status and hint."""

    type: ClassVar[str] = "turn.failed"
    code: str
    detail: str
    retryable: bool
    data: dict[str, Any] = field(default_factory=dict)


class TurnCancelled(Struct, frozen=True, gc=False):
    """The turn was cancelled. `by`: the person or the program that did it."""

    type: ClassVar[str] = "turn.cancelled"
    by: str


class TurnInterrupted(Struct, frozen=True, gc=False):
    """The turn was interrupted, and the session continues with its next turn."""

    type: ClassVar[str] = "turn.interrupted"
    reason: str


class SessionStateChanged(Struct, frozen=True, gc=False):
    """The session is in the state `state` from here on."""

    type: ClassVar[str] = "session.state"
    state: str


class PeerStatusChanged(Struct, frozen=True, gc=False):
    """The status of a peer's program changed. `evidence`: how the hub knows."""

    type: ClassVar[str] = "peer.status"
    peer: str
    status: str
    evidence: str


class PeerExited(Struct, frozen=True, gc=False):
    """A peer's program ended by itself (`exit_code`) or by a signal (`signal`)."""

    type: ClassVar[str] = "peer.exited"
    peer: str
    exit_code: int | None = None
    signal: int | None = None


class PeerLost(Struct, frozen=True, gc=False):
    """The hub lost a peer's program, for example because its host ended; how it ended is unknown."""

    type: ClassVar[str] = "peer.lost"
    peer: str
    reason: str


class CheckpointMade(Struct, frozen=True, gc=False):
    """A position of a session was given a name. A restore and a fork record their origin in this way, too.

    `parent`: the position, as `<session>@<epoch>:<seq>`. `left_out`: files that a checkpoint before a turn
    does not contain, and that the checkpoint before it did not name.
    """

    type: ClassVar[str] = "checkpoint.made"
    checkpoint_id: str
    name: str
    parent: str
    left_out: tuple[LeftOut, ...] | UnsetType = UNSET


class CheckpointFailed(Struct, frozen=True, gc=False):
    """No checkpoint could be made before the turn, which runs without one. `hint`: what to do."""

    type: ClassVar[str] = "checkpoint.failed"
    code: str
    detail: str
    hint: str | UnsetType = UNSET


class CheckpointRemoved(Struct, frozen=True, gc=False):
    """A checkpoint without a name was removed. `limit`: the setting that took effect."""

    type: ClassVar[str] = "checkpoint.removed"
    checkpoint_id: str
    name: str
    limit: str


class PlanStarted(Struct, frozen=True, gc=False):
    """A plan began. `steps`: the steps as they were requested."""

    type: ClassVar[str] = "plan.started"
    steps: tuple[dict[str, Any], ...]


class StepStarted(Struct, frozen=True, gc=False):
    """A step sent its message to `peer`.

    `session_id`: None if the turn is in the plan's own stream. `capability` and `score`: set if the peer was
    chosen by capability.
    """

    type: ClassVar[str] = "step.started"
    step: str
    peer: str
    session_id: str | None
    turn_id: str
    capability: str | None = None
    score: float | None = None


class StepDone(Struct, frozen=True, gc=False):
    """A step has its answer, `text`. `finish_reason`: as in `TurnCompleted`."""

    type: ClassVar[str] = "step.done"
    step: str
    text: str
    finish_reason: str = "stop"


class StepFailed(Struct, frozen=True, gc=False):
    """A step ended without an answer. `data`: details, as in `TurnFailed`."""

    type: ClassVar[str] = "step.failed"
    step: str
    code: str
    detail: str
    retryable: bool = False
    data: dict[str, Any] = field(default_factory=dict)


class StepSkipped(Struct, frozen=True, gc=False):
    """A step was not run, because the step `because`, which it needs directly or not, failed."""

    type: ClassVar[str] = "step.skipped"
    step: str
    because: str


class PlanEnded(Struct, frozen=True, gc=False):
    """The plan has ended: no step is running, and none will start."""

    type: ClassVar[str] = "plan.ended"
    status: PlanStatus


class NotificationSent(Struct, frozen=True, gc=False):
    """A notification was delivered to the recipient `to`, an entry of `notify:`.

    `about`: the notification's type, such as `turn.failed`. `attempt`: from 1. `session_id`, `plan_id`,
    `turn_id`: of the event that it is about.
    """

    type: ClassVar[str] = "notification.sent"
    notification_id: str
    to: str
    about: str
    attempt: int
    session_id: str | UnsetType = UNSET
    plan_id: str | UnsetType = UNSET
    turn_id: str | UnsetType = UNSET


class NotificationFailed(Struct, frozen=True, gc=False):
    """An attempt to deliver a notification has failed.

    `retry_at`: when the next attempt follows, in RFC 3339; None if the notification is given up. `hint`: what
    to do. The other fields are those of `NotificationSent`.
    """

    type: ClassVar[str] = "notification.failed"
    notification_id: str
    to: str
    about: str
    attempt: int
    detail: str
    retry_at: str | None
    hint: str | UnsetType = UNSET
    session_id: str | UnsetType = UNSET
    plan_id: str | UnsetType = UNSET
    turn_id: str | UnsetType = UNSET


class ScheduleChanged(Struct, frozen=True, gc=False):
    """A schedule whose answers are in this session was changed. `by`: who changed it. `next_at`: the time of
    its next run, in RFC 3339; None if it has none."""

    type: ClassVar[str] = "schedule.changed"
    name: str
    change: Change
    by: str
    next_at: str | None = None


class ScheduleDue(Struct, frozen=True, gc=False):
    """A run of the schedule is due, and begins as soon as the session can run it. `due_at`: its time, in
    RFC 3339. A run that was missed comes late, and only once for all missed times."""

    type: ClassVar[str] = "schedule.due"
    name: str
    due_at: str


class ScheduleSkipped(Struct, frozen=True, gc=False):
    """A due run does not happen. `code`, `detail`: why."""

    type: ClassVar[str] = "schedule.skipped"
    name: str
    due_at: str
    code: str
    detail: str


class Folded(Struct, frozen=True, gc=False):
    """Replaces answer chunks of a finished turn: the events with the numbers `from_seq` to `to_seq`.

    Its own event has the number `to_seq`.
    """

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
    | ReasoningKept
    | PermissionAsked
    | PermissionAnswered
    | ContextInjected
    | MessageForwarded
    | ForwardFailed
    | UsageReported
    | BudgetReached
    | QuotaPaused
    | AgentRecord
    | AgentPlan
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
    | CheckpointFailed
    | CheckpointRemoved
    | PlanStarted
    | StepStarted
    | StepDone
    | StepFailed
    | StepSkipped
    | PlanEnded
    | NotificationSent
    | NotificationFailed
    | ScheduleChanged
    | ScheduleDue
    | ScheduleSkipped
    | AuditEntry
    | CommandRequested
    | CommandAnswered
    | MailboxClosed
    | Folded
)
PAYLOADS: dict[str, type[Payload]] = {kind.type: kind for kind in get_args(Payload)}
_FIELDS = {
    kind: tuple(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
    for kind in get_args(Payload)
}


def data_of(payload: Payload) -> dict[str, Any]:
    """Return the payload's `data` object as clients see it, without members that are not set. Nested values
    are not copied."""
    found = ((shown, getattr(payload, name)) for shown, name in _FIELDS[type(payload)])
    return {shown: value for shown, value in found if value is not UNSET}


TurnEnd = TurnCompleted | TurnFailed | TurnCancelled | TurnInterrupted


class Position(Struct, frozen=True, gc=False):
    """A place in one incarnation of a stream, right after the event with the number `seq`.

    `epoch`: 32 hex digits. `seq`: 0 before the first event.
    """

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"

    @classmethod
    def parse(cls, cursor: str) -> Position | None:
        """Parse a cursor, as `str` returns it; return None if the text is not a cursor."""
        epoch, colon, seq = cursor.partition(":")
        well_formed = colon and len(epoch) == 32 and epoch.isalnum() and epoch.isascii()
        if not well_formed or not (seq.isascii() and seq.isdigit() and len(seq) <= 18):
            return None
        return cls(epoch, int(seq))


class Event(Struct, frozen=True, gc=False):
    """A payload with its number.

    `stream`: the id of a session or a plan, `hub` or `audit`. `at`: Unix time in milliseconds. `step`: in
    the stream of a plan, the step that the event belongs to.
    """

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
        """The number of the event before this one, for a reader of the whole stream."""
        return self.payload.from_seq - 1 if isinstance(self.payload, Folded) else self.position.seq - 1
