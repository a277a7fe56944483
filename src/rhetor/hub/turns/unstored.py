"""What a turn has read from its peer and not stored yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rhetor.domain.event import OutputDelta, Payload
from rhetor.domain.permission import Decided
from rhetor.store.base import Row

from .pending import Settled


class Unstored:
    """Payloads with the rows of the requests that they open or close, answers that the user's rules gave,
    spool offsets, and the memory of conversations by the key of their program."""

    def __init__(self) -> None:
        self.payloads: list[Payload] = []
        self.rows: dict[tuple[str, str], Row] = {}
        self.decided: list[Decided] = []
        self.offsets: dict[str, int] = {}
        self.memories: dict[str, dict[str, Any]] = {}

    def add(self, settled: Settled) -> None:
        self.payloads += settled.payloads
        self._put(settled.rows.values())
        self.decided += settled.decided

    def close(self, answers: Sequence[Payload], rows: Sequence[Row]) -> None:
        """Add the answers and rows that close the open requests."""
        self.payloads += answers
        self._put(rows)

    def put_back(self, earlier: Unstored) -> None:
        """Put what could not be stored before what was read meanwhile."""
        self.payloads[:0] = earlier.payloads
        self.rows = earlier.rows | self.rows
        self.decided[:0] = earlier.decided
        self.offsets = earlier.offsets | self.offsets
        self.memories = earlier.memories | self.memories

    def _put(self, rows: Iterable[Row]) -> None:
        self.rows |= {(row.kind, row.id): row for row in rows}


def joined(payloads: Sequence[Payload]) -> Sequence[Payload]:
    """Return the payloads, with adjacent chunks of the same channel merged."""
    out: list[Payload] = []
    chunk: list[str] = []
    channel = None
    for payload in payloads:
        if isinstance(payload, OutputDelta) and (channel is None or payload.channel == channel):
            chunk.append(payload.text)
            channel = payload.channel
            continue
        if channel is not None:
            out.append(OutputDelta("".join(chunk), channel))
            chunk, channel = [], None
        if isinstance(payload, OutputDelta):
            chunk, channel = [payload.text], payload.channel
        else:
            out.append(payload)
    if channel is not None:
        out.append(OutputDelta("".join(chunk), channel))
    return out
