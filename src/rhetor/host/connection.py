"""One client of a host: its frames in, its answers out, what it follows. Every buffer has a bound.

It does not know what requests mean: it hands them to its `ClientServer`, one at a time.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable

from rhetor.codec import host_frames as frames

from .event_loop import Loop

_OUT_BYTES = 1 << 18  # that wait for a client that does not read, beside one frame
_READ_BYTES = 1 << 16

Source = Callable[[], bytes | None]  # the next frame to send; None: not now


class Connection:
    """`on_request` is called with each frame in order, the next one when `answer` was called; `on_close`
    once. `hub`, `admitted` belong to the server."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        on_request: Callable[[Connection, int, bytes], None],
        on_close: Callable[[Connection], None],
    ) -> None:
        self.hub = False
        self.admitted = False
        self._loop = loop
        self._sock = sock
        self._fd = sock.fileno()
        self._on_request = on_request
        self._on_close = on_close
        self._decoder = frames.FrameDecoder()
        self._asked: deque[frames.Frame] = deque()
        self._busy = False
        self._serving = False
        self._out = bytearray()
        self._source: Source | None = None
        self._last = False
        self._open = True
        sock.setblocking(False)
        loop.on_readable(self._fd, self._read)
        loop.on_hangup(self._fd, self.close)

    @property
    def idle(self) -> bool:
        """Everything was sent."""
        return not self._out

    def answer(self, kind: int, body: bytes = b"") -> None:
        """Answer the request that is under way; the next one may come."""
        self._send(frames.frame(kind, body))
        self._busy = False
        if not self._serving:
            self._serve()

    def follow(self, source: Source) -> None:
        """Send what `source` gives, as fast as the client takes it; it asks for nothing else from now on."""
        self._source = source
        self.refill()

    def end(self) -> None:
        """Close when everything was sent."""
        self._last = True
        self._source = None
        self._flush()

    def refill(self) -> None:
        """There may be more to follow."""
        while self._open and self._source is not None and len(self._out) < _OUT_BYTES:
            frame = self._source()
            if frame is None:
                self._flush()
                return
            self._out += frame
        self._flush()
        if self._open and self._source is not None:
            # there is more: others are served before this goes on
            self._loop.on_writable(self._fd, self._more)

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._source = None
        self._loop.forget(self._fd)
        self._sock.close()
        self._on_close(self)

    def _read(self) -> None:
        try:
            data = self._sock.recv(_READ_BYTES)
            self._asked += self._decoder.feed(data)
        except BlockingIOError:
            return
        except (OSError, frames.FrameBroken):
            data = b""
        if not data:
            self.close()
            return
        self._serve()

    def _serve(self) -> None:
        self._serving = True
        while self._open and self._asked and not self._busy and len(self._out) < _OUT_BYTES:
            self._busy = True
            kind, body = self._asked.popleft()
            self._on_request(self, kind, body)
        self._serving = False
        if self._open:
            # a client that asks on, or does not take its answers, is not read meanwhile
            self._loop.on_readable(self._fd, None if self._asked else self._read)

    def _send(self, frame: bytes) -> None:
        if self._open:
            self._out += frame
            self._flush()

    def _flush(self) -> None:
        if not self._open:
            return
        try:
            while self._out:
                del self._out[: self._sock.send(self._out)]
        except BlockingIOError:
            self._loop.on_writable(self._fd, self._more)
            return
        except OSError:
            self.close()
            return
        self._loop.on_writable(self._fd, None)
        if self._last:
            self.close()

    def _more(self) -> None:
        self._flush()
        self.refill()
        if self._open and not self._busy:
            self._serve()
