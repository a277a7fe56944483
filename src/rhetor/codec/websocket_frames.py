"""What a server writes to a WebSocket, as bytes (RFC 6455, section 5.2): not masked, so that the same bytes
do for all who read. Reading is the server library's."""

from __future__ import annotations

import struct

_TEXT, _BINARY = b"\x81", b"\x82"  # whole messages


def text_frame(payload: bytes) -> bytes:
    """A text message; `payload` is UTF-8."""
    return _TEXT + _length(len(payload)) + payload


def binary_frame(payload: bytes) -> bytes:
    """A binary message."""
    return _BINARY + _length(len(payload)) + payload


def _length(size: int) -> bytes:
    if size < 126:
        return bytes((size,))
    return struct.pack("!BH", 126, size) if size < 1 << 16 else struct.pack("!BQ", 127, size)
