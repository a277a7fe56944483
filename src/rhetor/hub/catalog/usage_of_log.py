"""Makes the rows of `usage` for a log that was written before there were such rows."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

from msgspec.structs import replace

from rhetor.domain.event import Event, TurnEnd, TurnStarted
from rhetor.domain.usage import COUNTED, Amounts, Cell, Source, Turns, fold
from rhetor.store.base import Row, Store

from .programs import HUB_STREAM
from .sessions import session_of
from .usage import additions, session_row, source_of

FOLDED, LOG = "usage_folded", "log"
PAGE = 2_000
log = logging.getLogger(__name__)


class UsageOfLog:
    """The sums over a log, made page by page."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sources: dict[str, Source] = {}
        self._peers: dict[str | None, str] = {}  # of the turns of a plan
        self.turns = Turns()
        self.amounts: dict[Cell, Amounts] = {}
        self.sessions: dict[tuple[str, Cell], None] = {}

    async def read(self) -> None:
        """Read the whole log."""
        after = None
        while records := await self._store.of_types(COUNTED, after, PAGE):
            after = records[-1].position
            events = [record.event for record in records]
            self._sources = {stream: await self._source(stream) for stream in {e.stream for e in events}}
            fold(events, self._source_of, self.turns, self.amounts, self.sessions)
            await asyncio.sleep(0)

    async def _source(self, stream: str) -> Source:
        if row := await self._store.get("session", stream):
            session = session_of(row)
            return replace(source_of(session), once=session.once)
        plan = await self._store.get("plan", stream)
        return Source("", plan.owner if plan else "")

    def _source_of(self, event: Event) -> Source:
        source = self._sources[event.stream]
        if source.session:
            return source
        if isinstance(event.payload, TurnStarted):
            self._peers[event.turn_id] = event.payload.peer
        peer = self._peers.get(event.turn_id, "")
        if isinstance(event.payload, TurnEnd):
            self._peers.pop(event.turn_id, None)
        return Source(peer, source.caller)


async def fold_log(store: Store, now: int) -> None:
    """Make the rows, unless an earlier hub has done it. Call it before anything is logged. `now`: Unix time
    in milliseconds.

    Raises:
        StoreRefused: the store rejected the commit; nothing was stored.
    """
    if await store.get(FOLDED, LOG) is not None:
        return
    began = monotonic()
    found = UsageOfLog(store)
    await found.read()
    done = Row(FOLDED, LOG, "kept", b"{}", at=now)
    rows = [session_row(session, cell) for session, cell in found.sessions]
    adds = additions(found.amounts)
    await store.commit(HUB_STREAM, [], rows=[done, *rows], adds=adds, expects=[done.unchanged])
    if adds:
        log.info("usage counted", extra={"rows": len(adds), "seconds": round(monotonic() - began, 3)})
