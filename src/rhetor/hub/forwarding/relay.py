"""Passing on what peers say: each answer that is marked reaches where its peer is forwarded to, once.

The mark is made in the commit of the answer, and goes in the commit that passes it on. So a hub that is
killed in between leaves it to the next one, which finds either both or neither.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import Principal, SendMessage
from rhetor.domain.event import (
    ForwardFailed,
    MessageAccepted,
    MessageForwarded,
    SessionStateChanged,
    TurnCompleted,
)
from rhetor.domain.rules import Failed, Forward
from rhetor.domain.timestamps import timestamp
from rhetor.errors import RhetorError, ShuttingDown, StoreRefused, UnknownPeer
from rhetor.hub.catalog.outbox import DELIVERY, DUE
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.catalog.routing_table import kind_of, row_id, row_of
from rhetor.hub.catalog.sessions import open_session, session_of, session_row, standing_session
from rhetor.hub.catalog.turn_log import events_until
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.core.commits import until_unchanged
from rhetor.hub.programs.instances import instances_of
from rhetor.hub.sessions.send import send
from rhetor.hub.turns.attribution import relayed, title_of
from rhetor.store.base import Draft, Expect, Row

from .forwards import terminal_peer

if TYPE_CHECKING:
    from rhetor.hub.state import State

BATCH = 1000
RETRY_SECONDS = 1.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: its peer, the peers that its question had come through, its words, and when it was said."""

    turn: TurnRow
    via: tuple[str, ...]
    text: str
    at: int

    @property
    def source(self) -> dict[str, str]:
        stream = "plan_id" if self.turn.step else "session_id"
        return {stream: self.turn.stream, "turn_id": self.turn.id}


async def relay(state: State) -> None:
    """Deliver what is in the outbox, in order, for as long as the hub runs."""
    given_up: set[str] = set()
    while True:
        changed = state.routing_table.outbox_changed.next()
        try:
            found = await state.store.find(DELIVERY, state=DUE, limit=BATCH + len(given_up))
        except Exception:
            log.exception("outbox not read")
            await asyncio.sleep(RETRY_SECONDS)
            continue
        deliveries = [delivery for delivery in found if delivery.id not in given_up]
        for delivery in deliveries:
            if not await _pass_on(state, delivery):
                given_up.add(delivery.id)
        if not deliveries:
            await changed.wait()


async def _pass_on(state: State, delivery: Row) -> bool:
    """Whether the mark is dealt with; else it is left to the next hub."""
    while not state.closing:
        try:
            await _deliver(state, delivery)
            return True
        except StoreRefused as refusal:
            log.warning("an answer waits to be passed on", extra={"turn": delivery.id, "why": refusal.detail})
            await asyncio.sleep(RETRY_SECONDS)
        except ShuttingDown:
            break
        except Exception:  # one answer that cannot be passed on must not keep back those of others
            log.exception("an answer is not passed on", extra={"turn": delivery.id})
            break
    return False


async def _deliver(state: State, delivery: Row) -> None:
    forward = state.routing_table.forward_of(delivery.owner, delivery.parent)
    said = await _said(state, delivery)
    if forward is None or said is None:
        if said is None:  # cut off, or left behind by a restore, since
            log.warning("an answer that was to be passed on is no longer there", extra={"turn": delivery.id})
        await state.store.commit(_stream(said, delivery), [], drop=[(DELIVERY, delivery.id)])
        return
    try:
        if forward.to in state.routing_table.terminals or terminal_peer(state, forward.to):
            await _show(state, forward, said, delivery)
        else:
            await _send(state, forward, said, delivery)
    except (StoreRefused, ShuttingDown):
        raise
    except RhetorError as error:
        await _fail(state, forward, said, delivery, error)


async def _show(state: State, forward: Forward, said: Said, delivery: Row) -> None:
    """At a terminal: an event of its stream, for whoever looks at it, now or later."""
    payload = MessageForwarded(
        forward.source,
        forward.to,
        (*said.via, forward.source),
        said.text,
        timestamp(said.at),
        state.routing_table.purpose_of(forward.owner, forward.source),
        forward.as_json,
        said.source,
    )
    stream = await _stream_at(state, forward)
    await state.store.commit(
        stream, [Draft(payload)], expects=[_still_due(delivery)], drop=[(DELIVERY, delivery.id)]
    )


async def _stream_at(state: State, forward: Forward) -> str:
    terminal = state.routing_table.terminals.get(forward.to)
    if terminal is not None:
        if terminal.owner != forward.owner:
            raise UnknownPeer(forward.to)
        return terminal.stream
    for instance in instances_of(state, forward.to):
        if instance.entry.owner == forward.owner:
            return instance.entry.session_id
    return (await standing_session(state.store, state.ids, forward.owner, state.peers.get(forward.to))).id


async def _send(state: State, forward: Forward, said: Said, delivery: Row) -> None:
    """To a peer: a message like any other, whose acceptance takes the mark with it."""
    to = state.peers.get(forward.to)
    session_id = None if to.program else await _session(state, forward)
    text = _as_json(state, forward, said) if forward.as_json else said.text
    title = title_of(state, forward.source)
    command = SendMessage(
        relayed(title, text, to),
        to.name if session_id is None else None,
        session_id,
        execute=forward.execute,
        from_=forward.source,
        via=(*said.via, forward.source),
    )
    accepted = await send(state, Principal(forward.owner), command, fulfils=(DELIVERY, delivery.id, DUE))
    if accepted.session_id != forward.session_id:  # a program's own
        await until_unchanged(lambda: _remember_session(state, forward, accepted.session_id))


async def _remember_session(state: State, forward: Forward, session_id: str) -> None:
    if amended := await _amended(state, forward, session_id=session_id):
        await state.store.commit(HUB_STREAM, [], rows=[amended.row], expects=[amended.unchanged])
        amended.mirror(state)


async def _session(state: State, forward: Forward) -> str:
    """The session in which a model receives what is forwarded to it; a new one if the last has ended."""
    row = await state.store.get("session", forward.session_id) if forward.session_id else None
    if row is not None and session_of(row).takes_messages:
        return row.id
    session = open_session(
        state.ids,
        forward.owner,
        forward.to,
        context_window=state.limits.context_window,
        ttl=None,
    )
    session = replace(session, metadata={"forwarded_from": forward.source})
    drafts = [Draft(SessionStateChanged(session.state))]
    await state.store.commit(session.id, drafts, rows=[session_row(session)])
    await until_unchanged(lambda: _remember_session(state, forward, session.id))
    return session.id


async def _fail(state: State, forward: Forward, said: Said, delivery: Row, error: RhetorError) -> None:
    """Log the failure in the stream of the answer, and keep it with the forward."""
    await until_unchanged(lambda: _fail_once(state, forward, said, delivery, error))


async def _fail_once(state: State, forward: Forward, said: Said, delivery: Row, error: RhetorError) -> None:
    failed = ForwardFailed(forward.source, forward.to, error.code, error.detail)
    drafts = [Draft(failed, said.turn.id, said.turn.step)]
    drop = [(DELIVERY, delivery.id)]
    amended = await _amended(state, forward, failed=Failed(error.code, error.detail, state.ids.now()))
    if amended is None:
        await state.store.commit(said.turn.stream, drafts, drop=drop)
        return
    rows, expects = [amended.row], [amended.unchanged]
    await state.store.commit(said.turn.stream, drafts, rows=rows, expects=expects, drop=drop)
    amended.mirror(state)


@dataclass(frozen=True, slots=True)
class _Amended:
    """A forward with changes that are about to be committed, if it is still `unchanged` then."""

    forward: Forward
    unchanged: Expect

    @property
    def row(self) -> Row:
        return row_of(self.forward)

    def mirror(self, state: State) -> None:
        """Change the routing table too, after the commit."""
        place = self.forward.owner, self.forward.source
        now = state.routing_table.forwards.get(place)
        if now is not None and _is_same(now, self.forward):
            state.routing_table.forwards[place] = self.forward


async def _amended(state: State, forward: Forward, **changes: Any) -> _Amended | None:
    """The stored forward with these changes; None if it was removed or replaced."""
    row = await state.store.get(kind_of(Forward), row_id(forward))
    stored = msgspec.json.decode(row.doc, type=Forward) if row else None
    if row is None or stored is None or not _is_same(stored, forward):
        return None
    return _Amended(replace(stored, **changes), row.unchanged)


def _is_same(one: Forward, other: Forward) -> bool:
    """Whether both are the same forward, whatever happened to it since."""
    return (one.to, one.at) == (other.to, other.at)


async def _said(state: State, delivery: Row) -> Said | None:
    row = await state.store.get("turn", delivery.id)
    if row is None:
        return None
    turn, via = TurnRow.of(row), tuple[str, ...]()
    for event in await events_until(state.store, turn, TurnCompleted):
        if isinstance(event.payload, MessageAccepted):
            via = event.payload.via
        elif isinstance(event.payload, TurnCompleted):
            return Said(turn, via, event.payload.text, event.at)
    return None


def _still_due(delivery: Row) -> Expect:
    return Expect(DELIVERY, delivery.id, frozenset({DUE}))


def _stream(said: Said | None, delivery: Row) -> str:
    return said.turn.stream if said else "hub"


def _as_json(state: State, forward: Forward, said: Said) -> str:
    purpose = state.routing_table.purpose_of(forward.owner, forward.source)
    whole = {"from": forward.source, "to": forward.to, "time": timestamp(said.at), "purpose": purpose}
    return msgspec.json.encode({**whole, "message": said.text}).decode()
