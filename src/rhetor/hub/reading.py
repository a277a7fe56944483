"""Reading a turn back from the log: its message, what it said, how it ended."""

from __future__ import annotations

from collections.abc import AsyncIterator

from rhetor.domain.event import Event, MessageAccepted, OutputDelta, Position, TurnEnd
from rhetor.errors import NotFound
from rhetor.store.base import Head, Log, follow

from .rows import TurnRow


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


async def accepted_message(log: Log, turn: TurnRow) -> MessageAccepted:
    """The message that the turn answers.

    Raises:
        NotFound: it is no longer kept.
    """
    async for event in turn_events(log, turn):
        if isinstance(event.payload, MessageAccepted):
            return event.payload
    raise NotFound("message", turn.message_id)


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
