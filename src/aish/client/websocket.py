"""A WebSocket to the hub, over its Unix socket.

Once it is open, it never blocks: its owner waits on its descriptor. It does not know what messages mean.
"""

import os

from aish.client.home import own_key
from aish.client.hub import response_failure
from aish.client.response import Response, not_rhetor
from aish.client.websocket_frames import (
    ABNORMAL,
    BINARY,
    CLOSE,
    NO_STATUS,
    NORMAL,
    PING,
    PONG,
    TEXT,
    Closed,
    Incoming,
    frame,
    parse_close,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterator

    from aish.client.hub import Hub
    from aish.client.websocket_frames import Message

_MAX_UNSENT_BYTES = 1024 * 1024
_ACCEPT_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TIMEOUT = 10.0  # seconds


class WebSocket:
    """An open connection.

    Read `messages` once at the beginning, because some may have arrived with the upgrade. Then select on it:
    for reading, and for writing while there are `unsent_bytes`.
    """

    def __init__(self, connection: "_socket.socket", response: Response) -> None:
        self._connection = connection
        self._response = response
        self._incoming = Incoming()
        self._unsent = bytearray()
        self._closed: Closed | None = None
        self._is_broken = False
        connection.setblocking(False)

    def fileno(self) -> int:
        return self._connection.fileno()

    @property
    def unsent_bytes(self) -> int:
        """The number of bytes that the hub has not accepted yet."""
        return len(self._unsent)

    def messages(self) -> "Iterator[Message]":
        """Yield the text and binary messages that have arrived, in order. Pings are answered.

        Raises:
            Closed: the connection is closed. This is raised after the last message.
        """
        if self._closed:
            raise self._closed
        chunk = self._receive()
        self._incoming.feed(chunk or b"")
        try:
            while (message := self._incoming.next()) is not None:
                kind, data = message
                if kind == CLOSE:
                    raise parse_close(data)
                if kind == PING:
                    self._put(PONG, data)
                elif kind != PONG:
                    yield message
        except Closed as closed:
            self._end(closed)
            raise
        if chunk == b"":
            self._end(Closed(ABNORMAL))
            raise Closed(ABNORMAL)

    def send(self, data: "bytes | str") -> bool:
        """Send a binary or text message, now or when the hub accepts it.

        If too much is unsent, the connection is closed. Return False if it is closed; `messages` then raises
        `Closed`.
        """
        kind, payload = (TEXT, data.encode("utf-8", "replace")) if isinstance(data, str) else (BINARY, data)
        self._put(kind, payload)
        return self._closed is None and not self._is_broken

    def flush(self) -> None:
        """Send what the hub accepts now."""
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._is_broken = True  # `messages` reports how the connection ended
            self._unsent.clear()

    def close(self, code: int = NORMAL) -> None:
        """Send a close frame and close the connection, without waiting for the hub."""
        if self._closed is None:
            self._end(Closed(code))

    def _end(self, closed: Closed) -> None:
        code = NORMAL if closed.code in (NO_STATUS, ABNORMAL) else closed.code
        if self._closed is None and closed.code != ABNORMAL:
            self._closed = closed
            self._put(CLOSE, code.to_bytes(2, "big"))
        self._closed = closed
        self._response.close()

    def _put(self, kind: int, payload: bytes) -> None:
        self._unsent += frame(kind, payload, os.urandom(4))
        self.flush()
        if len(self._unsent) > _MAX_UNSENT_BYTES and self._closed is None:
            self._end(Closed(ABNORMAL, "the hub does not accept more data"))

    def _receive(self) -> bytes | None:
        """Return the bytes that have arrived; None if there are none, empty at the end of the connection."""
        try:
            return next(self._response.chunks(), b"")
        except BlockingIOError:
            return None
        except OSError:
            return b""


def open_websocket(hub: "Hub", path: str, timeout: float = _TIMEOUT) -> WebSocket:
    """Open a WebSocket to this path of the hub. `timeout` limits each wait for the hub, in seconds.

    Raises:
        Failure: the hub cannot be reached, rejects the request, does not answer, or is not a hub.
    """
    from binascii import b2a_base64
    from hashlib import sha1

    key = b2a_base64(os.urandom(16), newline=False)
    accept = b2a_base64(sha1(key + _ACCEPT_SALT).digest(), newline=False).decode()
    response, connection = _request_upgrade(hub, path, key.decode(), timeout)
    if response.status >= 400:
        raise response_failure(response)
    headers = response.headers
    is_framed = "content-length" in headers or "transfer-encoding" in headers
    if response.status != 101 or headers.get("sec-websocket-accept") != accept or is_framed:
        failure = not_rhetor(connection)
        response.close()
        raise failure
    return WebSocket(connection, response)


def _request_upgrade(hub: "Hub", path: str, key: str, timeout: float) -> "tuple[Response, _socket.socket]":
    connection = hub.connect()
    connection.settimeout(timeout)
    head = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"]
    head += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
    if own := own_key():
        head.append(f"Authorization: Bearer {own}")
    try:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
    except ConnectionError:
        pass  # the hub rejected the request before it was complete; the response has the reason
    return Response(connection, None), connection
