"""A turn: one message to one peer, and its answer. A state machine without clock or I/O."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from msgspec import UNSET

from rhetor.errors import one_line

from . import event as ev
from .doing import Doing
from .output import (
    Began,
    Done,
    Late,
    Output,
    PassedOn,
    Paused,
    Permission,
    Planned,
    Reasoned,
    Record,
    Remembered,
    Shared,
    Spooled,
    Text,
    ToolResult,
    ToolUse,
    Usage,
    Withdrawn,
)


class TurnState(StrEnum):
    """The state of a turn. The last four are final."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


OPEN = frozenset({TurnState.ACCEPTED, TurnState.QUEUED, TurnState.RUNNING, TurnState.WAITING})
STARTED = frozenset({TurnState.RUNNING, TurnState.WAITING})
UNSTARTED = OPEN - STARTED

# the finish reasons with which an answer without text has failed
WITHHELD = {
    "length": "the limit of tokens was reached first",
    "content_filter": "a content filter withheld it",
    "refusal": "the model refused to answer",
}

_SHOWN = (Text, ToolUse, ToolResult, Planned, Permission)  # outputs that clients see before the turn ends


class TurnOver(Exception):
    """The turn's state does not allow the call, for example because it has ended: a bug in the caller."""


class Turn:
    """The state of one turn. Each method records what happened and returns the payloads for the log. `calls`:
    those of tools that the caller runs after the turn. `doing`: what the peer does now.

    After a payload of `TurnEnd`, every further call raises `TurnOver`, except `told`.
    """

    __slots__ = (
        *("_has_begun", "_has_output", "_parts", "_usage", "_waiting_for"),
        *("calls", "doing", "message_id", "peer", "state", "turn_id"),
    )

    def __init__(self, turn_id: str, message_id: str, peer: str) -> None:
        self.turn_id = turn_id
        self.message_id = message_id
        self.peer = peer
        self.state = TurnState.ACCEPTED
        self.calls: tuple[ev.ToolCalled, ...] = ()
        self.doing = Doing()
        self._has_output = self._has_begun = False
        self._parts: list[str] = []
        self._usage: list[Usage] = []
        self._waiting_for: set[str] = set()

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._parts)

    def start(self, model: str | None = None) -> ev.TurnStarted:
        """Start the turn. `model`: as in `TurnStarted`."""
        self._require(*UNSTARTED)
        self.state = TurnState.RUNNING
        return ev.TurnStarted(self.peer, model)

    def step(self, output: Output, seconds: float = 0.0) -> tuple[ev.Payload, ...]:
        """Return the payloads for an output of the peer. `seconds`: since the turn started."""
        self._require(*STARTED)
        if not self._has_begun and isinstance(output, _SHOWN):
            self._has_output = True
            self._has_begun = not (isinstance(output, Text) and output.channel == "stderr")
        self.doing.note(output)
        match output:
            case Text(text, channel):
                if channel == "answer":
                    self._parts.append(text)
                return (ev.OutputDelta(text, channel),) if text else ()
            case ToolUse(call_id, name, arguments, runs_at):
                if runs_at == "client":
                    self._wait_for(call_id)
                called = ev.ToolCalled(call_id, name, arguments, runs_at)
                if runs_at == "caller":
                    self.calls += (called,)
                return (called,)
            case ToolResult(call_id, result, is_error):
                self.told(call_id)
                return (ev.ToolReturned(call_id, result, is_error),)
            case Reasoned(vendor, data):
                return (ev.ReasoningKept(vendor, data),)
            case Permission():
                return (self._ask(output),)
            case Paused(asked, why):
                return (self._ask(asked),) if why is None else (why, self._ask(asked))
            case PassedOn(peer, why):
                started = ev.TurnStarted(peer, instead_of=self.peer)
                self.peer, self.doing = peer, Doing()
                return (started,) if why is None else (why, started)
            case Withdrawn(request_id):
                if request_id not in self._waiting_for:
                    return ()
                self.told(request_id)
                return (ev.PermissionAnswered(request_id, None, self.peer),)
            case Usage():
                self._usage.append(output)
                return (_usage_reported(output),)
            case Record(record, raw):
                return (ev.AgentRecord(record, raw, "base64" if raw is not None else None),)
            case Planned(entries):
                return (ev.AgentPlan(entries),)
            case Shared(event):
                return (event,)
            case Spooled(outputs=outputs):
                return tuple(payload for inner in outputs for payload in self.step(inner, seconds))
            case Began() | Late() | Remembered():  # an earlier turn has the text of `Late`
                return ()
            case Done():
                return self._complete(output, seconds)
        assert_never(output)

    @property
    def has_output(self) -> bool:
        """Whether the peer has said or done anything that clients see before the turn ends, apart from what
        is on stderr."""
        return self._has_begun

    def take_up(
        self, text: str, waiting_for: Iterable[str], usage: Iterable[Usage] = (), *, has_output: bool = True
    ) -> None:
        """Continue a turn that an earlier hub started. `text`: its answer so far; `waiting_for`: its open
        requests; `usage`: of its model calls so far."""
        self._require(*UNSTARTED)
        self.state = TurnState.RUNNING
        if text:
            self._parts.append(text)
        self._usage += usage
        self._has_output = self._has_begun = has_output
        for id in waiting_for:
            self._wait_for(id)

    def told(self, id: str) -> None:
        """Stop waiting for the answer to the request `id`. No effect if the turn does not wait for it."""
        self._waiting_for.discard(id)
        self.doing.over(id)
        if self.state is TurnState.WAITING and not self._waiting_for:
            self.state = TurnState.RUNNING

    def fail(
        self, code: str, detail: str, retryable: bool, data: dict[str, object]
    ) -> tuple[ev.Payload, ...]:
        """End the turn with an error."""
        return self._break_off(TurnState.FAILED, ev.TurnFailed(code, one_line(detail), retryable, data))

    def cancel(self, by: str) -> tuple[ev.Payload, ...]:
        """End the turn because `by` cancelled it."""
        return self._break_off(TurnState.CANCELLED, ev.TurnCancelled(by))

    def interrupt(self, reason: str) -> tuple[ev.Payload, ...]:
        """End the turn so that the next one can start."""
        return self._break_off(TurnState.INTERRUPTED, ev.TurnInterrupted(reason))

    def _complete(self, done: Done, seconds: float) -> tuple[ev.Payload, ...]:
        finish_reason = done.finish_reason
        if finish_reason in WITHHELD and not (self.text.strip() or self.calls):
            # an empty answer must not pass for a real one
            detail = f"{self.peer} gave an answer without text: {WITHHELD[finish_reason]}"
            data: dict[str, object] = {"finish_reason": finish_reason, "hint": "rephrase the message"}
            return self.fail("empty_answer", detail, False, data)
        self.state = TurnState.COMPLETED
        usage, cost = total_usage(self._usage)
        seconds = round(seconds, 3)
        called = tuple(call.name for call in self.calls) or UNSET
        stop = done.stop_sequence or UNSET
        end = ev.TurnCompleted(self.message_id, self.text, finish_reason, usage, cost, seconds, called, stop)
        return (end,)

    def _break_off(self, state: TurnState, end: ev.TurnEnd) -> tuple[ev.Payload, ...]:
        self._require(*OPEN)
        self.state = state
        # also without text: a dialect that ends such a turn with two frames has a number for each of them
        return (ev.OutputPartial(self.text), end) if self._has_output else (end,)

    def _ask(self, asked: Permission) -> ev.PermissionAsked:
        self._wait_for(asked.request_id)
        self.doing.ask(asked)
        questions = asked.questions or UNSET
        return ev.PermissionAsked(
            asked.request_id, asked.tool, asked.detail, asked.options, asked.expires_at, questions
        )

    def _wait_for(self, id: str) -> None:
        self._waiting_for.add(id)
        self.state = TurnState.WAITING

    def _require(self, *states: TurnState) -> None:
        if self.state not in states:
            raise TurnOver(f"turn {self.turn_id} is {self.state}")


def _usage_reported(usage: Usage) -> ev.UsageReported:
    return ev.UsageReported(
        usage.model,
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cost,
        usage.cache_written_tokens or UNSET,
        usage.reasoning_tokens or UNSET,
    )


def total_usage(calls: list[Usage]) -> tuple[dict[str, int | None] | None, str | None]:
    """Return the tokens of all model calls of a turn, and their cost, which is None if one is unknown."""
    if not calls:
        return None, None
    cached = [c.cached_tokens for c in calls if c.cached_tokens is not None]
    usage: dict[str, int | None] = {
        "input_tokens": sum(c.input_tokens for c in calls),
        "output_tokens": sum(c.output_tokens for c in calls),
        "cached_tokens": sum(cached) if cached else None,
    }
    if written := sum(c.cache_written_tokens for c in calls):
        usage["cache_written_tokens"] = written
    if thought := sum(c.reasoning_tokens for c in calls):
        usage["reasoning_tokens"] = thought
    costs = [c.cost for c in calls if c.cost is not None]
    return usage, f"{sum(map(Decimal, costs)):f}" if len(costs) == len(calls) else None
