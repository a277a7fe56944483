"""The frames of RFC 6455, as a client writes and reads them: bytes in, messages out, and no connection."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Message: TypeAlias = tuple[int, bytes]

_MORE, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL, _PROTOCOL_ERROR, NO_CODE, BROKEN_OFF, _NOT_UTF8, _TOO_LARGE = 1000, 1002, 1005, 1006, 1007, 1009
LEAVING, RESTARTING, FORBIDDEN, TOO_SLOW = 1001, 1012, 4003, 4008

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_MAX_CONTROL_BYTES = 125


class Closed(Exception):
    """The connection is over: with the code and the reason that the hub gave, or with `BROKEN_OFF` where it
    gave none; with 1002, 1007 or 1009 where what it sent does not hold."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"closed with {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class Incoming:
    """Bytes of a server, cut anywhere → its messages, in order, each whole."""

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = max_message_bytes
        self._buffer = bytearray()
        self._kind = _MORE
        self._begun = bytearray()

    def feed(self, chunk: bytes) -> None:
        self._buffer += chunk

    def next(self) -> "Message | None":
        """The next message that is complete; None until more is fed. Controls come where they stand, also
        between the pieces of a message.

        Raises:
            Closed: the bytes are no frames of a server (1002), no UTF-8 (1007), or too many (1009).
        """
        while (found := self._next_frame()) is not None:
            is_final, kind, payload = found
            if kind >= CLOSE:
                return kind, bytes(payload)
            if (kind == _MORE) != bool(self._kind):
                raise Closed(_PROTOCOL_ERROR, "a piece of no message")
            self._kind = kind or self._kind
            self._begun += payload
            if is_final:
                return self._whole()
        return None

    def _whole(self) -> "Message":
        kind, data = self._kind, bytes(self._begun)
        self._kind, self._begun = _MORE, bytearray()
        if kind == TEXT:
            _utf8(data)
        return kind, data

    def _next_frame(self) -> "tuple[bool, int, bytearray] | None":
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        is_final, kind, size = bool(buffer[0] & 0x80), buffer[0] & 0x0F, buffer[1]
        if buffer[0] & 0x70 or kind not in (_MORE, TEXT, BINARY, CLOSE, PING, PONG) or size & 0x80:
            raise Closed(_PROTOCOL_ERROR, "no frame of a server")
        begin = 2
        if size > _MAX_CONTROL_BYTES:
            begin = 4 if size == 126 else 10
            if kind >= CLOSE:
                raise Closed(_PROTOCOL_ERROR, "a control frame that is too long")
            if len(buffer) < begin:
                return None
            size = _long_size(buffer[2:begin])
        if kind >= CLOSE and not is_final:
            raise Closed(_PROTOCOL_ERROR, "a control frame in pieces")
        if kind < CLOSE and len(self._begun) + size > self._limit:
            raise Closed(_TOO_LARGE, f"a message over {self._limit} bytes")
        if len(buffer) < begin + size:
            return None
        payload = buffer[begin : begin + size]
        del buffer[: begin + size]
        return is_final, kind, payload


def frame(kind: int, payload: bytes, mask: bytes) -> bytes:
    """One whole message of a client. `mask`: four bytes that nobody can foresee (RFC 6455, 10.3)."""
    size = len(payload)
    if size <= _MAX_CONTROL_BYTES:
        head = bytes((0x80 | kind, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((0x80 | kind, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | kind, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + mask + _masked(payload, mask)


def closing(payload: bytes) -> Closed:
    """What a closing frame says (RFC 6455, 5.5.1 and 7.4)."""
    if not payload:
        return Closed(NO_CODE)
    code = int.from_bytes(payload[:2], "big")
    is_sendable = code in range(1000, 1004) or code in range(1007, 1015) or code in range(3000, 5000)
    if len(payload) == 1 or not is_sendable:
        return Closed(_PROTOCOL_ERROR, "a closing frame without a code")
    try:
        return Closed(code, str(payload[2:], "utf-8"))
    except UnicodeDecodeError:
        return Closed(_NOT_UTF8)


def _masked(data: bytes, mask: bytes) -> bytes:
    """As whole numbers: a loop over the bytes would be a hundred times slower."""
    size = len(data)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


def _long_size(digits: bytearray) -> int:
    size = int.from_bytes(digits, "big")
    shortest = 126 if len(digits) == 2 else 1 << 16
    if not shortest <= size < 1 << 63:
        raise Closed(_PROTOCOL_ERROR, "a size that is not written as RFC 6455 has it")
    return size


def _utf8(data: bytes) -> None:
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        raise Closed(_NOT_UTF8) from None
