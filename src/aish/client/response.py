"""The response to one HTTP request: its head, its body in any framing, and its events, as they arrive.

A body that ends too early raises a failure.
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
        """The events of an answer, as they arrive."""

        @property
        def headers(self) -> Mapping[str, str]: ...

        def events(self) -> Iterator[bytes]: ...

        def close(self) -> None: ...


NO_RESPONSE = "no_response"  # the `problem` of a failure: the connection closed without a response
_MAX_HEAD_BYTES = 64 * 1024
_MAX_BODY_BYTES = 64 * 1024 * 1024


class Response:
    """The response to one request. Its body is read as it arrives. Closing it closes the connection."""

    def __init__(self, connection: _socket.socket, deadline: float | None) -> None:
        self._connection = connection
        self._deadline = deadline
        self._buffer = b""
        try:
            self.status, self.headers = self._head()
        except (ValueError, IndexError):
            failure = not_rhetor(connection)
            connection.close()
            raise failure from None
        except BaseException:  # there is no response yet that could be closed
            connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def chunks(self) -> "Iterator[bytes]":
        """Yield the body, in pieces of any size.

        Raises:
            Failure: the connection closes before the end of the body, or the deadline has passed.
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
        """Return the whole body.

        Raises:
            Failure: as for `chunks`, or the body is larger than the hub's answers can be.
        """
        pieces: list[bytes] = []
        size = 0
        for piece in self.chunks():
            pieces.append(piece)
            size += len(piece)
            if size > _MAX_BODY_BYTES:
                limit = f"{_MAX_BODY_BYTES // (1024 * 1024)} MiB"
                raise Failure(f"the hub's answer is larger than {limit}", exits.UNREACHABLE)
        return b"".join(pieces)

    def events(self) -> "Iterator[bytes]":
        """Yield the data of each event of an event stream, until the stream ends."""
        frames = Frames()
        try:
            for piece in self.chunks():
                yield from frames.feed(piece)
        except ValueError:
            raise not_rhetor(self._connection) from None

    def _head(self) -> "tuple[int, dict[str, str]]":
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > _MAX_HEAD_BYTES or not self._receive():
                message = "the hub closed the connection without answering"
                raise Failure(message, exits.UNREACHABLE, problem=NO_RESPONSE)
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
            raise Failure("lost the connection to the hub in the middle of its answer", exits.UNREACHABLE)

    def _receive(self) -> bool:
        """Receive one more piece into the buffer; return False at the end of the connection."""
        if self._deadline is not None:
            self._connection.settimeout(max(self._deadline - monotonic(), 0.001))
        try:
            piece = self._connection.recv(65536)
        except TimeoutError:
            raise timed_out() from None
        except ConnectionError:
            return False
        self._buffer += piece
        return bool(piece)


def timed_out() -> Failure:
    return Failure("timed out waiting for an answer", exits.TIMED_OUT)


def not_rhetor(connection: _socket.socket) -> Failure:
    """Return the failure for a connection whose bytes do not come from a hub."""
    try:
        place = connection.getpeername()
    except OSError:
        place = "the hub's socket"
    return Failure(f"something other than rhetor is listening on {place}", exits.UNREACHABLE)
