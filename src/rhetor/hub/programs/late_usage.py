"""Usage that a program reports between turns: of a turn that ended without an answer, or of none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.event import UsageReported
from rhetor.domain.usage import Source
from rhetor.hub.catalog.sessions import session_of
from rhetor.hub.catalog.turn_log import so_far
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.catalog.usage import Spent, source_of
from rhetor.hub.core.commits import until_accepted
from rhetor.store.base import Addition, Draft

if TYPE_CHECKING:
    from rhetor.hub.active import ProgramInstance
    from rhetor.hub.state import State


@asynccontextmanager
async def counting(
    state: State, instance: ProgramInstance, drafts: Sequence[Draft]
) -> AsyncIterator[tuple[Sequence[Draft], Sequence[Addition]]]:
    """Return the drafts, and what to add to the sums of usage when they are committed, which must be done in
    the context. If a turn that has reported usage is still being ended, wait until its end is in the log."""
    reports = [draft for draft in drafts if isinstance(draft.payload, UsageReported)]
    if not reports:
        yield drafts, ()
        return
    session = await _source(state, instance)
    sources = [await _caused(state, session, draft.turn_id) for draft in reports]
    async with AsyncExitStack() as locks:
        for draft in reports:
            if (pending := state.pending.get(draft.turn_id or "")) is not None:
                await locks.enter_async_context(pending.lock)
        now = state.ids.now()
        pairs = zip(sources, reports, strict=True)
        found = [(report.turn_id, _spent(state, source, report, now)) for source, report in pairs]
        yield [replace(draft, at=now) for draft in drafts], [add for _, spent in found for add in spent.adds]
        for turn_id, spent in found:
            state.usage.stored(turn_id, spent)


def _spent(state: State, source: Source, report: Draft, now: int) -> Spent:
    running = report.turn_id in state.pending
    return state.usage.count(source, report.turn_id, (report.payload,), now, running=running)


async def _source(state: State, instance: ProgramInstance) -> Source:
    id = instance.entry.session_id
    row = await until_accepted(lambda: state.store.get("session", id), id)
    return source_of(session_of(row)) if row else Source(instance.peer.name, instance.entry.owner)


async def _caused(state: State, source: Source, turn_id: str | None) -> Source:
    """Return whose usage that of a turn is, which may follow from a message that somebody else sent."""
    row = await until_accepted(lambda: state.store.get("turn", turn_id), turn_id) if turn_id else None
    if row is None:
        return source
    turn = TurnRow.of(row)
    logged = await until_accepted(lambda: so_far(state.store, turn), turn.stream)
    return source.caused_by(logged.cause)
