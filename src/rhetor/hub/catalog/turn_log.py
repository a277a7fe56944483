"""Reading a turn back from the log: its message, what it said, how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from rhetor.domain.event import ContextInjected, Event, MessageAccepted, OutputDelta, Position, TurnEnd
from rhetor.errors import NotFound, PositionLost
from rhetor.store.base import Head, Log, follow

from .turns import TurnRow

CATCH_UP_SECONDS = 10.0


async def turn_events(log: Log, turn: TurnRow) -> AsyncIterator[Event]:
    """The events of a turn that are in the log by now, in order."""
    head = await log.head(turn.stream)
    if head is None:
        return
    after = _from(head, turn.behind)
    while records := await log.page(turn.stream, after):
        for record in records:
            if record.turn_id == turn.id:
                yield record.event
        after = records[-1].position


@dataclass(frozen=True, slots=True)
class Received:
    """A message, and what is said in front of it."""

    message: MessageAccepted
    context: tuple[ContextInjected, ...] = ()


async def received(log: Log, turn: TurnRow) -> Received:
    """The message that the turn answers.

    Raises:
        NotFound: it is no longer kept.
    """
    events = await committed(log, turn, MessageAccepted)
    payloads = [event.payload for event in events]
    for payload in payloads:
        if isinstance(payload, MessageAccepted):
            return Received(payload, tuple(p for p in payloads if isinstance(p, ContextInjected)))
    raise NotFound("message", turn.message_id)


async def committed(log: Log, turn: TurnRow, until: type[MessageAccepted | TurnEnd]) -> Sequence[Event]:
    """The message of a turn with what is said in front of it, and the first event of the kind `until`, which
    the catalog says is there; empty where it is not.

    The catalog may say so a moment before readers of the log can see it, so it is waited for.
    """
    head = await log.head(turn.stream)
    if head is None:
        return []
    found: list[Event] = []
    with suppress(TimeoutError, PositionLost):
        async with asyncio.timeout(CATCH_UP_SECONDS):
            async for records in follow(log, turn.stream, _from(head, turn.behind)):
                for event in (record.event for record in records if record.turn_id == turn.id):
                    if isinstance(event.payload, (ContextInjected, MessageAccepted, until)):
                        found.append(event)
                    if isinstance(event.payload, until):
                        return found
    return []


async def said_so_far(log: Log, turn: TurnRow) -> str:
    """The answer as far as it is in the log."""
    events = [event.payload async for event in turn_events(log, turn)]
    return "".join(p.text for p in events if isinstance(p, OutputDelta) and p.channel == "answer")


async def turn_end(log: Log, stream: str, turn_id: str, after: Position) -> tuple[TurnEnd, str]:
    """Wait for the end of a turn whose message stands behind `after`; with what it said, where that is all
    that there is.

    Raises:
        PositionLost: the stream was restored or cut while it was read.
    """
    said: list[str] = []
    async for records in follow(log, stream, after):
        for record in records:
            if record.turn_id != turn_id:
                continue
            payload = record.event.payload
            if isinstance(payload, TurnEnd):
                return payload, "".join(said)
            if isinstance(payload, OutputDelta) and payload.channel == "answer":
                said.append(payload.text)
    raise AssertionError("following does not end")


def _from(head: Head, behind: int) -> Position:
    return Position(head.epoch, max(min(behind, head.head), head.earliest - 1))
