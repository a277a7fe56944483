"""The frames that a server writes to a WebSocket (RFC 6455, section 5.2).

A server does not mask its frames, so the same bytes can be sent to all readers. The WebSocket library reads
the frames of clients.
"""

from __future__ import annotations

import struct

_TEXT, _BINARY = b"\x81", b"\x82"  # whole messages


def text_frame(payload: bytes) -> bytes:
    """Return the frame of a text message; `payload` must be UTF-8."""
    return _TEXT + _length(len(payload)) + payload


def binary_frame(payload: bytes) -> bytes:
    """Return the frame of a binary message."""
    return _BINARY + _length(len(payload)) + payload


def _length(size: int) -> bytes:
    if size < 126:
        return bytes((size,))
    return struct.pack("!BH", 126, size) if size < 1 << 16 else struct.pack("!BQ", 127, size)
