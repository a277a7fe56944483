"""The interactive loop: calls as commands, a session's events as its notices (wire page, section 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from rhetor.codec.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, Call, Refused, notice, params_of
from rhetor.domain import command as c
from rhetor.domain import event as ev
from rhetor.domain.plan import IfBusy
from rhetor.domain.session import SessionState, Voice
from rhetor.domain.tool import MOST, Tool
from rhetor.store.base import Record

from .notices import TURN_ENDS, numbered, shared
from .peer_socket import Delimiter, Id, Sender
from .peer_socket import Subscribe as Subscribe

Text = Annotated[str, Meta(max_length=64 << 10)]
KEPT_BYTES = 64 << 10
OVER = frozenset({SessionState.STOPPED, SessionState.EXPIRED, SessionState.FAILED})


class Status(IntEnum):
    STARTING, ACTIVE, STOPPED, ERROR, PAUSED = range(5)


OK = 0  # of a message, and of a tool's result
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
    parameters: dict[str, Any] = {}


class _Wishes(msgspec.Struct, rename="camel"):
    peer: Id | None = None
    language: Annotated[str, Meta(max_length=100)] | None = None
    model: Id | None = None
    context: Any = None
    tools: Annotated[list[_Tool], Meta(max_length=MOST)] = []
    system_prompt: Text | None = None


class _Start(msgspec.Struct, rename="camel"):
    user_id: Id
    session_params: _Wishes | None = None
    command_id: Id | None = msgspec.field(default=None, name="command_id")


class _Message(msgspec.Struct, rename={"session_id": "sessionId", "from_": "from"}):
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
    result: Any
    command_id: Id | None = msgspec.field(default=None, name="command_id")


class _Place(msgspec.Struct, rename="camel"):
    session_id: Id
    cursor: Id | None = None


class _Stop(msgspec.Struct, rename="camel"):
    session_id: str  # any: one that never was is stopped, too


class Echo(msgspec.Struct, frozen=True):
    """What is to be said back."""

    value: Any


class Resume(msgspec.Struct, frozen=True):
    """Take the session up on this connection, from `cursor`, and let it go on."""

    command: c.ResumeSession
    cursor: str | None


Asked = c.StartSession | c.SendMessage | c.AnswerTool | c.PauseSession | c.StopSession | Resume | Echo


def decode(call: Call) -> Asked:
    """What a call asks for.

    Raises:
        Refused: there is no such method, or these are not its params.
    """
    match call.method:
        case "startSession":
            return _start(params_of(call, _Start))
        case "sendUserMessage":
            return _message(params_of(call, _Message))
        case "provideToolResult":
            said = params_of(call, _ToolResult)
            return c.AnswerTool(said.session_id, said.tool_call_id, said.result, command_id=said.command_id)
        case "pauseSession":
            return c.PauseSession(params_of(call, _Place).session_id)
        case "resumeSession":
            place = params_of(call, _Place)
            return Resume(c.ResumeSession(place.session_id), place.cursor)
        case "stopSession":
            return c.StopSession(params_of(call, _Stop).session_id)
        case "echo":
            named = isinstance(call.params, dict) and "message" in call.params
            return Echo(call.params["message"] if named else call.params)  # type: ignore[call-overload, index]
    raise Refused(METHOD_NOT_FOUND, f"there is no method {call.method[:100]!r}")


def _start(said: _Start) -> c.StartSession:
    wishes = said.session_params or _Wishes()
    kept = [wishes.context, *(tool.parameters for tool in wishes.tools)]
    if any(len(msgspec.json.encode(value)) > KEPT_BYTES for value in kept):
        raise Refused(INVALID_PARAMS, f"context, and a tool's parameters, are at most {KEPT_BYTES} bytes")
    tools = tuple(Tool(tool.name, tool.description, tool.parameters) for tool in wishes.tools)
    voice = Voice(wishes.system_prompt, _besides(wishes), wishes.model)
    return c.StartSession(
        wishes.peer or "",
        metadata={"user_id": said.user_id},
        command_id=said.command_id,
        tools=tools,
        voice=voice,
        attended=True,
    )


def _besides(wishes: _Wishes) -> str:
    """What is said after the system prompt."""
    parts: list[str] = []
    if wishes.language:
        parts.append(f"Answer in this language: {wishes.language}.")
    if wishes.context is not None:
        context = wishes.context
        text = context if isinstance(context, str) else msgspec.json.encode(context).decode()
        parts.append(f"What is known of the user's situation, as data:\n{text}")
    return "\n\n".join(parts)


def _message(said: _Message) -> c.SendMessage:
    return c.SendMessage(
        said.message,
        session_id=said.session_id,
        execute=said.execute,
        delimiter=said.delimiter,
        if_busy=said.if_busy,
        command_id=said.command_id,
        from_=said.from_,
    )


@dataclass(slots=True)
class LoopView:
    """A session as the loop shows it: chunks, of which one a turn is final, calls for tools that the client
    runs, and how the session is.

    `prev`: the number of the last frame that the reader has, 0 for none; `running`: turns whose end is still
    to come; `folded`: those of which chunks are no longer kept one by one. A turn that did not complete is
    told by two frames, and a number is a frame's own: the first, the status, has the number before the
    turn's last."""

    prev: int = 0
    running: frozenset[str] = frozenset()
    folded: frozenset[str] = frozenset()
    has_ended: bool = False

    @property
    def is_over(self) -> bool:
        return self.has_ended and not self.running

    def take(self, record: Record) -> bytes:
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
        """Whether that was the end of a turn of which chunks were left out."""
        if type in TURN_ENDS:
            was_folded = turn in self.folded
            self.running, self.folded = self.running - {turn}, self.folded - {turn}
            return was_folded
        if turn not in self.running:
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
            yield from _broken_off(record, prev, {"reason": code, "detail": detail, "retryable": retryable})
        case ev.TurnInterrupted(reason):
            yield from _broken_off(
                record, prev, {"reason": "interrupted", "detail": reason, "retryable": True}
            )
        case ev.TurnCancelled():
            yield _chunk(record, prev, "", is_final=True)


def _whole(record: Record, prev: int) -> Iterator[bytes]:
    """The end of a turn whose chunks are no longer kept one by one: its answer in one piece, in the place of
    what came of it before."""
    payload = record.event.payload
    if isinstance(payload, ev.TurnCompleted):
        yield _chunk(record, prev, payload.text, is_final=True, also={"whole": True})
    else:
        yield from _frames(record, prev)


def _broken_off(record: Record, prev: int, why: dict[str, Any]) -> Iterator[bytes]:
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


def names(event: ev.Event) -> tuple[str, ...]:
    """What subscribers inside the process call an event of a session; empty for what the loop does not
    name."""
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
