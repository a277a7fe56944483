"""Bulk requests: the events of a plan become one result per operation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from rhetor.domain import event as ev
from rhetor.store.base import Record


class Results(msgspec.Struct):
    """Turns the events of a plan, given in order, into the results of its operations.

    `sent`: how the client wrote the peers, by operation; the others are named as the hub calls them.
    `started`: the peer of each step that has started, and when it did, as Unix time in milliseconds. It is
    replaced, never changed, so that a shallow copy of this object is independent.
    """

    sent: Mapping[str, str] = MappingProxyType({})
    started: Mapping[str, tuple[str, int]] = MappingProxyType({})

    def add(self, event: ev.Event) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the id and the result of the operation that this event ends, if it ends one.

        A result is `{status, response, ai, execution_time, error?}`. `status` is success, failed or
        skipped; `execution_time` is in seconds.
        """
        match event.payload:
            case ev.StepStarted(step=step, peer=peer):
                self.started = {**self.started, step: (peer, event.at)}
            case ev.StepDone(step, text):
                yield step, self._result(step, event.at, "success", text)
            case ev.StepFailed(step, code, detail, retryable, data):
                error = {**data, "code": code, "detail": detail, "retryable": retryable}
                yield step, {**self._result(step, event.at, "failed", None), "error": error}
            case ev.StepSkipped(step, because):
                error = {"code": "skipped", "detail": f"{because} failed", "because": because}
                yield step, {**self._result(step, event.at, "skipped", None), "error": error}

    def _result(self, step: str, at: int, status: str, response: str | None) -> dict[str, Any]:
        peer, began = self.started.get(step, (None, at))
        return {
            "status": status,
            "response": response,
            "ai": self.sent.get(step, peer) if peer else None,
            "execution_time": (at - began) / 1000,
        }


class SseResults(Results):
    """Encodes the results as server-sent events. The last one is `done`, at the plan's end. `prev`: the
    number of the last frame, 0 for none."""

    prev: int = 0
    is_over: bool = False

    def encode(self, record: Record) -> bytes:
        event, frames = record.event, list[bytes]()
        for id, result in self.add(event):
            frames.append(_frame(event, {"type": "result", "id": id, **result}, self.prev))
            self.prev = event.seq
        if isinstance(event.payload, ev.PlanEnded):
            frames.append(_frame(event, {"type": "done", "status": event.payload.status}, self.prev))
            self.is_over = True
        return b"".join(frames)


def _frame(event: ev.Event, body: dict[str, Any], prev: int) -> bytes:
    """Return a server-sent event. `prev`: the number of the event that this stream sent before it, 0 for
    none."""
    position = event.position
    body = {**body, "epoch": position.epoch, "seq": position.seq, "prev": prev}
    return b"id: %b\ndata: %b\n\n" % (str(position).encode(), msgspec.json.encode(body))
