"""The answer to one HTTP request, read as it comes: its head, its body in any framing, its events.

A body that breaks off is a failure and never a shorter body.
"""

import _socket
from time import monotonic

from aish import exits
from aish.client.json_sse import Frames
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Protocol

    class Stream(Protocol):
        """What peers say, as it comes; `headers` say where it is kept."""

        @property
        def headers(self) -> Mapping[str, str]: ...

        def events(self) -> Iterator[bytes]: ...

        def close(self) -> None: ...


UNANSWERED = "unanswered"  # the `problem` of a failure: the connection ended before any answer
_MAX_HEAD_BYTES = 64 * 1024
_MAX_BODY_BYTES = 64 * 1024 * 1024


class Answer:
    """The answer to one request; its body is read as it comes. Closing it closes the connection."""

    def __init__(self, connection: _socket.socket, deadline: float | None) -> None:
        self._connection = connection
        self._deadline = deadline
        self._buffer = b""
        try:
            self.status, self.headers = self._head()
        except (ValueError, IndexError):
            connection.close()
            raise _no_hub_there() from None
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def chunks(self) -> "Iterator[bytes]":
        """The body, in whatever pieces it comes.

        Raises:
            Failure: the body breaks off, or the deadline has passed.
        """
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self._line().split(b";")[0], 16):
                yield from self._take(size)
                self._line()
        elif "content-length" in self.headers:
            yield from self._take(int(self.headers["content-length"]))
        else:
            while self._buffer or self._receive():
                piece, self._buffer = self._buffer, b""
                yield piece

    def body(self) -> bytes:
        """The whole body.

        Raises:
            Failure: as `chunks`, or it is larger than any answer of a hub.
        """
        pieces: list[bytes] = []
        size = 0
        for piece in self.chunks():
            pieces.append(piece)
            size += len(piece)
            if size > _MAX_BODY_BYTES:
                raise Failure("the hub's answer has no end", exits.UNREACHABLE)
        return b"".join(pieces)

    def events(self) -> "Iterator[bytes]":
        """The data of each event of an event stream, until the stream ends."""
        frames = Frames()
        try:
            for piece in self.chunks():
                yield from frames.feed(piece)
        except ValueError:
            raise _no_hub_there() from None

    def _head(self) -> "tuple[int, dict[str, str]]":
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > _MAX_HEAD_BYTES or not self._receive():
                said = "the hub closed the connection without an answer"
                raise Failure(said, exits.UNREACHABLE, problem=UNANSWERED)
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return int(status.split(" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs}

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._receive_more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _take(self, size: int) -> "Iterator[bytes]":
        while size:
            if not self._buffer:
                self._receive_more()
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(piece)
            yield piece

    def _receive_more(self) -> None:
        if not self._receive():
            raise Failure("the hub broke off in the middle of its answer", exits.UNREACHABLE)

    def _receive(self) -> bool:
        """One more piece into the buffer; False at the end of the connection."""
        if self._deadline is not None:
            self._connection.settimeout(max(self._deadline - monotonic(), 0.001))
        try:
            piece = self._connection.recv(65536)
        except TimeoutError:
            raise Failure("no answer in time", exits.TIMED_OUT) from None
        except ConnectionError:
            return False
        self._buffer += piece
        return bool(piece)


def _no_hub_there() -> Failure:
    return Failure("what answers on the hub's socket is no hub", exits.UNREACHABLE)
