"""HTTP/1.1 with limits on the size of a request's head and on the time it takes, and streams that end early.

An invalid head is answered with a problem, and the connection is closed. The gate checks the contents of a
valid head. An error is never written into a response that is being sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from rhetor.errors import HeadTooLarge, Malformed, RequestTimeout, RhetorError

from . import problems
from .flow import EXTENSION, TransportWriter, drained

HEAD_BYTES = 64 << 10
HEAD_SECONDS = 30.0
LINGER_SECONDS = 1.0
PARTING_SECONDS = 10.0  # for a client to read the last frame of a stream


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with limits. A head may have `HEAD_BYTES`, and must be complete `head_seconds` after it began;
    the first one begins with the connection. The target of a request must be a path.

    `is_connected`: answers still reach the client. `on_lost` is called when that ends.
    """

    head_seconds = HEAD_SECONDS

    def connection_made(self, transport: Any) -> None:
        self._in_head, self._head_bytes, self._heads = True, 0, 0
        self._refused: RhetorError | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._parting: asyncio.TimerHandle | None = None
        self.on_lost: Callable[[], None] | None = None
        self.is_connected = True
        self.writer = TransportWriter(
            transport, lambda: not transport.is_closing(), lambda: self.flow.write_paused
        )
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._parting is not None:
            self._parting.cancel()
        self._lose()
        self.writer.look_again()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused is not None:
            return
        self.writer.look_again()
        heads = self._heads
        super().data_received(data)
        if self._in_head and self._refused is None:
            self._wait_for_head()
            if heads == self._heads:  # otherwise most of these bytes belong to another request
                self._count(len(data))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: Any = self.scope
        scope["extensions"] = {EXTENSION: self}
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._heads += 1
        self._stop_waiting()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._fail(HeadTooLarge(HEAD_BYTES))
        if not self.url.startswith(b"/"):  # a URL could name another host than the Host header
            self._fail(Malformed("the target of a request must be a path"))
        super().on_headers_complete()

    def pause_writing(self) -> None:
        self.writer.look_again()
        super().pause_writing()

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
        self.transport.close()
        self._parting = self.loop.call_later(PARTING_SECONDS, self.transport.abort)

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
            self.cycle.keep_alive = False  # the earlier request is complete, and gets the last response

    def _answering(self) -> bool:
        """Return whether a response is being sent, or is about to be."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        return cycle.response_started or not cycle.more_body

    def _say_and_end(self, error: RhetorError) -> None:
        """Send the error, and keep reading for a moment: otherwise a client that is still sending would not
        see it."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._lose()
        self.transport.write(_answer(error))
        self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _lose(self) -> None:
        self.is_connected = False
        if self.on_lost is not None:
            self.on_lost()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            self._refuse(HeadTooLarge(HEAD_BYTES))

    def _wait_for_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self._too_late)

    def _too_late(self) -> None:
        self._refuse(RequestTimeout("the head of the request", self.head_seconds))

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _answer(error: RhetorError) -> bytes:
    body = msgspec.json.encode(problems.body(error))
    head = f"content-type: {problems.MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[error.status] + head.encode() + body
