"""Socket.IO (`/socket.io/`): what clients ask for, and the answers to it.

The events of a session are encoded in `socketio_events`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from rhetor.codec.typed_json import decoded, items, kept, no_object, nothing, texts, unprocessable
from rhetor.dialects.event_filter import types_of
from rhetor.dialects.extras import Extras
from rhetor.dialects.peer_socket import Delimiter, Id, Sender
from rhetor.domain.command import AnswerPermission, SendMessage
from rhetor.domain.event import PAYLOADS
from rhetor.domain.plan import IfBusy
from rhetor.domain.questions import Answers
from rhetor.errors import Malformed, RhetorError, Unprocessable

OUTPUT, ERROR, COMPLETE = "claude-output", "claude-error", "claude-complete"
STATUS, TOOL = "session-status", "tool-execution"
NAMES = frozenset({OUTPUT, ERROR, COMPLETE, STATUS, TOOL})
RAW = "event"
MOST_CURSORS = 200
MOST_FILTERS = 100
MOST_TOKEN = 64 << 10  # as in the head of a request
MOST_NAME = 100  # characters of a name, as an error shows it


class Filter(msgspec.Struct, frozen=True):
    """What a subscription sends: which of the five events, and the types of the hub's events that are sent
    unchanged, as `event`."""

    names: frozenset[str] = NAMES
    types: frozenset[str] = frozenset()


ALL = Filter()


def filter_of(events: Sequence[str] | None) -> Filter:
    """Return the filter with these names: some of the five, `event` for all events unchanged, a type of
    event, or a family of types such as `tool.*`. None: the five.

    Raises:
        Unprocessable: a name is unknown.
    """
    if events is None:
        return ALL
    types: set[str] = set()
    for name in events:
        if name not in NAMES:
            types |= PAYLOADS.keys() if name == RAW else types_of([name[:MOST_NAME]]) or frozenset()
    return Filter(NAMES.intersection(events), frozenset(types))


class Auth(msgspec.Struct, frozen=True):
    """The payload of a CONNECT. `cursors`: the sessions to follow, and where each continues."""

    token: str | None = None
    cursors: dict[str, str] = msgspec.field(default_factory=dict)


class _Auth(msgspec.Struct):
    token: Annotated[str, Meta(max_length=MOST_TOKEN)] | None = None
    cursors: Raw = msgspec.field(default_factory=no_object)


def auth_of(payload: Raw | None) -> Auth:
    """Return the payload of a CONNECT.

    Raises:
        Unprocessable: it has a wrong type, or too many cursors.
    """
    found = _Auth() if payload is None else decoded(payload, _Auth, "auth")
    return Auth(found.token, texts(found.cursors, "auth.cursors", MOST_CURSORS))


class Subscribe(msgspec.Struct, frozen=True):
    """Follow a session, from `cursor` or else from its beginning."""

    session_id: str
    cursor: str | None = None
    filter: Filter = ALL


class _Subscribe(msgspec.Struct):
    session_id: Id
    cursor: Id | None = None
    events: Raw = msgspec.field(default_factory=nothing)

    def request(self) -> Subscribe:
        return Subscribe(self.session_id, self.cursor, filter_of(self._names()))

    def _names(self) -> list[str] | None:
        if bytes(self.events) == b"null":
            return None
        try:
            return [msgspec.json.decode(each, type=str) for each in items(self.events, MOST_FILTERS)]
        except msgspec.ValidationError as error:
            raise unprocessable("events", f"must be a list of at most {MOST_FILTERS} names") from error


class Unsubscribe(msgspec.Struct, frozen=True):
    """Stop following a session. None of its events is sent after the acknowledgement."""

    session_id: Id


class _Send(Extras, frozen=True, rename={"from_": "from"}):
    session_id: Id
    content: str
    execute: bool = False
    delimiter: Delimiter | None = None
    if_busy: IfBusy = "queue"
    command_id: Id | None = None
    from_: Sender = ""

    def command(self) -> SendMessage:
        return SendMessage(
            self.whole(self.content),
            session_id=self.session_id,
            execute=self.execute,
            delimiter=self.delimiter,
            if_busy=self.if_busy,
            command_id=self.command_id,
            from_=self.from_,
            **self.extras("send"),
        )


class _Permission(msgspec.Struct, frozen=True):
    session_id: Id
    request_id: Id
    option_id: Id | None = None
    answers: Raw = msgspec.field(default_factory=no_object)
    command_id: Id | None = None

    def command(self) -> AnswerPermission:
        kept(self.answers, "answers")  # checks the size
        answers = decoded(self.answers, Answers, "answers") or None
        if self.option_id is None and answers is None:
            raise Unprocessable("option_id or answers is required")
        return AnswerPermission(self.session_id, self.request_id, self.option_id, self.command_id, answers)


Request = Subscribe | Unsubscribe | SendMessage | AnswerPermission


def decode(arguments: Sequence[Raw]) -> Request:
    """Return the request in the arguments of an event.

    Raises:
        Malformed: there is no such event.
        Unprocessable: the argument does not match.
    """
    name = _name(arguments[0])
    body = arguments[1] if len(arguments) > 1 else Raw(b"{}")
    match name:
        case "subscribe":
            return decoded(body, _Subscribe, name).request()
        case "unsubscribe":
            return decoded(body, Unsubscribe, name)
        case "send":
            return decoded(body, _Send, name).command()
        case "permission":
            return decoded(body, _Permission, name).command()
    raise Malformed(f"unknown event {name[:100]!r}; send subscribe, unsubscribe, send or permission")


def _name(argument: Raw) -> str:
    try:
        return msgspec.json.decode(argument, type=str)
    except msgspec.ValidationError:
        return ""


def session_of(arguments: Sequence[Raw]) -> str | None:
    """Return the `session_id` of a request that may be invalid."""
    try:
        return msgspec.json.decode(arguments[1], type=Unsubscribe).session_id
    except (IndexError, msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def problem(error: RhetorError) -> dict[str, Any]:
    """Return an error as the value of an acknowledgement."""
    said = {
        "code": error.code,
        "status": error.status,
        "detail": error.detail,
        "retryable": error.retryable,
    }
    return {**error.data, **said}


def said(error: RhetorError) -> dict[str, Any]:
    """Return an error as the payload of `claude-error`."""
    return {**error.data, "message": error.detail, "code": error.code, "retryable": error.retryable}
