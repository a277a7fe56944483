"""Following a stream for a client until the client, the view or the hub ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from rhetor.domain.event import Position
from rhetor.hub.fanout.subscriber import Subscriber, View
from rhetor.hub.state import State
from rhetor.store.base import Record


async def follow(
    state: State,
    stream: str,
    after: Position,
    view: View,
    subscriber: Subscriber,
    batches: AsyncIterator[Sequence[Record]] | None = None,
    *,
    subject: str,
) -> None:
    """Write the events after `after` to the subscriber, and then new ones, until the view is over.
    `subject`: for whom.

    `batches` yields the same records, if the caller has to process them first. The next batch is requested
    when the previous one has been written.

    Raises:
        PositionLost: the position is not, or is no longer, part of the log.
        TooSlow: the client does not read.
        NotFound: the session is no longer shared with the subject.
        ShuttingDown: the hub is stopping.
    """
    with state.presence.reader(stream, subject) as reader:
        try:
            if batches is None:
                await state.broadcaster.follow(stream, after, view, subscriber)
            else:
                await state.broadcaster.show(stream, after, batches, view, subscriber)
        except asyncio.CancelledError:
            if reader.ended is None:
                raise
            reader.task.uncancel()
            raise reader.ended from None
