"""The interactive loop (`/ws`): calls become commands, and events become notifications."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from rhetor.codec.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, Call, Refused, notice, params_of
from rhetor.codec.typed_json import (
    check_total,
    decoded,
    items,
    kept,
    no_list,
    no_object,
    nothing,
    starts_with,
    text_of,
    tool_result,
)
from rhetor.domain import command as c
from rhetor.domain import event as ev
from rhetor.domain.plan import IfBusy
from rhetor.domain.session import SessionState, Voice
from rhetor.domain.tool import MOST, Tool
from rhetor.errors import RhetorError, TooLarge
from rhetor.store.base import Record

from .extras import Extras
from .notices import TURN_ENDS, numbered, shared
from .peer_socket import Delimiter, Id, Sender
from .peer_socket import Subscribe as Subscribe

Text = Annotated[str, Meta(max_length=64 << 10)]
TOOLS_BYTES = 3 << 20  # more than the largest allowed number of tools with the longest descriptions
_AFTER_THE_END = frozenset({ev.OutputPartial.type, ev.UsageReported.type})  # may also follow a turn's end
OVER = frozenset({SessionState.STOPPED, SessionState.EXPIRED, SessionState.FAILED})


class Status(IntEnum):
    STARTING, ACTIVE, STOPPED, ERROR, PAUSED = range(5)


OK = 0  # the status in replies to a message and to a tool's result
STATUS = {
    SessionState.ACTIVE: Status.ACTIVE,
    SessionState.WAITING: Status.ACTIVE,
    SessionState.PAUSED: Status.PAUSED,
    SessionState.STOPPED: Status.STOPPED,
    SessionState.EXPIRED: Status.STOPPED,
    SessionState.FAILED: Status.ERROR,
}


class _Tool(msgspec.Struct):
    name: Annotated[str, Meta(max_length=64)]
    description: Annotated[str, Meta(max_length=16_384)] = ""
    parameters: Raw = msgspec.field(default_factory=no_object)


class _SessionParams(msgspec.Struct, rename="camel"):
    peer: Id | None = None
    language: Annotated[str, Meta(max_length=100)] | None = None
    model: Id | None = None
    context: Raw = msgspec.field(default_factory=nothing)
    tools: Raw = msgspec.field(default_factory=no_list)
    system_prompt: Text | None = None


class _Start(msgspec.Struct, rename="camel"):
    user_id: Id
    session_params: _SessionParams | None = None
    command_id: Id | None = msgspec.field(default=None, name="command_id")


class _Message(Extras, frozen=True, rename={"session_id": "sessionId", "from_": "from"}):
    session_id: Id
    message: str
    execute: bool = False
    delimiter: Delimiter | None = None
    if_busy: IfBusy = "queue"
    command_id: Id | None = None
    from_: Sender = ""


class _ToolResult(msgspec.Struct, rename="camel"):
    session_id: Id
    tool_call_id: Id
    result: Raw
    command_id: Id | None = msgspec.field(default=None, name="command_id")


class _Place(msgspec.Struct, rename="camel"):
    session_id: Id
    cursor: Id | None = None


class _Stop(msgspec.Struct, rename="camel"):
    session_id: str  # any text: stopping an unknown session succeeds


class Echo(msgspec.Struct, frozen=True):
    """Reply with `value`."""

    value: Raw | None


class _Echo(msgspec.Struct):
    message: Raw | UnsetType = UNSET


class Resume(msgspec.Struct, frozen=True):
    """Resume the session, and follow it on this connection from `cursor`."""

    command: c.ResumeSession
    cursor: str | None


Request = c.StartSession | c.SendMessage | c.AnswerTool | c.PauseSession | c.StopSession | Resume | Echo


def decode(call: Call) -> Request:
    """Return the request that a call makes.

    Raises:
        Refused: the method is unknown, or its params are invalid.
        Unprocessable, TooLarge: the context, the tools or the result are too large.
    """
    match call.method:
        case "startSession":
            return _start(params_of(call, _Start))
        case "sendUserMessage":
            return _message(params_of(call, _Message))
        case "provideToolResult":
            params = params_of(call, _ToolResult)
            result = tool_result(params.result, "params.result")
            return c.AnswerTool(params.session_id, params.tool_call_id, result, command_id=params.command_id)
        case "pauseSession":
            return c.PauseSession(params_of(call, _Place).session_id)
        case "resumeSession":
            place = params_of(call, _Place)
            return Resume(c.ResumeSession(place.session_id), place.cursor)
        case "stopSession":
            return c.StopSession(params_of(call, _Stop).session_id)
        case "echo":
            named = call.params is not None and starts_with(call.params, b"{")
            message = params_of(call, _Echo).message if named else UNSET
            return Echo(call.params if message is UNSET else message)
    raise Refused(METHOD_NOT_FOUND, f"unknown method {call.method[:100]!r}")


def _start(params: _Start) -> c.StartSession:
    options = params.session_params or _SessionParams()
    tools = _tools(options.tools)
    voice = Voice(options.system_prompt, _after_prompt(options), options.model)
    return c.StartSession(
        options.peer or "",
        metadata={"user_id": params.user_id},
        command_id=params.command_id,
        tools=tools,
        voice=voice,
        attended=True,
    )


def _tools(raw: Raw) -> tuple[Tool, ...]:
    place = "params.sessionParams.tools"
    if len(memoryview(raw)) > TOOLS_BYTES:
        raise TooLarge("tools", TOOLS_BYTES)
    try:
        each = items(raw, MOST)
    except msgspec.ValidationError as error:
        raise Refused(INVALID_PARAMS, f"{place}: must be a list of at most {MOST} tools") from error
    found = [decoded(tool, _Tool, f"{place}.{n}") for n, tool in enumerate(each)]
    check_total([tool.parameters for tool in found], place)
    parameters = [kept(tool.parameters, f"{place}.{n}.parameters") for n, tool in enumerate(found)]
    return tuple(Tool(t.name, t.description, of) for t, of in zip(found, parameters, strict=True))


def _after_prompt(options: _SessionParams) -> str:
    """Return the text that follows the system prompt."""
    parts: list[str] = []
    if options.language:
        parts.append(f"Answer in this language: {options.language}.")
    if (text := text_of(options.context, "params.sessionParams.context")) is not None:
        parts.append(f"What is known of the user's situation, as data:\n{text}")
    return "\n\n".join(parts)


def _message(params: _Message) -> c.SendMessage:
    return c.SendMessage(
        params.whole(params.message),
        session_id=params.session_id,
        execute=params.execute,
        delimiter=params.delimiter,
        if_busy=params.if_busy,
        command_id=params.command_id,
        from_=params.from_,
        **params.extras("params"),
    )


class LoopView(msgspec.Struct):
    """A session as one client of the loop sees it: chunks (one per turn is final), calls of tools that the
    client runs, and the status of the session.

    `prev`: the number of the last frame that the client has, 0 for none; `running`: the turns that have not
    ended; `folded`: those of them whose chunks were folded into one event. A turn that failed or was
    interrupted ends with two frames, a status and a final chunk. Each frame has its own number: that of the
    status is one less than the event's, and no other frame has it.
    """

    prev: int = 0
    running: frozenset[str] = frozenset()
    folded: frozenset[str] = frozenset()
    has_ended: bool = False

    @property
    def is_over(self) -> bool:
        return self.has_ended and not self.running

    def encode(self, record: Record) -> bytes:
        turn = record.turn_id
        name, make = "loop", _frames
        if turn is not None and self._follow(turn, record.type):
            name, make = "loop.whole", _whole
        if record.type == ev.SessionStateChanged.type:
            self.has_ended = _state(record.event.payload) in OVER
        frames = shared(record, name, self.prev, make)
        self.prev = record.seq if frames else self.prev
        return frames

    def _follow(self, turn: str, type: str) -> bool:
        """Note an event of a turn. Return whether it ends a turn whose chunks were folded."""
        if type in TURN_ENDS:
            was_folded = turn in self.folded
            self.running, self.folded = self.running - {turn}, self.folded - {turn}
            return was_folded
        if turn not in self.running and type not in _AFTER_THE_END:
            self.running |= {turn}
        if type == ev.Folded.type:
            self.folded |= {turn}
        return False


def _state(payload: ev.Payload) -> SessionState:
    assert isinstance(payload, ev.SessionStateChanged)
    return SessionState(payload.state)


def _frames(record: Record, prev: int) -> Iterator[bytes]:
    match record.event.payload:
        case ev.OutputDelta(text, "answer"):
            yield _chunk(record, prev, text, is_final=False)
        case ev.ToolCalled(call_id, name, arguments, "client"):
            call = {"toolCallId": call_id, "toolName": name, "arguments": arguments}
            yield _notice("ToolCallNotification", record, call, numbered(record, prev))
        case ev.SessionStateChanged(state):
            yield _status(record, prev, STATUS[SessionState(state)], {"reason": state})
        case ev.TurnCompleted():
            yield _chunk(record, prev, "", is_final=True)
        case ev.TurnFailed(code, detail, retryable):
            yield from _failed_turn(record, prev, {"reason": code, "detail": detail, "retryable": retryable})
        case ev.TurnInterrupted(reason):
            yield from _failed_turn(
                record, prev, {"reason": "interrupted", "detail": reason, "retryable": True}
            )
        case ev.TurnCancelled():
            yield _chunk(record, prev, "", is_final=True)


def _whole(record: Record, prev: int) -> Iterator[bytes]:
    """Yield the frames for the end of a turn whose chunks were folded. If the turn completed, its whole
    answer replaces earlier chunks."""
    payload = record.event.payload
    if isinstance(payload, ev.TurnCompleted):
        yield _chunk(record, prev, payload.text, is_final=True, also={"whole": True})
    else:
        yield from _frames(record, prev)


def _failed_turn(record: Record, prev: int, why: dict[str, Any]) -> Iterator[bytes]:
    before = record.seq - 1
    yield _status(record, prev, Status.ERROR, why, seq=before)
    yield _chunk(record, before, "", is_final=True, also={"status": Status.ERROR, **why})


def _status(
    record: Record, prev: int, status: Status, why: dict[str, Any], *, seq: int | None = None
) -> bytes:
    body = {"status": status, **why}
    return _notice("SessionStatusNotification", record, body, numbered(record, prev, seq=seq))


def _chunk(
    record: Record, prev: int, text: str, *, is_final: bool, also: dict[str, Any] | None = None
) -> bytes:
    body = {"chunk": text, "isFinal": is_final, **(also or {})}
    return _notice("AIMessageChunkNotification", record, body, numbered(record, prev))


def _notice(method: str, record: Record, body: dict[str, Any], place: dict[str, Any]) -> bytes:
    turn = {"turnId": record.turn_id} if record.turn_id else {}
    return notice(method, {"sessionId": record.stream, **body, **turn, **place})


def unshared(session_id: str, error: RhetorError) -> bytes:
    """Return the last frame of a session that the client may no longer read."""
    why = {"reason": error.code, "detail": error.detail}
    return notice("SessionStatusNotification", {"sessionId": session_id, "status": Status.STOPPED, **why})


def names(event: ev.Event) -> tuple[str, ...]:
    """Return the names of an event for subscribers inside the process; empty if the loop has no name."""
    match event.payload:
        case ev.SessionStateChanged("active"):
            return ("ai_loop.session_started" if event.seq == 1 else "ai_loop.status.resumed",)
        case ev.SessionStateChanged("paused"):
            return ("ai_loop.status.paused",)
        case ev.SessionStateChanged():
            return ("ai_loop.session_ended",)
        case ev.MessageAccepted():
            return ("ai_loop.message.user_processed",)
        case ev.OutputDelta(_, "answer"):
            return ("ai_loop.message.ai_chunk_received",)
        case ev.ToolCalled():
            return ("ai_loop.tool.call_generated", "ai_loop.tool_call.identified")
        case ev.ToolReturned():
            return ("ai_loop.tool_call.result_processed",)
        case ev.TurnFailed() | ev.TurnInterrupted():
            return ("ai_loop.error",)
    return ()
