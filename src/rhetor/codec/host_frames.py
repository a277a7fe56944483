"""The frames between a host and its clients on a Unix socket, and the records of a host's spool.

This module defines their layout (big-endian, each after its length) and their limits. The host decides what a
request does and who may send it. Each host imports this module, so it uses only those parts of the standard
library that need little memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from struct import error as StructError

MAX_FRAME_BYTES = 1 << 17
MAX_PIECE_BYTES = 1 << 16  # of data in one frame or record

# requests
HELLO, STATUS, READ, READ_STDERR, WRITE, CLOSE_STDIN, RESIZE, SIGNAL, ACKNOWLEDGE, END, WAIT = range(1, 12)
SEAL = 12
# answers
DONE, FAILED, FACTS, CHUNK, LOST, EXITED = range(64, 70)

# why a request failed
WRONG_NONCE, PROGRAM_OVER, STDIN_CLOSED, AHEAD, BAD_REQUEST, NO_TERMINAL, TURN_LOST = range(1, 8)
CANNOT_SEAL = 8

KEYS, TEXT = 0, 1

_LENGTH = Struct(">I")
_HELLO = Struct(">?16s")
_OFFSET = Struct(">Q")
_WRITE = Struct(">B?")
_SIZE = Struct(">HH")
_NUMBER = Struct(">I")
_CHUNK = Struct(">QQ")
_EXITED = Struct(">iiQQ")
_RECORD = Struct(">IQQ")
RECORD_HEAD_BYTES = _RECORD.size

Frame = tuple[int, bytes]
Fields = list[tuple[str, bytes]]


class FrameBroken(ValueError):
    """The bytes are not a frame, record or body of this protocol. Nothing after them can be trusted."""


def frame(kind: int, body: bytes = b"") -> bytes:
    """Return the bytes of one frame.

    Raises:
        FrameBroken: the frame is larger than `MAX_FRAME_BYTES`, without its length.
    """
    if len(body) >= MAX_FRAME_BYTES:
        raise FrameBroken(f"a frame of {len(body)} bytes")
    return b"".join((_LENGTH.pack(len(body) + 1), bytes((kind,)), body))


class FrameDecoder:
    """Turns bytes, split anywhere, into complete frames, in order.

    Besides the piece that it is fed, it holds less than one frame, at most `MAX_FRAME_BYTES`.
    """

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that the piece completes.

        Raises:
            FrameBroken: a length is 0 or over the limit.
        """
        held = self._held
        held += data
        frames: list[Frame] = []
        at = 0
        while len(held) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(held, at)
            if not 0 < length <= MAX_FRAME_BYTES:
                raise FrameBroken(f"a frame of {length} bytes")
            body = at + _LENGTH.size + 1
            after = body + length - 1
            if after > len(held):
                break
            frames.append((held[body - 1], bytes(held[body:after])))
            at = after
        del held[:at]
        return frames


def pack_hello(nonce: bytes, *, hub: bool) -> bytes:
    """Pack the first request of a client. `hub`: the client is a hub; the host ends its program some time
    after the last hub has disconnected."""
    return _HELLO.pack(hub, nonce)


def unpack_hello(body: bytes) -> tuple[bool, bytes]:
    hub, nonce = _unpacked(_HELLO, body)
    return bool(hub), bytes(nonce)


def pack_offset(offset: int) -> bytes:
    return _OFFSET.pack(offset)


def unpack_offset(body: bytes) -> int:
    return int(_unpacked(_OFFSET, body)[0])


def pack_write(kind: int, data: bytes, *, last: bool) -> bytes:
    """Pack a piece of a write, at most `MAX_PIECE_BYTES` of data. No bytes of another writer come between it
    and the `last` piece."""
    return _WRITE.pack(kind, last) + data


def unpack_write(body: bytes) -> tuple[int, bool, bytes]:
    kind, last = _unpacked(_WRITE, body[: _WRITE.size])
    return int(kind), bool(last), body[_WRITE.size :]


def pack_size(rows: int, cols: int) -> bytes:
    return _SIZE.pack(rows, cols)


def unpack_size(body: bytes) -> tuple[int, int]:
    rows, cols = _unpacked(_SIZE, body)
    return int(rows), int(cols)


def pack_number(number: int) -> bytes:
    """Pack a signal's number, a grace period in milliseconds, or the reason for a failure."""
    return _NUMBER.pack(number)


def unpack_number(body: bytes) -> int:
    return int(_unpacked(_NUMBER, body)[0])


def pack_chunk(offset_after: int, at_ms: int, data: bytes) -> bytes:
    return _CHUNK.pack(offset_after, at_ms) + data


def unpack_chunk(body: bytes) -> tuple[int, int, bytes]:
    offset_after, at_ms = _unpacked(_CHUNK, body[: _CHUNK.size])
    return int(offset_after), int(at_ms), body[_CHUNK.size :]


def pack_exited(code: int | None, signal: int | None, at_ms: int, head: int) -> bytes:
    """Pack how a program ended, and where its output ends. A host's `exit` file has the same bytes."""
    return _EXITED.pack(-1 if code is None else code, signal or 0, at_ms, head)


def unpack_exited(body: bytes) -> tuple[int | None, int | None, int, int]:
    code, signal, at_ms, head = _unpacked(_EXITED, body)
    return (None if code < 0 else int(code)), (int(signal) or None), int(at_ms), int(head)


def pack_seal(key: bytes, library: str) -> bytes:
    """Pack the request to seal the spool with `key`, of 32 bytes. `library`: see the host's spec."""
    return key + library.encode(errors="surrogateescape")


def unpack_seal(body: bytes) -> tuple[bytes, str]:
    return body[:32], body[32:].decode(errors="surrogateescape")


def pack_replaced(begin: int, at: int, record: bytes) -> bytes:
    """Pack a record of the segment that begins at the offset `begin`, for the position `at` in its file."""
    return _CHUNK.pack(begin, at) + record


def unpack_replaced(data: bytes) -> tuple[int, int, bytes]:
    begin, at = _unpacked(_CHUNK, data[: _CHUNK.size])
    return int(begin), int(at), data[_CHUNK.size :]


def pack_fields(fields: Iterable[tuple[str, bytes]]) -> bytes:
    """Pack names and values, in order. A name may occur more than once."""
    parts: list[bytes] = []
    for name, value in fields:
        key = name.encode()
        parts += (_LENGTH.pack(len(key)), key, _LENGTH.pack(len(value)), value)
    return b"".join(parts)


def unpack_fields(data: bytes) -> Fields:
    """Return the names and values that `pack_fields` packed.

    Raises:
        FrameBroken: a field is cut off.
    """
    fields: Fields = []
    at = 0
    while at < len(data):
        key, at = _taken(data, at)
        value, at = _taken(data, at)
        fields.append((key.decode(errors="replace"), value))
    return fields


def record(offset: int, at_ms: int, data: bytes) -> bytes:
    """Return one record of a spool. `offset`: where `data` begins in the program's output."""
    return _RECORD.pack(len(data), offset, at_ms) + data


def records(data: bytes, at: int = 0, most: int = MAX_PIECE_BYTES) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield the complete records from `at` on: where the next one begins, offset, time in milliseconds, data
    (at most `most` bytes).

    An incomplete record ends the iteration, because its writer has not written the rest yet.

    Raises:
        FrameBroken: a length is over the limit.
    """
    while at + _RECORD.size <= len(data):
        length, offset, at_ms = _RECORD.unpack_from(data, at)
        if length > most:
            raise FrameBroken(f"a record of {length} bytes")
        after = at + _RECORD.size + length
        if after > len(data):
            return
        yield after, offset, at_ms, data[at + _RECORD.size : after]
        at = after


def _taken(data: bytes, at: int) -> tuple[bytes, int]:
    (length,) = _unpacked(_LENGTH, data[at : at + _LENGTH.size])
    begin = at + _LENGTH.size
    if begin + length > len(data):
        raise FrameBroken("a field is cut off")
    return data[begin : begin + length], begin + length


def _unpacked(layout: Struct, body: bytes) -> tuple[int, ...]:
    try:
        return layout.unpack(body)
    except StructError as error:
        raise FrameBroken(str(error)) from None
