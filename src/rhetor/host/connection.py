"""One client's connection to a host: receives requests, sends answers and output. Every buffer is bounded.

It does not know what requests mean: it passes them to `ClientServer`, one at a time.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable

from rhetor.codec import host_frames as frames

from .event_loop import Loop

_OUT_BYTES = 1 << 18  # buffered for a client that does not read, plus at most one frame
_READ_BYTES = 1 << 16

Source = Callable[[], bytes | None]  # returns the next frame to send; None if there is none yet


class Connection:
    """A client's connection. `on_request` is called with each request, but not before the previous one was
    answered; `on_close` is called once. The server sets `hub` (the client is a hub) and `admitted` (the
    client has sent the nonce)."""

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
        """Whether everything has been sent."""
        return not self._out

    def answer(self, kind: int, body: bytes = b"") -> None:
        """Answer the current request."""
        self._send(frames.frame(kind, body))
        self._busy = False
        if not self._serving:
            self._serve()

    def follow(self, source: Source) -> None:
        """Send the frames of `source` as fast as the client reads. Its further requests are not served."""
        self._source = source
        self.refill()

    def end(self) -> None:
        """Close after everything has been sent."""
        self._last = True
        self._source = None
        self._flush()

    def refill(self) -> None:
        """Send the frames that the source has now."""
        while self._open and self._source is not None and len(self._out) < _OUT_BYTES:
            frame = self._source()
            if frame is None:
                self._flush()
                return
            self._out += frame
        self._flush()
        if self._open and self._source is not None:
            # there may be more; other clients are served first
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
            # nothing is read from a client that has unanswered requests or does not read its answers
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
