"""Relays answers: each answer in the outbox is delivered once, to the destination of its peer's forward.

The outbox row is written in the commit of the answer and dropped in the commit that delivers it. If the hub
is killed in between, the next hub finds the row and delivers the answer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from rhetor.domain.command import SendMessage
from rhetor.domain.event import (
    Cause,
    ForwardFailed,
    MessageAccepted,
    MessageForwarded,
    SessionStateChanged,
    TurnCompleted,
)
from rhetor.domain.node_commands import ShowAnswer
from rhetor.domain.peer import PeerKind
from rhetor.domain.principal import Principal
from rhetor.domain.rules import Failed, Forward
from rhetor.domain.timestamps import timestamp
from rhetor.errors import NodeLost, RhetorError, ShuttingDown, StoreRefused, StreamElsewhere, UnknownPeer
from rhetor.hub.catalog.outbox import DELIVERY, DUE, turn_of
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.catalog.routing_table import kind_of, row_id, row_of
from rhetor.hub.catalog.sessions import open_session, session_of, session_row
from rhetor.hub.catalog.turn_log import events_until
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.core.commits import until_unchanged
from rhetor.hub.core.nodes import is_own
from rhetor.hub.sessions.delivery import deliver
from rhetor.hub.turns.attribution import relayed, title_of
from rhetor.store.base import Draft, Expect, Row

from .forwards import terminal_peer
from .shown import show_answer

if TYPE_CHECKING:
    from rhetor.hub.state import State

BATCH = 1000
RETRY_SECONDS = 1.0
log = logging.getLogger(__name__)


class Answer(Struct, frozen=True):
    """The answer of a turn. `via`: the peers that its question had passed through, and the one that answered;
    `at`: Unix time in milliseconds; `cause`: the original from which it follows."""

    turn: TurnRow
    via: tuple[str, ...]
    text: str
    at: int
    cause: Cause

    @property
    def author(self) -> str:
        """The peer that answered. For the forward of a project, this is not the forward's source."""
        return self.turn.peer

    @property
    def source(self) -> dict[str, str]:
        stream = "plan_id" if self.turn.step else "session_id"
        return {stream: self.turn.stream, "turn_id": self.turn.id}


async def relay(state: State) -> None:
    """Deliver the answers of this node in the outbox, oldest first, for as long as the hub runs.

    While the store rejects commits, delivery is retried every `RETRY_SECONDS` seconds. If an answer cannot be
    delivered because of its destination, the failure is logged as an event, and the answer leaves the outbox.
    After an unexpected error, it stays in the outbox until the next start of the hub.
    """
    given_up: set[str] = set()
    while True:
        changed = state.routing_table.outbox_changed.next()
        try:
            found = await state.store.find(DELIVERY, state=DUE, limit=BATCH + len(given_up))
        except Exception:  # the relay must go on, whatever the store raises
            log.exception("reading the outbox failed")
            await asyncio.sleep(RETRY_SECONDS)
            continue
        deliveries = [each for each in found if each.id not in given_up and await _is_own(state, each)]
        for delivery in deliveries:
            if not await _deliver_or_retry(state, delivery):
                given_up.add(delivery.id)
        if not deliveries:
            await changed.wait()


async def _deliver_or_retry(state: State, delivery: Row) -> bool:
    """Deliver one answer; return False if it stays in the outbox until the next start of the hub."""
    while not state.closing:
        try:
            await _deliver(state, delivery)
            return True
        except (StoreRefused, NodeLost, StreamElsewhere) as refusal:
            log.warning(
                "delivering an answer failed; retrying", extra={"turn": delivery.id, "reason": refusal.detail}
            )
            await asyncio.sleep(RETRY_SECONDS)
        except ShuttingDown:
            break
        except Exception:  # an answer that cannot be delivered must not delay the others
            log.exception("delivering an answer failed", extra={"turn": delivery.id})
            break
    return False


async def _is_own(state: State, delivery: Row) -> bool:
    """Return whether this node delivers an answer: it owns the answer's stream."""
    if not state.nodes.own:
        return True
    turn = await state.store.get("turn", turn_of(delivery))
    return state.nodes.leads if turn is None else await is_own(state.nodes, turn.parent)


async def _deliver(state: State, delivery: Row) -> None:
    if state.nodes.own and await state.store.get(DELIVERY, delivery.id) is None:
        return  # a node delivered it, and was lost before it said so
    forward = state.routing_table.forward_of(delivery.owner, delivery.parent)
    answer = await _answer(state, delivery)
    if forward is None or answer is None:
        if answer is None:  # the log was truncated or restored since
            log.warning("answer to deliver is no longer in the log", extra={"turn": delivery.id})
        await state.store.commit(_stream(answer), [], drop=[(DELIVERY, delivery.id)])
        return
    try:
        with state.deliveries.counted(answer.cause, 1, state.limits.fanout) as (cause,):
            if forward.to in state.routing_table.terminals or terminal_peer(state, forward.to):
                await _show(state, forward, answer, delivery)
            else:
                await _send(state, forward, answer, delivery, cause)
    except (StoreRefused, ShuttingDown, NodeLost, StreamElsewhere):
        raise
    except RhetorError as error:
        await _fail(state, forward, answer, delivery, error)


async def _show(state: State, forward: Forward, answer: Answer, delivery: Row) -> None:
    """Deliver to a terminal: commit an event to the terminal's stream, which a shell shows now or later."""
    payload = MessageForwarded(
        answer.author,
        forward.to,
        answer.via,
        answer.text,
        timestamp(answer.at),
        state.routing_table.purpose_of(forward.owner, answer.author),
        forward.as_json,
        answer.source,
        (_tool(state, answer.author) if forward.as_json else None) or UNSET,
    )
    await show_answer(state, Principal(forward.owner), ShowAnswer(payload, delivery.id))


async def _send(state: State, forward: Forward, answer: Answer, delivery: Row, cause: Cause) -> None:
    """Deliver to a peer: send an ordinary message, whose commit drops the outbox row."""
    to = state.peers.get(forward.to)
    session_id = None if to.program else await _session(state, forward)
    text = _as_json(state, forward, answer) if forward.as_json else answer.text
    title = title_of(state, answer.author)
    command = SendMessage(
        relayed(title, text, to),
        to.name if session_id is None else None,
        session_id,
        execute=forward.execute,
        from_=answer.author,
        via=answer.via,
        if_offline="queue",  # nobody is there who could send it again
    )
    row = DELIVERY, delivery.id, DUE
    accepted = await deliver(state, Principal(forward.owner), command, fulfils=row, cause=cause)
    if accepted.session_id != forward.session_id:  # the session of a program
        await until_unchanged(lambda: _remember_session(state, forward, accepted.session_id))


async def _remember_session(state: State, forward: Forward, session_id: str) -> None:
    if amended := await _amended(state, forward, session_id=session_id):
        await state.store.commit(HUB_STREAM, [], rows=[amended.row], expects=[amended.unchanged])
        amended.mirror(state)


async def _session(state: State, forward: Forward) -> str:
    """Return the id of the session in which a model receives forwarded answers; open one if needed."""
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


async def _fail(state: State, forward: Forward, answer: Answer, delivery: Row, error: RhetorError) -> None:
    """Commit the failure to the answer's stream, and store it with the forward."""
    log.warning(
        "an answer was not forwarded",
        extra={"turn": delivery.id, "from": forward.source, "to": forward.to, "code": error.code},
    )
    await until_unchanged(lambda: _fail_once(state, forward, answer, delivery, error))


async def _fail_once(
    state: State, forward: Forward, answer: Answer, delivery: Row, error: RhetorError
) -> None:
    hint = str(error.data.get("hint", ""))
    failed = ForwardFailed(forward.source, forward.to, error.code, error.detail, hint or UNSET)
    drafts = [Draft(failed, answer.turn.id, answer.turn.step)]
    drop = [(DELIVERY, delivery.id)]
    amended = await _amended(state, forward, failed=Failed(error.code, error.detail, state.ids.now(), hint))
    if amended is None:
        await state.store.commit(answer.turn.stream, drafts, drop=drop)
        return
    rows, expects = [amended.row], [amended.unchanged]
    await state.store.commit(answer.turn.stream, drafts, rows=rows, expects=expects, drop=drop)
    amended.mirror(state)


class _Amended(Struct, frozen=True):
    """A changed forward, to be committed on the condition that the stored one is still `unchanged`."""

    forward: Forward
    unchanged: Expect

    @property
    def row(self) -> Row:
        return row_of(self.forward)

    def mirror(self, state: State) -> None:
        """Apply the change to the routing table. Call it after the commit."""
        place = self.forward.owner, self.forward.source
        current = state.routing_table.forwards.get(place)
        if current is not None and _is_same(current, self.forward):
            state.routing_table.forwards[place] = self.forward


async def _amended(state: State, forward: Forward, **changes: Any) -> _Amended | None:
    """Return the stored forward with these changes; None if it was removed or replaced."""
    row = await state.store.get(kind_of(Forward), row_id(forward))
    stored = msgspec.json.decode(row.doc, type=Forward) if row else None
    if row is None or stored is None or not _is_same(stored, forward):
        return None
    return _Amended(replace(stored, **changes), row.unchanged)


def _is_same(one: Forward, other: Forward) -> bool:
    """Whether both are versions of the same forward."""
    return (one.to, one.at) == (other.to, other.at)


async def _answer(state: State, delivery: Row) -> Answer | None:
    """Return the answer to deliver; None if the log no longer has it."""
    row = await state.store.get("turn", turn_of(delivery))
    if row is None:
        return None
    turn, via = TurnRow.of(row), tuple[str, ...]()
    cause = Cause(turn.stream if turn.step else turn.message_id)
    for event in await events_until(state.store, turn, TurnCompleted):
        if isinstance(event.payload, MessageAccepted):
            via, cause = event.payload.via, event.payload.cause or cause
        elif isinstance(event.payload, TurnCompleted):
            return Answer(turn, (*via, turn.peer), event.payload.text, event.at, cause)
    return None


def _stream(answer: Answer | None) -> str:
    return answer.turn.stream if answer else "hub"


def _as_json(state: State, forward: Forward, answer: Answer) -> str:
    purpose = state.routing_table.purpose_of(forward.owner, answer.author)
    whole = {"from": answer.author, "to": forward.to, "time": timestamp(answer.at), "purpose": purpose}
    tool = _tool(state, answer.author)
    return msgspec.json.encode({**whole, "message": answer.text, **({"tool": tool} if tool else {})}).decode()


def _tool(state: State, name: str) -> dict[str, Any] | None:
    """Return what a tool is, for those who receive its answers as JSON; None if the peer is no tool."""
    try:
        peer = state.peers.get(name)
    except UnknownPeer:
        return None
    if peer.kind is not PeerKind.TOOL:
        return None
    scores = {capability.name: capability.score for capability in peer.capabilities}
    return {"name": peer.name, "kind": peer.kind, "driver": peer.driver, "capabilities": scores}
