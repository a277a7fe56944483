"""HTTP/1.1 with limits on what a client may send and leave unread, and streams that end early.

An invalid head is answered with a problem, and the connection is closed. The gate checks the contents of a
valid head. An error is never written into a response that is being sent. A connection that waits for its
client always has a deadline: for a head, for the reading of a response, or for the client's own close.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from rhetor.errors import HeadTooLarge, Malformed, RequestTimeout, RhetorError, TooLarge

from . import problems
from .flow import EXTENSION, TransportWriter, drained
from .headers import CONTENT_POLICY, HSTS, Header, may_require_https

HEAD_BYTES = 64 << 10
HEAD_SECONDS = 30.0
LINGER_SECONDS = 1.0
PARTING_SECONDS = 10.0  # for a client to read the last frame of a stream, or the last response
UNREAD_SECONDS = 30.0  # in which a client reads something of a response; streams have a shorter limit
MOST_PIPELINED = 100  # requests that wait for the response to an earlier one


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with limits. A head may have `HEAD_BYTES`, and must be complete `head_seconds` after it began;
    the first one begins with the connection. The target of a request must be a path. Between the pieces of a
    body, and after it, at most `HEAD_BYTES` of chunk extensions and trailers are read, and ignored.

    `is_connected`: answers still reach the client. `on_lost` is called when that ends.
    """

    head_seconds = HEAD_SECONDS
    unread_seconds = UNREAD_SECONDS

    def connection_made(self, transport: Any) -> None:
        self._in_head, self._head_bytes, self._heads = True, 0, 0
        self._header_bytes = 0  # names and values of the head that is being read
        self._extra_bytes, self._has_body = 0, False
        self._is_upgraded = False
        self._refused: RhetorError | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._parting: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._response: _ResponseTransport | None = None
        self.on_lost: Callable[[], None] | None = None
        self.is_connected = True
        self.writer = TransportWriter(
            transport, lambda: not transport.is_closing(), lambda: self.flow.write_paused
        )
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        for timer in (self._parting, self._unread):
            if timer is not None:
                timer.cancel()
        self._lose()
        super().connection_lost(exc)
        self._forget()

    def data_received(self, data: bytes) -> None:
        if self._refused is not None:
            return
        self.writer.look_again()
        heads, self._has_body = self._heads, False
        super().data_received(data)
        self._note(len(data), is_head=heads != self._heads)

    def _note(self, size: int, *, is_head: bool) -> None:
        """Apply the limits to the bytes that were just read. `is_head`: a head is complete since then."""
        if self._refused is not None or self._is_upgraded:
            return
        if self._in_head:
            self._wait_for_head()
            if not is_head:  # otherwise most of these bytes belong to another request
                self._count(size)
        elif self.is_idle:
            self._wait_for_head()  # empty lines before a head do not postpone the deadline
        else:
            self._count_extra(0 if self._has_body or is_head else size)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: Any = self.scope
        scope["extensions"] = {EXTENSION: self}
        self._in_head, self._head_bytes, self._header_bytes = True, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # a trailer is ignored
            self._header_bytes += len(name) + len(value)
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._has_body = True
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._heads += 1
        self._stop_waiting()
        if len(self.url) + self._header_bytes > HEAD_BYTES:
            self._fail(HeadTooLarge(HEAD_BYTES))
        if not self.url.startswith(b"/"):  # a URL could name another host than the Host header
            self._fail(Malformed("the target of a request must be a path"))
        if len(self.pipeline) >= MOST_PIPELINED:
            self._fail(TooLarge("the list of requests without a response", MOST_PIPELINED))
        super().on_headers_complete()
        if self.scheme == "https" and self.cycle is not None:
            self._require_https()

    def _require_https(self) -> None:
        """Let browsers use https for this host from now on."""
        if may_require_https(dict(self.headers).get(b"host", b"")):
            self.cycle.default_headers = [*self.server_state.default_headers, HSTS]

    def handle_websocket_upgrade(self) -> None:
        self._is_upgraded = True
        self._stop_waiting()
        super().handle_websocket_upgrade()
        # this protocol is no longer used, and would stay in memory until the next garbage collection
        self.writer.end()
        self.parser: Any = None
        self.scope: Any = None

    def _forget(self) -> None:
        """Drop what would otherwise stay in memory until the next garbage collection, because it refers to
        this connection and the connection to it."""
        self.writer.end()
        self._response = None
        self.scope = None
        self.pipeline.clear()
        if self.cycle is not None:
            cycle: Any = self.cycle
            cycle.transport, cycle.body = self.transport, bytearray()

    def has_body_of(self, scope: Any) -> bool:
        """Whether the body of a request has arrived completely."""
        return self.cycle.scope is not scope or not self.cycle.more_body

    def answering(self, scope: Any, *, in_pieces: bool = False) -> None:
        """Prepare for the response to a request. Its head is written together with its body, unless it is
        sent `in_pieces`. If the body of the request was not read to the end, the connection is closed after
        the response."""
        if self.cycle.scope is scope:
            self._response = self._response_transport(in_pieces=in_pieces)
            if self.cycle.more_body:
                self._end_after_response()

    def linger(self) -> None:
        """Close the connection after what was written, and read until the client has closed it too, for a
        moment: otherwise a client that is still sending would not see the response."""
        self._refused = self._refused or Malformed("the connection is closing")
        self._stop_waiting()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_SECONDS, self._close)

    def on_response_complete(self) -> None:
        if self._response is not None:
            self._response.flush()  # the head of a response without a body
            self._response = None
        super().on_response_complete()
        if self.pipeline and len(self.pipeline) >= MOST_PIPELINED // 2:
            self.flow.pause_reading()  # until fewer requests wait
        if self.transport.is_closing():
            self._part()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def pause_writing(self) -> None:
        self.writer.look_again()
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    async def drained(self, seconds: float) -> None:
        """Do the same as `flow.drained`."""
        if self.flow.write_paused:
            await drained(self.transport, lambda: not self.flow.write_paused, self.flow.drain, seconds)

    def end_stream(self, last: bytes) -> None:
        """End the current response with this last piece, and close the connection. If the client does not
        read it, the connection is dropped after `PARTING_SECONDS`."""
        if self.cycle.disconnected or self.transport.is_closing():
            return
        self.writer.look_again()
        self.transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last))
        self.cycle.disconnected = True  # tells uvicorn to write nothing more
        self._close()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refused or Malformed("invalid HTTP/1.1 request"))

    def _fail(self, error: RhetorError) -> None:
        """Reject the request from a callback of the parser, which then calls `send_400_response`."""
        self._refused = error
        raise ValueError(error.detail)

    def _refuse(self, error: RhetorError) -> None:
        self._refused = error
        self._stop_waiting()
        if not self._answering():
            self._say_and_end(error)
        elif self.cycle.more_body:  # the response to an incomplete request has begun, and cannot be replaced
            self.transport.close()
        else:
            # the earlier request is complete, and gets the last response
            self._end_after_response()

    def _end_after_response(self) -> None:
        """Close the connection after the response to the request that was read last."""
        self.cycle.keep_alive = False
        self._response_transport(in_pieces=True).lingers = True

    def _response_transport(self, *, in_pieces: bool) -> _ResponseTransport:
        """Return the transport of the response to the request that was read last."""
        cycle: Any = self.cycle
        if not isinstance(cycle.transport, _ResponseTransport):
            cycle.transport = _ResponseTransport(self, in_pieces=in_pieces)
        response: _ResponseTransport = cycle.transport
        return response

    def _answering(self) -> bool:
        """Return whether a response is being sent, or is about to be."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        return cycle.response_started or not cycle.more_body

    def _say_and_end(self, error: RhetorError) -> None:
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._lose()
        self.transport.write(_answer(error, [*self.server_state.default_headers, CONTENT_POLICY]))
        self.linger()

    def _close(self) -> None:
        """Close the connection when the client has read everything, at the latest after `PARTING_SECONDS`."""
        if not self.transport.is_closing():
            self.transport.close()
        self._part()

    def _part(self) -> None:
        if self._parting is None:
            self._parting = self.loop.call_later(PARTING_SECONDS, self.transport.abort)

    def _wait_for_reader(self) -> None:
        """Drop the connection unless the client reads some of what waits within `unread_seconds`."""
        left = self.transport.get_write_buffer_size()
        self._unread = self.loop.call_later(self.unread_seconds, self._check_reader, left)

    def _check_reader(self, left: int) -> None:
        if self.transport.get_write_buffer_size() >= left:
            self.transport.abort()
        else:
            self._wait_for_reader()

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or (cycle.response_complete and not self.pipeline)

    def _lose(self) -> None:
        self.is_connected = False
        if self.on_lost is not None:
            self.on_lost()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            self._refuse(HeadTooLarge(HEAD_BYTES))

    def _count_extra(self, size: int) -> None:
        """Count bytes that came without a piece of the body: those of chunk extensions and trailers."""
        self._extra_bytes = self._extra_bytes + size if size else 0
        if self._extra_bytes > HEAD_BYTES:
            self._refuse(TooLarge("the trailer section", HEAD_BYTES))

    def _wait_for_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self._too_late)

    def _too_late(self) -> None:
        self._refuse(RequestTimeout("the head of the request", self.head_seconds))

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _ResponseTransport:
    """The transport of one response. Unless it is sent `in_pieces`, its head is written together with its
    body: that saves a system call, and a client that reads once sees all of a short response. `lingers`: the
    client may still send after the response."""

    def __init__(self, protocol: BoundedProtocol, *, in_pieces: bool) -> None:
        self.lingers = False
        self._protocol = protocol
        self._head: bytes | None = b"" if in_pieces else None
        self.is_closing = protocol.transport.is_closing

    def write(self, data: bytes) -> None:
        if self._head is None:
            self._head = data
        elif self._head:
            head, self._head = self._head, b""
            self._protocol.transport.writelines((head, data))
        else:
            self._protocol.transport.write(data)

    def flush(self) -> None:
        """Write the head of a response that has no body."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        if self.lingers:
            self._protocol.linger()
        else:
            self._protocol.transport.close()


def _answer(error: RhetorError, headers: Sequence[Header]) -> bytes:
    body = msgspec.json.encode(problems.body(error))
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    head = f"content-type: {problems.MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[error.status] + lines + head.encode() + body
