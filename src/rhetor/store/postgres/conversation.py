"""Reads the messages of conversations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rhetor.domain.event import Position, UsageReported
from rhetor.errors import NotFound
from rhetor.store.base import MOST_PREFACE, Spoken, Summary
from rhetor.store.encoding import decode
from rhetor.store.messages import beginning, cost_of, last_spoken
from rhetor.store.sealed import Sealing

from .connection import Pool
from .statements import sql

FEW, GROWTH = 64, 8  # messages that are read first, and how many times as many next
MOST_BYTES = 4 * MOST_PREFACE  # of a beginning in UTF-8
_FOREVER = 2**63 - 1


def opened_text(
    sealing: Sealing, origin: str, seq: int, content: bytes, is_sealed: bool, *, cut: bool = False
) -> str:
    """Return the text of a message. `cut`: the content may end within a character.

    Raises:
        SealBroken: it was changed, or is not sealed although it must be.
    """
    return sealing.opened_text(
        origin, seq, content if is_sealed else content.decode(errors="ignore" if cut else "strict")
    )


class Conversations:
    """The messages of streams, as `Log` reads them."""

    def __init__(self, pool: Pool, sealing: Sealing) -> None:
        self._pool = pool
        self._sealing = sealing

    async def spoken(
        self, stream: str, limit: int, answered: bool, until: Position | None
    ) -> Sequence[Spoken]:
        """Return the last messages, as `Log.spoken` does. More are read until they are sufficient."""
        async with self._pool.transaction() as connection:
            statement = sql("head") if until is None else sql("epoch")
            found = await connection.fetchrow(statement, stream if until is None else until.epoch)
            if found is None or found[1] != stream:
                raise NotFound("stream", stream)
            last = _FOREVER if until is None else until.seq
            count = FEW
            while True:
                rows = await connection.fetch(sql("spoken"), found[0], last, count)
                backwards = _Backwards(self._messages(rows))
                spoken = last_spoken(backwards, limit, answered=answered)
                if len(rows) < count or not backwards.is_exhausted:
                    return spoken
                count *= GROWTH

    async def summaries(self, streams: Sequence[str]) -> Mapping[str, Summary]:
        reports: dict[str, list[UsageReported]] = {}
        async with self._pool.transaction() as connection:
            found = await connection.fetch(sql("summaries"), list(streams), MOST_BYTES)
            for stream, origin, seq, data in await connection.fetch(sql("usage"), list(streams)):
                report = decode(UsageReported.type, self._sealing.opened_event(origin, seq, data))
                assert isinstance(report, UsageReported)
                reports.setdefault(stream, []).append(report)
        summaries = {}
        for stream, messages, origin, seq, is_sealed, content, is_whole in found:
            cost, is_known = cost_of(reports.get(stream, ()))
            first = opened_text(self._sealing, origin, seq, content, is_sealed, cut=True) if origin else ""
            summaries[stream] = Summary(beginning(first), messages, cost, is_known and is_whole)
        return summaries

    async def last_messages(self, streams: Sequence[str]) -> Mapping[str, str]:
        found = await self._pool.fetch(sql("last_messages"), list(streams), MOST_BYTES)
        return {
            stream: opened_text(self._sealing, origin, seq, content, is_sealed, cut=True)[:MOST_PREFACE]
            for stream, origin, seq, is_sealed, content in found
        }

    def _messages(self, rows: Sequence[Any]) -> Iterator[Spoken]:
        for turn_id, role, content, is_sealed, at, seq, epoch, origin in rows:
            text = opened_text(self._sealing, origin, seq, content, is_sealed)
            yield Spoken(turn_id, role, text, at, seq, epoch)


class _Backwards:
    """Messages, newest first; `is_exhausted`: whether a reader has asked for more than there are."""

    def __init__(self, messages: Iterator[Spoken]) -> None:
        self._messages = messages
        self.is_exhausted = False

    def __iter__(self) -> Iterator[Spoken]:
        yield from self._messages
        self.is_exhausted = True
