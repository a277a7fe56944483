"""Named sockets (`/ws/socket/{socket_id}`): whole messages, chunks and binary content, read and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from rhetor.codec.forms import form, in_words
from rhetor.codec.websocket_frames import binary_frame
from rhetor.dialects.extras import A_TYPE, Extras
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
FLAGS = ("stream", "echo")
_FLAG_VALUES = {"1": True, "true": True, "0": False, "false": False, "": False}


class SocketOptions(msgspec.Struct, frozen=True):
    """The options in the URL of a connection. `stream`: send chunks too; `echo`: also send the messages that
    are written to the socket; `cursor`: where to resume."""

    stream: bool = False
    echo: bool = False
    cursor: str | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> SocketOptions:
        """Return the options in a query string.

        Raises:
            Malformed: the value of `stream` or `echo` is invalid.
        """
        values = {name: query.get(name, "").lower() for name in FLAGS}
        for name, value in values.items():
            if value not in _FLAG_VALUES:
                raise Malformed(f"{name} must be 1 or 0")
        return cls(_FLAG_VALUES[values["stream"]], _FLAG_VALUES[values["echo"]], query.get("cursor") or None)


def failed(error: RhetorError) -> bytes:
    """Return the frame that reports why a write failed."""
    return _encode({**error.data, **_error(error.code, error.detail, error.retryable)})


def accepted(command_id: str, place: Mapping[str, Any]) -> bytes:
    """Return the frame that confirms that the write with this id is in the log."""
    return _encode({"type": "accepted", "command_id": command_id, **place})


def resumed(answer: Mapping[str, Any]) -> bytes:
    """Return the first frame of a connection with a cursor: where it resumes, or why it cannot."""
    return _encode({"type": "resumed", **answer})


class SocketView:
    """A socket as one of its connections sees it.

    `seen`: the number of the last frame that the connection has, 0 for none. `content`: the content for the
    next `blob.kept` event; set it before that event, to None if the content is no longer stored. `received`:
    the position of the last whole message that was encoded, None if there is none.
    """

    def __init__(self, socket: Socket, options: SocketOptions, seen: int = 0) -> None:
        self._socket = socket
        self._stream = options.stream and not socket.is_shared
        self._echo = options.echo
        self._name = f"socket{'.stream' * self._stream}{'.echo' * self._echo}"
        self._message_types = told_types(socket.peer)
        self._prev = seen
        self.content: bytes | None = None
        self.received: ev.Position | None = None
        self.is_over = False

    def encode(self, record: Record) -> bytes:
        if record.type == ev.BlobKept.type and self.content is None:
            frames = shared(record, "socket.lost", self._prev, self._lost)
        else:
            frames = shared(record, self._name, self._prev, self._frames)
        if record.type == ev.BlobKept.type and self.content is not None and frames:
            frames += binary_frame(self.content)  # not stored with the record, because it may be large
        if record.type in self._message_types:
            self.received = record.position
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
        body = _error("not_found", "the content is no longer stored", retryable=False)
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
                message = {"content": content, "from": sender, "message_id": payload.message_id}
                return {"type": "written", **message}
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
    """The chunks of one team member's turn, which is in the member's own session. The view ends with the
    turn."""

    def __init__(self, member: str, turn_id: str) -> None:
        self._member = member
        self._turn_id = turn_id
        self._prev = 0
        self.is_over = False

    def encode(self, record: Record) -> bytes:
        if record.turn_id != self._turn_id:
            return b""
        self.is_over = self.is_over or record.type in TURN_ENDS
        frames = shared(record, "socket.part", self._prev, self._frames)
        self._prev = record.seq if frames else self._prev
        return frames

    def _frames(self, record: Record, prev: int) -> Iterator[bytes]:
        payload = record.event.payload
        if isinstance(payload, ev.OutputDelta):
            source = {"headers": _headers(self._member), "ai": self._member}
            yield _frame(record, prev, {**_chunk(payload.text, payload.channel), **source})


def _of_members(payload: ev.Payload) -> dict[str, Any] | None:
    """Return the body for an event of a shared socket: a member's answer or failure, or binary content. None
    for other events."""
    match payload:
        case ev.StepDone(step, text):
            return {"type": "read", "content": text, "headers": _headers(step), "ai": step}
        case ev.StepFailed(step, code, detail, retryable):
            return {**_error(code, detail, retryable), "headers": _headers(step), "ai": step}
        case ev.BlobKept(blob_id, media_type, size, sender):
            blob = {"media_type": media_type, "bytes": size, "blob_id": blob_id}
            return {"type": "read", **blob, "from": sender, "headers": _headers(sender)}
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


class _Write(Extras, frozen=True, rename={"from_": "from"}):
    """A write, which must have either `content`, or `media_type` and `bytes`. Older clients call its type
    `message`."""

    type: Literal["write", "message"]
    content: str | None = None
    media_type: Annotated[str, form(MEDIA_TYPE, A_TYPE, max_length=255)] | None = None
    bytes: Annotated[int, Meta(ge=1)] | None = None
    execute: bool = False
    delimiter: Delimiter | None = None
    if_busy: IfBusy = "queue"
    command_id: Id | None = None
    from_: Sender = ""

    def command(self, session_id: str) -> SendMessage | Announced | Malformed:
        if self.content is not None:
            return SendMessage(
                self.whole(self.content),
                session_id=session_id,
                execute=self.execute,
                delimiter=self.delimiter,
                if_busy=self.if_busy,
                command_id=self.command_id,
                from_=self.from_,
                **self.extras("write"),
            )
        if self.media_type is None or self.bytes is None:
            return Malformed("a write needs `content`, or `media_type` and `bytes`")
        return Announced(self.media_type, self.bytes, self.from_, self.command_id)


class Announced(msgspec.Struct, frozen=True):
    """A write of binary content, whose `size` bytes follow in one frame."""

    media_type: str
    size: int
    from_: str = ""
    command_id: str | None = None

    def command(self, session_id: str, content: bytes) -> KeepBlob | Malformed:
        """Return the command for the content; Malformed if its size is not the announced one."""
        if len(content) != self.size:
            return Malformed(f"{self.size} bytes were announced, but {len(content)} were sent")
        return KeepBlob(session_id, self.media_type, content, self.from_, self.command_id)


class SocketInput:
    """Decodes the frames that one connection writes to a socket."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._announced: Announced | None = None
        self._skips_next = False

    def decode(self, frame: str | bytes) -> Iterator[SendMessage | KeepBlob | RhetorError]:
        """Yield the command that the frame completes, and the errors in it or in the frame before it.

        Errors are yielded, not raised, because the connection stays open.
        """
        announced, self._announced = self._announced, None
        skipped, self._skips_next = self._skips_next, False
        if isinstance(frame, str):
            if announced is not None:
                yield Malformed("the announced bytes were not sent; send them in the next frame")
            yield from self._text(frame)
        elif announced is not None:
            yield announced.command(self._socket.session_id, frame)
        elif not skipped:  # skipped bytes belong to an announcement that was rejected
            yield Malformed("binary frame without a write that announces it")

    def _text(self, text: str) -> Iterator[SendMessage | RhetorError]:
        write = _decoded(text, self._socket.session_id)
        if not isinstance(write, Announced):
            yield write
        elif rejection := self._rejection(write):
            self._skips_next = True
            yield rejection
        else:
            self._announced = write

    def _rejection(self, announced: Announced) -> RhetorError | None:
        """Return why the announced bytes are rejected before they are sent; None if they are accepted."""
        if not self._socket.is_shared:
            return TextOnly(self._socket.peer)
        return TooLarge("binary content", MOST_BYTES) if announced.size > MOST_BYTES else None


def _decoded(text: str, session_id: str) -> SendMessage | Announced | RhetorError:
    try:
        return msgspec.json.decode(text, type=_Write).command(session_id)
    except RhetorError as error:  # a part or a schema is invalid
        return error
    except RecursionError:
        return Malformed("the JSON is nested too deeply")
    except msgspec.ValidationError as error:
        return Malformed(f'a text frame must be {{"type": "write", …}}: {in_words(str(error))[:200]}')
    except (msgspec.MsgspecError, UnicodeError) as error:
        return Malformed(str(error)[:200])
