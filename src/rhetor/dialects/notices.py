"""Events as JSON-RPC notices: what the dialects that speak it have in common.

A view is one subscriber's: it knows where its reader is, and which frames it leaves out. The frames
themselves are made once for all who read the same, and lie beside the event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rhetor.codec.websocket_frames import text_frame
from rhetor.store.base import Record

TURN_ENDS = frozenset({"turn.completed", "turn.failed", "turn.cancelled", "turn.interrupted"})
Make = Callable[[Record, int], Iterable[bytes]]


def shared(record: Record, name: str, prev: int, make: Make) -> bytes:
    """The frames that `make` gives for the event, made once for all whose frame before it had the number
    `prev`: in one dialect (`name`) that is nearly everyone."""
    key = f"{name}.{prev}"
    known = record.frames.get(key)
    if known is None:
        known = record.frames[key] = b"".join(map(text_frame, make(record, prev)))
    return known


def numbered(record: Record, prev: int, *, seq: int | None = None) -> dict[str, Any]:
    """Where a frame stands; `seq` where it is not the event's own number."""
    return {"epoch": record.epoch, "seq": record.seq if seq is None else seq, "prev": prev}
