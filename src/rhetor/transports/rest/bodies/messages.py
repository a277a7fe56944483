"""Messages to peers and sessions, answers to requests, and queries over what was said."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Raw, field

from rhetor.codec.forms import PLAIN
from rhetor.codec.typed_json import Object, decoded, kept, no_object, tool_result
from rhetor.dialects.extras import Extras
from rhetor.dialects.peer_socket import Delimiter, Id, Sender, Window
from rhetor.domain.command import AnswerPermission, AnswerTool, SendMessage
from rhetor.domain.plan import IfBusy
from rhetor.domain.questions import Answers
from rhetor.errors import Unprocessable
from rhetor.hub.sessions.history import Wanted

from .common import Body, Folder, Limit, Query, Text, Time, milliseconds, one_of


class HowToSend(Extras, Body, frozen=True, kw_only=True):
    """The members that every body with a message has. `model` (`auto` or `provider/model`) and `system` (a
    prompt) replace those of a specialist for this message. `parts`: images, audio and files for peers that
    take them; text parts follow the content. `response_schema`: the JSON Schema of the answer."""

    execute: bool = False
    delimiter: Delimiter | None = None
    if_busy: IfBusy = "queue"
    command_id: Id | None = None
    from_: Sender = field(name="from", default="")
    system: Text | None = None


class MessageBody(HowToSend, frozen=True, kw_only=True):
    """A message to a peer. `context_window` without `session_id` opens a session that is kept. `cwd`: the
    caller's folder, in which a coding agent works; a session keeps the folder in which it was opened."""

    content: Text
    session_id: Id | None = None
    context_window: Window | None = None
    cwd: Folder | None = None

    def command(self, target: str, key: str | None) -> SendMessage:
        return SendMessage(
            self.whole(self.content),
            target,
            self.session_id,
            self.context_window,
            self.execute,
            self.delimiter,
            self.if_busy,
            key or self.command_id,
            self.from_,
            cwd=self.cwd,
            **self.extras(),
        )


class SessionMessageBody(HowToSend, frozen=True, kw_only=True):
    message: Text

    def command(self, session_id: str, key: str | None) -> SendMessage:
        return SendMessage(
            self.whole(self.message),
            None,
            session_id,
            None,
            self.execute,
            self.delimiter,
            self.if_busy,
            key or self.command_id,
            self.from_,
            **self.extras(),
        )


class ToolResultBody(Body, frozen=True, kw_only=True):
    """The result of a tool, as any JSON value. `is_error`: report to the model that the tool failed."""

    result: Raw
    is_error: bool = False
    command_id: Id | None = None

    def command(self, stream: str, call_id: str, key: str | None) -> AnswerTool:
        result = tool_result(self.result, "body.result")
        return AnswerTool(stream, call_id, result, self.is_error, key or self.command_id)


_LABELS = {"type": "array", "items": {"type": "string"}}
ANSWERS = {"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, _LABELS]}}


class OptionBody(Body, frozen=True, kw_only=True):
    """An answer to a permission request: one of its options, or `answers` to its questions by their ids, each
    a list of labels or a text."""

    constraints = one_of(option_id={"type": "string"}, answers={"type": "object", "minProperties": 1})
    option_id: Id | None = None
    answers: Annotated[Object, Meta(extra_json_schema=ANSWERS)] = field(default_factory=no_object)
    command_id: Id | None = None

    def command(self, stream: str, request_id: str, key: str | None) -> AnswerPermission:
        kept(self.answers, "body.answers")  # checks the size
        answers = decoded(self.answers, Answers, "body.answers")
        if self.option_id is None and not answers:
            raise Unprocessable("body: option_id or answers is required")
        return AnswerPermission(stream, request_id, self.option_id, key or self.command_id, answers or None)


class BlobQuery(Query, frozen=True, kw_only=True):
    """`name`: of the file, for readers."""

    name: Annotated[str, Meta(max_length=200, pattern=PLAIN)] | None = None


class WaitBody(Body, frozen=True, kw_only=True):
    """The peers to wait for. `timeout`: in seconds; without it, the wait has no limit."""

    peers: Annotated[list[Id], Meta(min_length=1, max_length=1000)]
    mode: Literal["any", "all"] = "all"
    timeout: Annotated[float, Meta(ge=0, le=10**6)] | None = None


class FoundQuery(Query, frozen=True, kw_only=True):
    """Which messages to return: those that have all the given values. `session`: its id or name. `since`: an
    RFC 3339 time. `model`: with or without its provider."""

    limit: Limit = 20
    peer: Id | None = None
    session: Id | None = None
    since: Time | None = None
    model: Id | None = None

    def wanted(self) -> Wanted:
        """Return what is looked for.

        Raises:
            Malformed: `since` is not an RFC 3339 time.
        """
        since = None if self.since is None else milliseconds(self.since)
        return Wanted(self.peer, self.session, since, self.model)


class HistoryQuery(FoundQuery, frozen=True, kw_only=True):
    """`before`: the `turn_id` of the last message of the page before."""

    before: Id | None = None


class SearchQuery(FoundQuery, frozen=True, kw_only=True):
    q: Annotated[str, Meta(min_length=1, max_length=1000)]


class CapableQuery(Query, frozen=True, kw_only=True):
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.7
