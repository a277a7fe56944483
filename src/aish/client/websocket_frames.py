"""The client's side of WebSocket frames (RFC 6455). It does no I/O."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Message: TypeAlias = tuple[int, bytes]

_CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL, _PROTOCOL_ERROR, NO_STATUS, ABNORMAL, _NOT_UTF8, _TOO_LARGE = 1000, 1002, 1005, 1006, 1007, 1009
GOING_AWAY, RESTARTING, FORBIDDEN, TOO_SLOW = 1001, 1012, 4003, 4008

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_MAX_CONTROL_BYTES = 125


class Closed(Exception):
    """The connection is closed, with the code and the reason from the hub's close frame. The code is
    `ABNORMAL` if there was no close frame, and 1002, 1007 or 1009 if the hub sent invalid frames."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"closed with {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class Incoming:
    """Joins the bytes from a server, which arrive in any pieces, into complete messages, in order."""

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = max_message_bytes
        self._buffer = bytearray()
        self._kind = _CONTINUATION
        self._fragments = bytearray()

    def feed(self, chunk: bytes) -> None:
        self._buffer += chunk

    def next(self) -> "Message | None":
        """Return the next complete message, or None if more bytes are needed. Control frames are returned in
        their order, even between the fragments of a message.

        Raises:
            Closed: the bytes are not frames of a server (1002), not UTF-8 (1007), or too many (1009).
        """
        while (found := self._next_frame()) is not None:
            is_final, kind, payload = found
            if kind >= CLOSE:
                return kind, bytes(payload)
            if (kind == _CONTINUATION) != bool(self._kind):
                raise Closed(_PROTOCOL_ERROR, "unexpected fragment")
            self._kind = kind or self._kind
            self._fragments += payload
            if is_final:
                return self._finish()
        return None

    def _finish(self) -> "Message":
        kind, data = self._kind, bytes(self._fragments)
        self._kind, self._fragments = _CONTINUATION, bytearray()
        if kind == TEXT:
            _utf8(data)
        return kind, data

    def _next_frame(self) -> "tuple[bool, int, bytearray] | None":
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        is_final, kind, size = bool(buffer[0] & 0x80), buffer[0] & 0x0F, buffer[1]
        if buffer[0] & 0x70 or kind not in (_CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG) or size & 0x80:
            raise Closed(_PROTOCOL_ERROR, "invalid frame")
        begin = 2
        if size > _MAX_CONTROL_BYTES:
            begin = 4 if size == 126 else 10
            if kind >= CLOSE:
                raise Closed(_PROTOCOL_ERROR, "control frame too long")
            if len(buffer) < begin:
                return None
            size = _long_size(buffer[2:begin])
        if kind >= CLOSE and not is_final:
            raise Closed(_PROTOCOL_ERROR, "fragmented control frame")
        if kind < CLOSE and len(self._fragments) + size > self._limit:
            raise Closed(_TOO_LARGE, f"message larger than {self._limit} bytes")
        if len(buffer) < begin + size:
            return None
        payload = buffer[begin : begin + size]
        del buffer[: begin + size]
        return is_final, kind, payload


def frame(kind: int, payload: bytes, mask: bytes) -> bytes:
    """Return one unfragmented message of a client. `mask` is four unpredictable bytes (RFC 6455, 10.3)."""
    size = len(payload)
    if size <= _MAX_CONTROL_BYTES:
        head = bytes((0x80 | kind, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((0x80 | kind, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | kind, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + mask + _masked(payload, mask)


def parse_close(payload: bytes) -> Closed:
    """Return the code and the reason of a close frame (RFC 6455, 5.5.1 and 7.4)."""
    if not payload:
        return Closed(NO_STATUS)
    code = int.from_bytes(payload[:2], "big")
    is_sendable = code in range(1000, 1004) or code in range(1007, 1015) or code in range(3000, 5000)
    if len(payload) == 1 or not is_sendable:
        return Closed(_PROTOCOL_ERROR, "close frame without a valid code")
    try:
        return Closed(code, str(payload[2:], "utf-8"))
    except UnicodeDecodeError:
        return Closed(_NOT_UTF8)


def _masked(data: bytes, mask: bytes) -> bytes:
    """Return the masked data. XOR on two large integers is a hundred times faster than a loop over bytes."""
    size = len(data)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


def _long_size(digits: bytearray) -> int:
    size = int.from_bytes(digits, "big")
    shortest = 126 if len(digits) == 2 else 1 << 16
    if not shortest <= size < 1 << 63:
        raise Closed(_PROTOCOL_ERROR, "invalid length encoding")
    return size


def _utf8(data: bytes) -> None:
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        raise Closed(_NOT_UTF8) from None
