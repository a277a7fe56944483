"""A WebSocket to the hub, over its Unix socket.

It never blocks once it is open: its owner waits, on its descriptor. It refuses to know what messages mean.
"""

import os

from aish import exits
from aish.client.hub import failure_of
from aish.client.response import Answer
from aish.client.websocket_frames import (
    BINARY,
    BROKEN_OFF,
    CLOSE,
    NO_CODE,
    NORMAL,
    PING,
    PONG,
    TEXT,
    Closed,
    Incoming,
    closing,
    frame,
)
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterator

    from aish.client.hub import Hub
    from aish.client.websocket_frames import Message

_MAX_UNSENT_BYTES = 1024 * 1024
_ACCEPT_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PATIENCE = 10.0


class WebSocket:
    """An open connection. Take its `messages` once, for some may have come with the upgrade; then select on
    it, for reading, and for writing while there are `unsent_bytes`."""

    def __init__(self, connection: "_socket.socket", answer: Answer) -> None:
        self._connection = connection
        self._answer = answer
        self._incoming = Incoming()
        self._unsent = bytearray()
        self._closed: Closed | None = None
        self._is_broken = False
        connection.setblocking(False)

    def fileno(self) -> int:
        return self._connection.fileno()

    @property
    def unsent_bytes(self) -> int:
        """How much waits until the hub takes it."""
        return len(self._unsent)

    def messages(self) -> "Iterator[Message]":
        """The texts and the binary messages that have come by now, in order. Pings are answered.

        Raises:
            Closed: the connection is over, after the last message.
        """
        if self._closed:
            raise self._closed
        chunk = self._received()
        self._incoming.feed(chunk or b"")
        try:
            while (message := self._incoming.next()) is not None:
                kind, data = message
                if kind == CLOSE:
                    raise closing(data)
                if kind == PING:
                    self._put(PONG, data)
                elif kind != PONG:
                    yield message
        except Closed as closed:
            self._end(closed)
            raise
        if chunk == b"":
            self._end(Closed(BROKEN_OFF))
            raise Closed(BROKEN_OFF)

    def send(self, data: "bytes | str") -> bool:
        """A binary message, or a text; it goes at once or when the hub takes it, and the connection is ended
        where too much waits. False where it is over, as `messages` will say too: it goes nowhere."""
        kind, payload = (TEXT, data.encode("utf-8", "replace")) if isinstance(data, str) else (BINARY, data)
        self._put(kind, payload)
        return self._closed is None and not self._is_broken

    def flush(self) -> None:
        """Send what the hub takes now."""
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._is_broken = True  # the other direction says how it ended, behind what is still to be read
            self._unsent.clear()

    def close(self, code: int = NORMAL) -> None:
        """Say goodbye, without waiting for the answer, and end the connection."""
        if self._closed is None:
            self._end(Closed(code))

    def _end(self, closed: Closed) -> None:
        code = NORMAL if closed.code in (NO_CODE, BROKEN_OFF) else closed.code
        if self._closed is None and closed.code != BROKEN_OFF:
            self._closed = closed
            self._put(CLOSE, code.to_bytes(2, "big"))
        self._closed = closed
        self._answer.close()

    def _put(self, kind: int, payload: bytes) -> None:
        self._unsent += frame(kind, payload, os.urandom(4))
        self.flush()
        if len(self._unsent) > _MAX_UNSENT_BYTES and self._closed is None:
            self._end(Closed(BROKEN_OFF, "the hub takes nothing"))

    def _received(self) -> bytes | None:
        """What has come; None where nothing has, empty at the end."""
        try:
            return next(self._answer.chunks(), b"")
        except BlockingIOError:
            return None
        except OSError:
            return b""


def open_websocket(hub: "Hub", path: str, patience: float = _PATIENCE) -> WebSocket:
    """A WebSocket to this path of the hub. `patience`: seconds, for the hub's next word in answering.

    Raises:
        Failure: the hub cannot be reached, refuses, says nothing, or is no hub.
    """
    from binascii import b2a_base64
    from hashlib import sha1

    key = b2a_base64(os.urandom(16), newline=False)
    accept = b2a_base64(sha1(key + _ACCEPT_SALT).digest(), newline=False).decode()
    answer, connection = _ask(hub, path, key.decode(), patience)
    if answer.status >= 400:
        raise failure_of(answer)
    headers = answer.headers
    is_framed = "content-length" in headers or "transfer-encoding" in headers
    if answer.status != 101 or headers.get("sec-websocket-accept") != accept or is_framed:
        answer.close()
        raise Failure("what answers on the hub's socket speaks no WebSocket", exits.UNREACHABLE)
    return WebSocket(connection, answer)


def _ask(hub: "Hub", path: str, key: str, patience: float) -> "tuple[Answer, _socket.socket]":
    connection = hub.connect()
    connection.settimeout(patience)
    head = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"]
    head += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
    try:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
    except ConnectionError:
        pass  # refused while it was sent: the answer says why
    return Answer(connection, None), connection
