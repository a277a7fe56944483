"""What the WebSocket dialects share: frames that are encoded once for all readers, and the frames' numbers.

Each subscriber has a view of its own, which knows the last frame that its reader has and which events it
leaves out. The frames themselves are stored with the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rhetor.codec.websocket_frames import text_frame
from rhetor.store.base import Record

TURN_ENDS = frozenset({"turn.completed", "turn.failed", "turn.cancelled", "turn.interrupted"})
Make = Callable[[Record, int], Iterable[bytes]]


def shared(record: Record, name: str, prev: int, make: Make) -> bytes:
    """The event's WebSocket frames, encoded by `make` once for all readers with the same `name` and `prev`.

    `prev` is the number of the frame before it, which is the same for nearly all readers of one dialect.
    """
    key = f"{name}.{prev}"
    known = record.frames.get(key)
    if known is None:
        known = record.frames[key] = b"".join(map(text_frame, make(record, prev)))
    return known


def numbered(record: Record, prev: int, *, seq: int | None = None) -> dict[str, Any]:
    """The position members of a frame. `seq`: the frame's number, if it is not the event's."""
    return {"epoch": record.epoch, "seq": record.seq if seq is None else seq, "prev": prev}
