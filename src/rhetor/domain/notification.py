"""Notifications: short messages about events, for people who do not look at the hub.

A notification has ids and a short text. It never has the content of a message, an answer or a tool call.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from msgspec import Struct, field

from .event import (
    BudgetReached,
    Payload,
    PeerStatusChanged,
    PermissionAsked,
    QuotaPaused,
    TurnCompleted,
    TurnFailed,
)

About = Literal[
    "permission.asked", "turn.failed", "peer.stuck", "budget", "quota.paused", "turn.completed", "test"
]
TEST: About = "test"
STUCK = "stuck"
TEXT_LENGTH = 200  # characters of a text; longer ones are cut
_MINUTE = 60


class Notification(Struct, frozen=True):
    """What a recipient is sent. `id`: the same in each attempt. `at`: when it happened, in RFC 3339.
    `session_id`, `plan_id`, `turn_id`: where. `data`: facts that depend on the type."""

    id: str
    type: About
    at: str
    text: str
    peer: str | None = None
    session_id: str | None = None
    plan_id: str | None = None
    turn_id: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


class Recipient(Struct, frozen=True):
    """An entry of `notify:`. `name` is unique. `on`: the types that it wants. `after`: the seconds that a
    completed turn must have taken."""

    name: str
    kind: str
    on: frozenset[str]
    after: float = 0.0

    def wants(self, notice: Notice) -> bool:
        return notice.about in self.on and (notice.seconds is None or notice.seconds >= self.after)


class NotDelivered(Exception):
    """A notification was not delivered. `detail`: why; `hint`: what to do, if that is known."""

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


class Notice(Struct, frozen=True):
    """What a notification says about an event. `seconds`: how long a completed turn took."""

    about: About
    text: str
    data: dict[str, Any]
    seconds: float | None = None


def notice_of(payload: Payload, peer: str) -> Notice | None:
    """Return the notice about an event of the peer; None if no notification has its type."""
    match payload:
        case PermissionAsked():
            return Notice("permission.asked", _asked(payload, peer), _request(payload))
        case TurnFailed(code, detail, retryable):
            data = {"code": code, "retryable": retryable}
            return Notice("turn.failed", f"{peer} failed ({code}): {detail}", data)
        case PeerStatusChanged(status="stuck", evidence=evidence):
            return Notice("peer.stuck", f"{peer} is stuck: {evidence}", {})
        case BudgetReached():
            return Notice("budget", _budget(payload, peer), _limit(payload))
        case QuotaPaused(resets_at, reason):
            return Notice("quota.paused", f"{peer} has reached its limit: {reason}", {"resets_at": resets_at})
        case TurnCompleted(seconds=seconds):
            return Notice("turn.completed", f"{peer} is done after {_time(seconds)}", _end(payload), seconds)
    return None


def short(text: str) -> str:
    """Return the text in one line of at most `TEXT_LENGTH` characters, without control characters."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= TEXT_LENGTH else f"{line[: TEXT_LENGTH - 1]}…"


def _asked(asked: PermissionAsked, peer: str) -> str:
    return f"{peer} has a question" if asked.questions else f"{peer} asks for permission: {asked.tool}"


def _request(asked: PermissionAsked) -> dict[str, Any]:
    return {"request_id": asked.request_id, "tool": asked.tool, "expires_at": asked.expires_at}


def _budget(reached: BudgetReached, peer: str) -> str:
    share = f"{reached.share:.0%} of {reached.limit} is used in the budget {reached.budget}"
    if reached.then == "ask":
        return f"{peer} is paused: {share}"
    return share if reached.then == "note" else f"{reached.peer} answers instead of {peer}: {share}"


def _limit(reached: BudgetReached) -> dict[str, Any]:
    return {
        "budget": reached.budget,
        "limit": reached.limit,
        "value": reached.value,
        "spent": reached.spent,
        "then": reached.then,
        "resets_at": reached.resets_at,
    }


def _end(end: TurnCompleted) -> dict[str, Any]:
    return {"seconds": end.seconds, "finish_reason": end.finish_reason, "cost": end.cost}


def _time(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / _MINUTE), _MINUTE)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


TYPES: tuple[str, ...] = tuple(each for each in get_args(About) if each != TEST)
