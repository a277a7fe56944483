"""Sockets that have names, as they are read: whole messages, chunks and bytes (wire page, section 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from rhetor.codec.jsonrpc import parse
from rhetor.codec.websocket_frames import binary_frame
from rhetor.dialects.peer_socket import Delimiter, Id, Sender
from rhetor.domain import event as ev
from rhetor.domain.command import KeepBlob, SendMessage
from rhetor.domain.plan import IfBusy
from rhetor.domain.session import SessionState
from rhetor.domain.socket import HUB, HUB_PEER, MOST_BYTES, Socket, told_types
from rhetor.errors import Malformed, RhetorError, TextOnly, TooLarge
from rhetor.store.base import Record

from .notices import TURN_ENDS, numbered, shared

TOKEN = r"[A-Za-z0-9!#$&^_.+-]{1,100}"
MEDIA_TYPE = rf"^{TOKEN}/{TOKEN}( ?; ?{TOKEN}={TOKEN}){{0,10}}$"

OVER = frozenset({SessionState.STOPPED, SessionState.EXPIRED, SessionState.FAILED})
ASKED = ("stream", "echo")
_YES_OR_NO = {"1": True, "true": True, "0": False, "false": False, "": False}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a connection asked for in its address. `stream`: chunks, too; `echo`: what is written, too."""

    stream: bool = False
    echo: bool = False
    cursor: str | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wishes:
        """Raises:
        Malformed: `stream` or `echo` is neither 1 nor 0."""
        said = {name: query.get(name, "").lower() for name in ASKED}
        for name, value in said.items():
            if value not in _YES_OR_NO:
                raise Malformed(f"{name} is 1 or 0")
        return cls(_YES_OR_NO[said["stream"]], _YES_OR_NO[said["echo"]], query.get("cursor") or None)


def told(error: RhetorError) -> bytes:
    """What was wrong with what was written."""
    return _encode({**error.data, **_error(error.code, error.detail, error.retryable)})


def accepted(command_id: str, place: Mapping[str, Any]) -> bytes:
    """That what was written with this id is in the log."""
    return _encode({"type": "accepted", "command_id": command_id, **place})


def resumed(answer: Mapping[str, Any]) -> bytes:
    """Where a connection begins that came with a cursor, or why it cannot."""
    return _encode({"type": "resumed", **answer})


class SocketView:
    """A socket as one of its connections reads it. `seen`: the number of the last frame that it has, 0 for
    none. `content`: to be set before a `blob.kept` is taken; None where the content is no longer there."""

    def __init__(self, socket: Socket, wishes: Wishes, seen: int = 0) -> None:
        self._socket = socket
        self._stream = wishes.stream and not socket.is_shared
        self._echo = wishes.echo
        self._name = f"socket{'.stream' * self._stream}{'.echo' * self._echo}"
        self._told = told_types(socket.peer)
        self._prev = seen
        self.content: bytes | None = None
        self.given: ev.Position | None = None
        self.is_over = False

    def take(self, record: Record) -> bytes:
        if record.type == ev.BlobKept.type and self.content is None:
            frames = shared(record, "socket.lost", self._prev, self._lost)
        else:
            frames = shared(record, self._name, self._prev, self._frames)
        if record.type == ev.BlobKept.type and self.content is not None and frames:
            frames += binary_frame(self.content)  # not kept with the event: it may be large
        if record.type in self._told:
            self.given = record.position
        if record.type == ev.SessionStateChanged.type:
            self.is_over = _is_over(record)
        self._prev = record.seq if frames else self._prev
        return frames

    def _frames(self, record: Record, prev: int) -> Iterator[bytes]:
        if body := self._body(record):
            yield _frame(record, prev, body)

    def _lost(self, record: Record, prev: int) -> Iterator[bytes]:
        payload = record.event.payload
        assert isinstance(payload, ev.BlobKept)
        body = _error("not_found", "the content is no longer there", retryable=False)
        yield _frame(record, prev, {**body, "blob_id": payload.blob_id})

    def _body(self, record: Record) -> dict[str, Any] | None:
        payload = record.event.payload
        if self._socket.is_shared and (found := _of_members(payload)):
            return found
        match payload:
            case ev.TurnCompleted(text=text) if not self._socket.is_shared:
                return self._from_peer({"type": "read", "content": text})
            case ev.OutputDelta(text, channel) if self._stream:
                return self._from_peer(_chunk(text, channel))
            case ev.MessageAccepted(content=content, from_=sender) if self._echo:
                said = {"content": content, "from": sender, "message_id": payload.message_id}
                return {"type": "written", **said}
            case ev.PermissionAsked():
                return self._from_peer({"type": "permission", **ev.data_of(payload)})
            case ev.TurnFailed(code, detail, retryable, data):
                return self._from_peer({**data, **_error(code, detail, retryable)})
            case ev.TurnCancelled(by):
                return self._from_peer(_error("cancelled", f"cancelled by {by}", retryable=True))
            case ev.TurnInterrupted(reason):
                return self._from_peer(_error("interrupted", reason, retryable=True))
            case ev.SessionStateChanged(state) if SessionState(state) in OVER:
                return {"type": "closed", "state": state}
        return None

    def _from_peer(self, body: dict[str, Any]) -> dict[str, Any]:
        peer = self._socket.peer
        return {**body, "headers": _headers(self._socket.id), "ai": HUB if peer == HUB_PEER else peer}


class PartView:
    """The chunks of one member's turn, up to its end, in the session where it answers."""

    def __init__(self, member: str, turn_id: str) -> None:
        self._member = member
        self._turn_id = turn_id
        self._prev = 0
        self.is_over = False

    def take(self, record: Record) -> bytes:
        if record.turn_id != self._turn_id:
            return b""
        self.is_over = self.is_over or record.type in TURN_ENDS
        frames = shared(record, "socket.part", self._prev, self._frames)
        self._prev = record.seq if frames else self._prev
        return frames

    def _frames(self, record: Record, prev: int) -> Iterator[bytes]:
        payload = record.event.payload
        if isinstance(payload, ev.OutputDelta):
            who = {"headers": _headers(self._member), "ai": self._member}
            yield _frame(record, prev, {**_chunk(payload.text, payload.channel), **who})


def _of_members(payload: ev.Payload) -> dict[str, Any] | None:
    """What one of several says: a member's answer, or bytes of who wrote them."""
    match payload:
        case ev.StepDone(step, text):
            return {"type": "read", "content": text, "headers": _headers(step), "ai": step}
        case ev.StepFailed(step, code, detail, retryable):
            return {**_error(code, detail, retryable), "headers": _headers(step), "ai": step}
        case ev.BlobKept(blob_id, media_type, size, sender):
            pair = {"media_type": media_type, "bytes": size, "blob_id": blob_id}
            return {"type": "read", **pair, "from": sender, "headers": _headers(sender)}
    return None


def _chunk(text: str, channel: ev.Channel) -> dict[str, Any]:
    chunk = {"type": "chunk", "content": text}
    return chunk if channel == "answer" else {**chunk, "channel": channel}


def _error(code: str, detail: str, retryable: bool) -> dict[str, Any]:
    return {"type": "error", "code": code, "detail": detail, "retryable": retryable}


def _headers(source: str) -> list[str]:
    return [f"team-chat-from-{source}"]


def _is_over(record: Record) -> bool:
    payload = record.event.payload
    return isinstance(payload, ev.SessionStateChanged) and SessionState(payload.state) in OVER


def _frame(record: Record, prev: int, body: Mapping[str, Any]) -> bytes:
    place = {"session_id": record.stream, **numbered(record, prev)}
    turn = {"turn_id": record.turn_id} if record.turn_id else {}
    return _encode({**body, **turn, **place})


_encode = msgspec.json.encode


class _Write(msgspec.Struct, rename={"from_": "from"}):
    content: str
    execute: bool = False
    delimiter: Delimiter | None = None
    if_busy: IfBusy = "queue"
    command_id: Id | None = None
    from_: Sender = ""


class _Bytes(msgspec.Struct, rename={"from_": "from"}):
    media_type: Annotated[str, Meta(max_length=255, pattern=MEDIA_TYPE)]
    bytes: Annotated[int, Meta(ge=1)]
    command_id: Id | None = None
    from_: Sender = ""

    def announced(self) -> Announced:
        return Announced(self.media_type, self.bytes, self.from_, self.command_id)


@dataclass(frozen=True, slots=True)
class Announced:
    """`size` bytes of binary content are to follow in one frame."""

    media_type: str
    size: int
    from_: str = ""
    command_id: str | None = None

    def command(self, session_id: str, content: bytes) -> KeepBlob | Malformed:
        if len(content) != self.size:
            return Malformed(f"{self.size} bytes were announced, and {len(content)} came")
        return KeepBlob(session_id, self.media_type, content, self.from_, self.command_id)


class Writing:
    """What one connection writes to a socket, frame by frame."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._announced: Announced | None = None
        self._passes_over = False

    def take(self, frame: str | bytes) -> Iterator[SendMessage | KeepBlob | RhetorError]:
        """What the frame asks for, once it is complete; and what is wrong with it, or with the one before."""
        announced, self._announced = self._announced, None
        passes_over, self._passes_over = self._passes_over, False
        if isinstance(frame, str):
            if announced is not None:
                yield Malformed("the bytes that were announced did not come")
            yield from self._text(frame)
        elif announced is not None:
            yield announced.command(self._socket.session_id, frame)
        elif not passes_over:  # else they belong to what was refused
            yield Malformed("bytes come after a write that announces them")

    def _text(self, text: str) -> Iterator[SendMessage | RhetorError]:
        said = _decoded(text, self._socket.session_id)
        if not isinstance(said, Announced):
            yield said
        elif refusal := self._refusal(said):
            self._passes_over = True
            yield refusal
        else:
            self._announced = said

    def _refusal(self, announced: Announced) -> RhetorError | None:
        """Why the bytes are not taken, said before they come."""
        if not self._socket.is_shared:
            return TextOnly(self._socket.peer)
        return TooLarge("binary content", MOST_BYTES) if announced.size > MOST_BYTES else None


def _decoded(text: str, session_id: str) -> SendMessage | Announced | Malformed:
    try:
        said = parse(text)
        if not isinstance(said, dict) or said.get("type") != "write":
            return Malformed('a frame is {"type": "write", …}')
        if "content" not in said and "media_type" not in said:
            return Malformed("a write has `content`, or `media_type` and `bytes`")
        if "content" not in said:
            return msgspec.convert(said, _Bytes).announced()
        return SendMessage(session_id=session_id, **msgspec.structs.asdict(msgspec.convert(said, _Write)))
    except RecursionError:
        return Malformed("it is nested too deep")
    except (msgspec.MsgspecError, UnicodeError, ValueError, OverflowError) as error:
        return Malformed(str(error)[:200])
