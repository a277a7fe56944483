"""The outputs of a peer while it answers: a closed union that drivers yield and turns record."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from .event import (
    BudgetReached,
    Channel,
    PermissionOption,
    PlanEntry,
    QuotaPaused,
    RunsAt,
    StepDone,
    StepFailed,
    StepStarted,
)
from .given import Vendor
from .questions import Question


class Began(Struct, frozen=True, gc=False):
    """The name of the model that is being called, if the driver knows it. Repeated for each fallback."""

    model: str


class Text(Struct, frozen=True, gc=False):
    """A piece of the output."""

    text: str
    channel: Channel = "answer"


class Late(Struct, frozen=True, gc=False):
    """Text of an answer whose turn has ended: the rest of it, or what the agent said by itself afterwards.

    It belongs to the turn with the id `turn`, or, if that is empty, to the conversation's last turn that has
    ended. `new`: it begins a message of its own.
    """

    text: str
    new: bool = False
    turn: str = ""


class ToolUse(Struct, frozen=True, gc=False):
    """The model calls a tool. The fields are as in the event `ToolCalled`."""

    call_id: str
    name: str
    arguments: Any
    runs_at: RunsAt


class ToolResult(Struct, frozen=True, gc=False):
    """The result of a tool call, any JSON value."""

    call_id: str
    result: Any
    is_error: bool = False


class Reasoned(Struct, frozen=True, gc=False):
    """An object of a vendor's API with the model's reasoning. The fields are as in the event
    `ReasoningKept`."""

    vendor: Vendor
    data: dict[str, Any]


class Permission(Struct, frozen=True, gc=False):
    """The peer asks whether it may use a tool.

    `tool` is the program's own name of the tool and never text that a model can choose, because rules match
    it. `detail`: any JSON value that helps a person decide. `expires_at`: RFC 3339.
    """

    request_id: str
    tool: str
    detail: Any
    options: tuple[PermissionOption, ...]
    expires_at: str | None = None
    questions: tuple[Question, ...] = ()


Limited = QuotaPaused | BudgetReached


class Paused(Struct, frozen=True, gc=False):
    """The turn is paused: it waits for the answer to `asked`. `why`: the event that tells the cause."""

    asked: Permission
    why: Limited | None = None


class PassedOn(Struct, frozen=True, gc=False):
    """The turn is passed on to another peer, which answers it from here on. `why`: the event that tells the
    cause, if the turn was not paused for it."""

    peer: str
    why: Limited | None = None


class Withdrawn(Struct, frozen=True, gc=False):
    """The peer no longer waits for an answer to a permission request."""

    request_id: str


class Usage(Struct, frozen=True, gc=False):
    """The tokens of one model call. `cost`: USD as a decimal string, or None if the price is unknown.
    `cache_written_tokens`: of the input, those that the provider wrote to its cache. `reasoning_tokens`: of
    the output tokens, those of the reasoning; 0 if the provider does not report them."""

    model: str | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None
    cost: str | None = None
    cache_written_tokens: int = 0
    reasoning_tokens: int = 0


class Record(Struct, frozen=True, gc=False):
    """A JSON object as the program wrote it. If the line is not JSON, `raw` has its bytes in base64."""

    record: Any = None
    raw: str | None = None


class Planned(Struct, frozen=True, gc=False):
    """The plan of the agent, as in the event `AgentPlan`."""

    entries: tuple[PlanEntry, ...]


class Shared(Struct, frozen=True, gc=False):
    """The progress of one member, if several peers answer together."""

    event: StepStarted | StepDone | StepFailed


class Remembered(Struct, frozen=True, gc=False):
    """The data that a driver needs to continue this conversation in another process or under another hub.

    It must be small and JSON. Each one replaces the one before it. It is stored in the catalog, not as an
    event.
    """

    memory: dict[str, Any]


class Done(Struct, frozen=True, gc=False):
    """The answer is complete. `finish_reason`: stop, length, tool_calls or content_filter, as OpenAI names
    them, refusal, or pause_turn if the client is to send the answer back, so that the model continues.
    `stop_sequence`: that of the client's which ended the answer, if the provider says so."""

    finish_reason: str = "stop"
    stop_sequence: str = ""


class Spooled(Struct, frozen=True, gc=False):
    """The outputs that a program's spool holds up to `offset` (bytes).

    The outputs and the offset are committed together, so each byte is logged once, even if the hub or the
    program is killed.
    """

    source: str
    offset: int
    outputs: tuple[Plain, ...] = ()


Plain = (
    Began
    | Text
    | Late
    | ToolUse
    | ToolResult
    | Reasoned
    | Permission
    | Paused
    | PassedOn
    | Withdrawn
    | Usage
    | Record
    | Planned
    | Shared
    | Remembered
    | Done
)
Output = Plain | Spooled
