"""Reads a turn back from the log: its message, its output and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

import msgspec
from msgspec import UNSET

from rhetor.domain.event import (
    Cause,
    ContextInjected,
    Event,
    MessageAccepted,
    OutputDelta,
    PermissionAnswered,
    PermissionAsked,
    Position,
    TurnEnd,
    TurnStarted,
    UsageReported,
)
from rhetor.domain.output import Usage
from rhetor.domain.usage import Source, TurnUsage, count
from rhetor.errors import NotFound, PositionLost
from rhetor.store.base import Head, Log, Record, follow

from .given import GivenTurn
from .turns import TurnRow

CATCH_UP_SECONDS = 10.0


async def turn_events(log: Log, turn: TurnRow) -> AsyncGenerator[Event, None]:
    """Yield the events of a turn that are in the log now, in order."""
    head = await log.head(turn.stream)
    if head is None:
        return
    after = _start(head, turn.behind)
    while records := await log.page(turn.stream, after):
        for record in records:
            if record.turn_id == turn.id:
                yield record.event
        after = records[-1].position


async def records_until_end(log: Log, stream: str, turn_id: str, after: Position) -> list[Record]:
    """Return the records of a turn that are in the log now and come after a position, up to its end: what
    follows in the session may be long.

    Raises:
        PositionLost: the position is not, or is no longer, part of the log.
    """
    found: list[Record] = []
    while page := await log.page(stream, after):
        for record in page:
            if record.turn_id == turn_id:
                found.append(record)
                if isinstance(record.event.payload, TurnEnd):
                    return found
        after = page[-1].position
    return found


class Received(msgspec.Struct, frozen=True):
    """A message, and the context that precedes it. `given`: the conversation that came with it, if it was
    given a moment ago."""

    message: MessageAccepted
    context: tuple[ContextInjected, ...] = ()
    given: GivenTurn | None = None


async def received(log: Log, turn: TurnRow) -> Received:
    """Return the message that the turn answers, and its context.

    Raises:
        NotFound: the log no longer has the message.
    """
    events = await events_until(log, turn, MessageAccepted)
    payloads = [event.payload for event in events]
    for payload in payloads:
        if isinstance(payload, MessageAccepted):
            return Received(payload, tuple(p for p in payloads if isinstance(p, ContextInjected)))
    raise NotFound("message", turn.message_id)


async def events_until(log: Log, turn: TurnRow, until: type[MessageAccepted | TurnEnd]) -> Sequence[Event]:
    """Return a turn's context and message, and its first event of type `until` as the last item.

    Call it if the catalog shows that the event was committed. Readers of the log may see a commit a moment
    after readers of the catalog do, so the function waits for the event for up to `CATCH_UP_SECONDS` seconds.
    Then it reads what is there once more, because a slow store may have answered nothing until then.
    The result is empty if the event does not arrive, or if the log was cut or restored.
    """
    head = await log.head(turn.stream)
    if head is None:
        return []
    found: list[Event] = []
    with suppress(PositionLost):
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                async for records in follow(log, turn.stream, _start(head, turn.behind)):
                    for event in (record.event for record in records if record.turn_id == turn.id):
                        if isinstance(event.payload, (ContextInjected, MessageAccepted, until)):
                            found.append(event)
                        if isinstance(event.payload, until):
                            return found
        except TimeoutError:
            found.clear()
            async for event in turn_events(log, turn):
                if isinstance(event.payload, (ContextInjected, MessageAccepted, until)):
                    found.append(event)
                if isinstance(event.payload, until):
                    return found
    return []


class SoFar(msgspec.Struct, frozen=True):
    """What the log has of a turn that has started: the part of its answer, the usage of its model calls, and
    what is known of its usage for the sums. `cause`: of its message; None if that is an original.
    `started`: when it started, 0 if the log no longer has that; `paused`: how long it was paused in all, and
    `paused_since`: since when it is, if it is; in milliseconds, and as Unix times in milliseconds."""

    text: str
    calls: Sequence[Usage]
    usage: TurnUsage
    cause: Cause | None = None
    started: int = 0
    paused: int = 0
    paused_since: int | None = None

    def seconds(self, now: int) -> float:
        """Return for how long the turn has been working until `now`, Unix time in milliseconds."""
        until = now if self.paused_since is None else self.paused_since
        return max(0, until - self.started - self.paused) / 1000 if self.started else 0.0


async def so_far(log: Log, turn: TurnRow) -> SoFar:
    """Return what is in the log now of a turn that has started."""
    events = [event async for event in turn_events(log, turn)]
    payloads = [event.payload for event in events]
    text = "".join(p.text for p in payloads if isinstance(p, OutputDelta) and p.channel == "answer")
    reported = (p for p in payloads if isinstance(p, UsageReported))
    calls = [
        Usage(
            u.model,
            u.input_tokens,
            u.output_tokens,
            u.cached_tokens,
            u.cost,
            0 if u.cache_written_tokens is UNSET else u.cache_written_tokens,
            0 if u.reasoning_tokens is UNSET else u.reasoning_tokens,
        )
        for u in reported
    ]
    usage = count(Source("", ""), TurnUsage(started=True), payloads, "").turn
    causes = (p.cause for p in payloads if isinstance(p, MessageAccepted) and p.cause)
    return SoFar(text, calls, usage or TurnUsage(started=True), next(causes, None), *_times(events))


def _times(events: Sequence[Event]) -> tuple[int, int, int | None]:
    """Return when a turn started, how long it was paused, and since when it is paused."""
    started, paused = next((event.at for event in events if isinstance(event.payload, TurnStarted)), 0), 0
    pauses: dict[str, int] = {}
    for event in events:
        if isinstance(event.payload, PermissionAsked) and event.payload.expires_at is None:  # of a pause
            pauses[event.payload.request_id] = event.at
        elif isinstance(event.payload, PermissionAnswered):
            paused += event.at - pauses.pop(event.payload.request_id, event.at)
    return started, paused, next(iter(pauses.values()), None)


async def turn_end(log: Log, stream: str, turn_id: str, after: Position) -> tuple[TurnEnd, str]:
    """Wait for the end of a turn; return it with the answer text that was logged before the end.

    `after`: a position before the turn's message. The text is useful if the turn did not complete; the end of
    a completed turn has the whole answer.

    Raises:
        PositionLost: the stream was restored or cut while it was read.
    """
    text: list[str] = []
    async for records in follow(log, stream, after):
        for record in records:
            if record.turn_id != turn_id:
                continue
            payload = record.event.payload
            if isinstance(payload, TurnEnd):
                return payload, "".join(text)
            if isinstance(payload, OutputDelta) and payload.channel == "answer":
                text.append(payload.text)
    raise AssertionError("following does not end")


def _start(head: Head, behind: int) -> Position:
    return Position(head.epoch, max(min(behind, head.head), head.earliest - 1))
