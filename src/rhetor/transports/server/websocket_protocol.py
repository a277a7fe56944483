"""The server's end of a WebSocket. Besides ASGI, it writes frames that were encoded once for many clients,
limits the data that a client has not read, and closes connections whose client is gone.

What a client sends is parsed in steps, between which other tasks run: one large message, or the small frames
in 2 KiB. While the application has not read a message, nothing is parsed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets import http11
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame
from websockets.protocol import State

from rhetor.codec.typed_json import LARGE_BYTES
from rhetor.errors import Malformed, ShuttingDown, TooLarge, TooManyBytes

from . import problems
from .counters import Traffic
from .flow import EXTENSION, TransportWriter, drained
from .held_bytes import UNLIMITED, Share
from .large import text_of

MOST_FRAGMENTS = 1 << 14  # of one message; even an empty fragment takes memory
TEXT_BYTES = 8 << 20  # of one message; a request's body has the same limit
PIECE_BYTES = 2 << 10  # may be 341 frames
PIECES = 32  # that are parsed in one step, if they are part of one frame

# The HTTP protocol has parsed and limited the head before. If it exceeded the library's own limits, which are
# lower, the client would get no answer.
http11.MAX_LINE_LENGTH = http11.MAX_NUM_HEADERS = 1 << 17


def _nothing() -> None: ...


class SocketProtocol(WebSocketsSansIOProtocol):
    """Sends a ping every `ping_seconds`, and closes the connection if no pong follows within `pong_seconds`.
    The library closes connections that violate the protocol, with the code 1002, or 1009 for a message above
    `ws_max_size`.

    After the handshake, its request and response are dropped: an open connection would keep 4 KB for them.

    `traffic`: the counters of its API, once the API is known; `broken` is called with the error code of a
    violation. `share`: its part of the bytes that all clients may send at once. `on_lost` is called when the
    connection is lost. `writer` writes frames without waiting; its caller counts the bytes."""

    ping_seconds = 15.0
    pong_seconds = 20.0
    linger_seconds = 10.0  # for a client to read the close frame
    parting_seconds = 2.0  # the same, for a client that did not answer a ping
    traffic = Traffic()
    broken: Callable[[str], None] = staticmethod(lambda code: None)
    on_lost: Callable[[], None] = staticmethod(_nothing)
    is_overfull = False  # the client sent more than there is room for; the rest is not read
    is_ending = False  # the hub ends
    is_full = False  # the client has left too much data unread

    def connection_made(self, transport: Any) -> None:
        self.ping_interval, self.ping_timeout = self.ping_seconds, self.pong_seconds
        self.writer = TransportWriter(transport, lambda: self.is_open, lambda: self.is_full)
        self.queue: Any = _Inbox()
        self.writable: Any = _Writable()
        self._unparsed, self._has_parsed = bytearray(), False
        self._next: asyncio.Handle | None = None
        self.share = Share(UNLIMITED)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.on_lost()
        super().connection_lost(exc)
        self.share.shrink()
        # what refers to each other would stay in memory until the next garbage collection
        self.writer.end()
        self._unparsed.clear()
        self.on_lost = _nothing
        self.conn.parser.close()

    def shutdown(self) -> None:
        self.writer.look_again()
        self.is_ending = True
        super().shutdown()

    def send_500_response(self) -> None:
        """Answer a request that was not answered yet: if the hub ends, so that the client tries again."""
        if not self.is_ending:
            super().send_500_response()
        elif not self.initial_response and not self.handshake_complete:
            error = ShuttingDown()
            refusal = self.conn.reject(error.status, msgspec.json.encode(problems.body(error)).decode())
            del refusal.headers["Content-Type"]
            refusal.headers["Content-Type"], refusal.headers["Retry-After"] = problems.MEDIA_TYPE, "1"
            self.conn.send_response(refusal)
            self.transport.write(b"".join(self.conn.data_to_send()))

    async def run_asgi(self) -> None:
        extensions: Any = self.scope["extensions"]
        extensions[EXTENSION] = self
        try:
            await super().run_asgi()
        finally:
            self.writer.look_again()
            del extensions[EXTENSION]  # the scope and the connection would keep each other in memory

    @property
    def is_open(self) -> bool:
        closed = self.disconnected or self.close_sent or self.transport.is_closing()
        return not closed and self.conn.state is State.OPEN

    def write_frames(self, frames: bytes) -> None:
        """Write whole frames, without waiting; if the socket is closed, do nothing."""
        if self.is_open:
            self.traffic.sent += len(frames)
            self.transport.write(frames)

    def data_received(self, data: bytes) -> None:
        self.writer.look_again()  # the data may be the client's close frame
        self.traffic.received += len(data)
        if self.is_overfull:
            return
        try:
            self.share.grow(len(data))
        except TooManyBytes as error:
            self._refuse_rest(error)
        else:
            self._unparsed += data
            self._parse()

    def _parse(self) -> None:
        """Parse until there is a frame, at most 64 KiB. The rest is parsed after other tasks have run."""
        self._has_parsed, self._next = False, None
        for _ in range(PIECES):
            if self._has_parsed or not self._may_parse():
                break
            piece = bytes(self._unparsed[:PIECE_BYTES])
            del self._unparsed[:PIECE_BYTES]
            super().data_received(piece)
        self._continue()

    def _may_parse(self) -> bool:
        is_read = self.queue.empty() or self.close_sent  # after a close frame, nobody reads
        return bool(self._unparsed) and is_read and not self.transport.is_closing()

    def _continue(self) -> None:
        """Parse what is left, or read more, unless the application has to read a message first."""
        if self._next is None and self._may_parse():
            self._next = self.loop.call_soon(self._parse)
        is_paused = not self.close_sent and (bool(self._unparsed) or not self.queue.empty())
        if is_paused != self.read_paused and not self.transport.is_closing():
            self.read_paused = is_paused
            (self.transport.pause_reading if is_paused else self.transport.resume_reading)()

    def handle_events(self) -> None:
        self._has_parsed = self._has_parsed or bool(self.conn.events)
        super().handle_events()

    def _refuse_rest(self, error: TooManyBytes) -> None:
        """Close the connection, and forget the message that is not complete."""
        self.broken(error.code)
        self._drop_later(self.parting_seconds)
        self.end(error.close or 1011, error.code)
        self.is_overfull = True
        self.frames.clear()
        self._unparsed.clear()
        self.conn.reader.buffer.clear()
        self.share.shrink()

    async def receive(self) -> Any:
        """Return the next message.

        Raises:
            TooLarge: a text message has more than 8 MiB of UTF-8.
            TooManyValues: a text message, which is JSON in every API, has too many values.
        """
        # the message before this one is dealt with
        self.share.shrink(len(self._unparsed) + len(self.conn.reader.buffer) + sum(map(len, self.frames)))
        message = await self.queue.get()
        if self.queue.empty():
            self._continue()
        return await self._text(message["utf8"]) if "utf8" in message else message

    async def _text(self, data: bytes) -> Any:
        if len(data) > TEXT_BYTES:
            raise TooLarge("a text message", TEXT_BYTES)
        try:
            text = data.decode() if len(data) <= LARGE_BYTES else await text_of(data)
        except (UnicodeDecodeError, Malformed):
            if self.is_open:
                self.conn.fail(CloseCode.INVALID_DATA, "text must be UTF-8")
                self.handle_parser_exception()
            return {"type": "websocket.disconnect", "code": CloseCode.INVALID_DATA}
        return {"type": "websocket.receive", "text": text}

    def pause_writing(self) -> None:
        self.is_full = True
        self.writer.look_again()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.is_full = False
        super().resume_writing()

    async def drained(self, seconds: float) -> None:
        """Do the same as `flow.drained`."""
        await drained(self.transport, self.writable.is_set, self.writable.wait, seconds)

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """Let another protocol have the connection, whose handshake has not been answered. Return what the
        client has sent after its request. `connection_lost` must still be called."""
        self.handshake_complete = self.close_sent = True
        if self._next is not None:
            self._next.cancel()
        early = bytes(self.conn.reader.buffer + self._unparsed)
        self.conn.reader.buffer.clear()
        self._unparsed.clear()
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        return early

    def end(self, code: int, reason: str) -> None:
        """Send a close frame. If the client does not answer, drop the connection after `linger_seconds`."""
        if not self.is_open:
            return
        self.writer.look_again()
        try:
            self.conn.send_close(code, reason.encode()[:120].decode(errors="ignore"))
        except InvalidState:
            return
        self.stop_keepalive()
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._continue()
        self._drop_later(self.linger_seconds)

    def keepalive_timeout(self) -> None:
        self.writer.look_again()
        super().keepalive_timeout()
        self._drop_later(self.parting_seconds)

    def handle_ping(self) -> None:
        output = b"".join(self.conn.data_to_send())
        if self.writable.is_set():  # a client that does not read gets no pongs
            self.transport.write(output)

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # the handshake was rejected properly
        if message["type"] == "websocket.accept":
            self.request: Any = None
            self.response: Any = None
            headers: Any = self.scope["headers"]
            headers.clear()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type != "text" or self.close_sent:
            super().send_receive_event_to_app()
            return
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        self.queue.put_nowait({"type": "websocket.receive", "utf8": data})  # decoded when it is read

    def handle_parser_exception(self) -> None:
        sent = self.conn.close_sent
        self.broken(
            TooLarge.code if sent is not None and sent.code == CloseCode.MESSAGE_TOO_BIG else Malformed.code
        )
        super().handle_parser_exception()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= MOST_FRAGMENTS:
            self.conn.fail(1009, "too many fragments")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def _drop_later(self, seconds: float) -> None:
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(seconds, self._drop)

    def _drop(self) -> None:
        self.writer.look_again()
        transport: Any = self.transport
        transport.abort()


class _Inbox:
    """The messages that one reader has not read yet. An `asyncio.Queue` takes 3 KB even if it is empty."""

    __slots__ = ("_messages", "_waiting")

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._waiting: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        return not self._messages

    def put_nowait(self, message: Any) -> None:
        self._messages.append(message)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def get(self) -> Any:
        while not self._messages:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return self._messages.pop(0)


class _Writable:
    """Whether more may be written, as an `asyncio.Event`, which takes 0.7 KB even if nobody waits for it."""

    __slots__ = ("_awaited", "_is_set")

    def __init__(self) -> None:
        self._is_set = True
        self._awaited: asyncio.Event | None = None

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        if self._awaited is not None:
            self._awaited.set()
            self._awaited = None

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> None:
        if not self._is_set:
            self._awaited = self._awaited or asyncio.Event()
            await self._awaited.wait()
