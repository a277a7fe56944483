"""Responses as streams: server-sent events, and the messages of a WebSocket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from rhetor.codec.websocket_frames import text_frame
from rhetor.errors import RhetorError
from rhetor.store.base import Record

from . import vendor_errors
from .openai_responses_answer import Answer

DONE = b"data: [DONE]\n\n"
_encode = msgspec.json.encode


class SseResponse(Answer):
    """The server-sent events of a response, up to its end. `after`: the number of the last event that the
    client has, -1 for none."""

    after: int = -1

    def encode(self, record: Record) -> bytes:
        frames = frames_of(event for event in self.add(record) if event["sequence_number"] > self.after)
        return frames + DONE if self.is_over and record.turn_id == self.about.turn_id else frames


class SocketResponse(Answer):
    """The messages of a response on a WebSocket, up to its end."""

    def encode(self, record: Record) -> bytes:
        return b"".join(text_frame(_encode(event)) for event in self.add(record))


def frames_of(events: Iterable[dict[str, Any]]) -> bytes:
    """Return events as server-sent events."""
    return b"".join(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _encode(event)) for event in events)


def error_frame(error: RhetorError) -> bytes:
    """Return the last frame of a stream that the hub ends early. It has the members of both documents: those
    of OpenAI itself, and `error` as in Open Responses."""
    found = vendor_errors.openai(error, vendor_errors.OF_RESPONSES)["error"]
    flat = {name: found[name] for name in ("code", "message", "param")}
    return frames_of([{"type": "error", "sequence_number": 0, **flat, "error": found}]) + DONE


def socket_error(error: RhetorError) -> bytes:
    """Return the message for an error on a WebSocket."""
    found = vendor_errors.openai(error, vendor_errors.OF_RESPONSES)["error"]
    return _encode({"type": "error", "status": vendor_errors.status_of(error), "error": found})
