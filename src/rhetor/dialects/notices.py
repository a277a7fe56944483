"""Frames of the WebSocket dialects: encoding them once for all readers, and numbering them.

Each subscriber has its own view, which knows the last frame that its reader has and which events it leaves
out. The frames themselves are stored with the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rhetor.codec.websocket_frames import text_frame
from rhetor.store.base import Record

TURN_ENDS = frozenset({"turn.completed", "turn.failed", "turn.cancelled", "turn.interrupted"})
Make = Callable[[Record, int], Iterable[bytes]]


def shared(record: Record, name: str, prev: int, make: Make) -> bytes:
    """Return the event's WebSocket frames. `make` encodes them once for all readers with the same `name` and
    `prev`.

    `prev` is the number of the frame before them, which is the same for nearly all readers of one dialect.
    """
    key = f"{name}.{prev}"
    known = record.frames.get(key)
    if known is None:
        known = record.frames[key] = b"".join(map(text_frame, make(record, prev)))
    return known


def numbered(record: Record, prev: int, *, seq: int | None = None) -> dict[str, Any]:
    """Return the members of a frame that state its position. `seq`: the frame's number, if it is not the
    event's."""
    return {"epoch": record.epoch, "seq": record.seq if seq is None else seq, "prev": prev}
