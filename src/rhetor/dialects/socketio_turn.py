"""What a Socket.IO subscription knows of the turn that is running.

These are immutable values, because views are copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET, Struct
from msgspec.structs import replace

from rhetor.domain import event as ev

EXPIRED, POLICY = "expiry", "policy"
_CALL_IDS = ("tool_use_id", "call_id", "itemId", "callId", "toolCallId")  # in the details of agents' requests


class Call(Struct, frozen=True):
    """A tool call without a result. `name`: None if it is not known; `is_client`: a client runs it;
    `is_denied`: permission was denied."""

    id: str
    name: str | None
    is_client: bool = False
    is_denied: bool = False


class Asked(Struct, frozen=True):
    """A permission request without an answer. `call_id`: of the tool call, or else the request's own id;
    `rejects`: the options that deny it; `data`: the data of the event."""

    request_id: str
    tool: str
    call_id: str
    rejects: frozenset[str]
    data: Any = None

    @classmethod
    def of(cls, payload: ev.PermissionAsked) -> Asked:
        # a paused turn asks how it continues, not for a tool: only such a request does not expire
        options = payload.options if payload.expires_at is not None else ()
        rejects = frozenset(o.option_id for o in options if o.kind.startswith("reject"))
        call_id = _call_id(payload.detail) or payload.request_id
        return cls(payload.request_id, payload.tool, call_id, rejects, ev.data_of(payload))

    def is_denied_by(self, answer: ev.PermissionAnswered) -> bool:
        if answer.option_id is not None:
            return answer.option_id in self.rejects
        return answer.answers is UNSET and answer.by in (EXPIRED, POLICY)


def _call_id(detail: Any) -> str | None:
    if not isinstance(detail, dict):
        return None
    of_acp = detail.get("toolCall")
    for found in (detail, of_acp if isinstance(of_acp, dict) else {}):
        for name in _CALL_IDS:
            if isinstance(value := found.get(name), str) and value:
                return value
    return None


class ShownTurn(Struct, frozen=True):
    """One turn. `model`: that of the peer, or else the peer's name. `told`: the number of characters of its
    answer in the events so far; `last`: the number of the last of these events, also if it was folded.
    `is_guests`: another peer than the session's own answers it."""

    id: str
    model: str = ""
    calls: tuple[Call, ...] = ()
    asked: tuple[Asked, ...] = ()
    told: int = 0
    last: int = 0
    is_guests: bool = False

    @property
    def is_waiting(self) -> bool:
        """Whether a permission request, or a tool that the client runs, has no answer yet."""
        return bool(self.asked) or any(call.is_client for call in self.calls)

    def call(self, id: str) -> Call | None:
        return next((call for call in self.calls if call.id == id), None)

    def without_call(self, id: str) -> ShownTurn:
        return replace(self, calls=tuple(call for call in self.calls if call.id != id))

    def with_call(self, call: Call) -> ShownTurn:
        return replace(self.without_call(call.id), calls=(*self.without_call(call.id).calls, call))

    def request(self, id: str) -> Asked | None:
        return next((asked for asked in self.asked if asked.request_id == id), None)

    def without_request(self, id: str) -> ShownTurn:
        return replace(self, asked=tuple(asked for asked in self.asked if asked.request_id != id))


class Text(Struct, frozen=True, eq=False):
    """Text that was not sent yet: adjacent pieces of one channel of one turn. `first` and `last`: the numbers
    of its first and last event; `at`: the time of the last one.

    The pieces are a chain, so that adding one does not copy the others.
    """

    turn_id: str
    channel: ev.Channel
    first: int
    last: int
    at: int
    pieces: tuple[Any, str]

    def __eq__(self, other: object) -> bool:
        """Compare the numbers, which determine the text."""
        return isinstance(other, Text) and self._key == other._key

    __hash__ = None  # type: ignore[assignment]

    @property
    def _key(self) -> tuple[object, ...]:
        return self.turn_id, self.channel, self.first, self.last

    def continues(self, turn_id: str | None, channel: str) -> bool:
        return (self.turn_id, self.channel) == (turn_id, channel)

    def added(self, seq: int, at: int, piece: str) -> Text:
        return Text(self.turn_id, self.channel, self.first, seq, at, (self.pieces, piece))

    @property
    def whole(self) -> str:
        return "".join(reversed(list(self._backwards())))

    def _backwards(self) -> Iterator[str]:
        pieces: tuple[Any, str] | None = self.pieces
        while pieces is not None:
            pieces, piece = pieces
            yield piece
