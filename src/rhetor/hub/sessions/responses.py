"""Turns that an API answers requests about later: what it stored with them, and what is in the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.command import ForgetResponse
from rhetor.domain.event import Position
from rhetor.domain.given import GivenConversation, KeptWithTurn
from rhetor.domain.principal import Principal
from rhetor.errors import NotFound, PositionLost
from rhetor.hub.catalog.responses import KIND, kept_in
from rhetor.hub.catalog.sessions import session_of
from rhetor.hub.catalog.turn_log import records_until_end
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.turns.given import given_turn
from rhetor.store.base import Record

from .states import readable_session

if TYPE_CHECKING:
    from rhetor.hub.state import State


class KeptTurn(msgspec.Struct, frozen=True):
    """A turn, and what an API stored with it. `after`: the position before its events."""

    turn: TurnRow
    after: Position
    kept: KeptWithTurn


async def stored_response(state: State, principal: Principal, turn_id: str) -> KeptTurn:
    """Return a turn of the caller's, and what an API stored with it.

    Raises:
        NotFound: there is no such turn, or nothing is stored with it, or its session is no longer shared with
            the caller.
    """
    row = await state.store.get(KIND, turn_id)
    if row is None or row.owner != principal.subject:
        raise NotFound("response", turn_id)
    return await with_turn(state, principal, turn_id, await kept_in(state.blobs, row))


async def with_turn(state: State, principal: Principal, turn_id: str, kept: KeptWithTurn) -> KeptTurn:
    """Return a turn of the caller's with what is kept of it.

    Raises:
        NotFound: its session was removed or is no longer shared with the caller, or its events are no longer
            in the log.
    """
    row = await state.store.get("turn", turn_id)
    turn = TurnRow.of(row) if row is not None else None
    head = await state.store.head(turn.stream) if turn is not None else None
    if turn is None or head is None or turn.behind < head.earliest - 1:
        raise NotFound("response", turn_id)
    await readable_session(state, principal, turn.stream)
    return KeptTurn(turn, Position(head.epoch, turn.behind), kept)


async def records_of(state: State, found: KeptTurn) -> Sequence[Record]:
    """Return the events of the turn that are in the log now.

    Raises:
        NotFound: the session was restored to an earlier position.
    """
    turn = found.turn
    try:
        records = await records_until_end(state.store, turn.stream, turn.id, found.after)
    except PositionLost as lost:
        raise NotFound("response", turn.id) from lost
    if not records:
        raise NotFound("response", turn.id)
    return records


async def conversation_of(state: State, turn: TurnRow) -> GivenConversation:
    """Return the conversation that the turn answered.

    Raises:
        NotFound: no client gave one, or its session was removed.
        TurnFailure: a part of it is no longer stored.
    """
    row = await state.store.get("session", turn.stream)
    found = await given_turn(state, session_of(row), turn.id) if row is not None else None
    if found is None:
        raise NotFound("response", turn.id)
    return found.conversation


async def forget(state: State, principal: Principal, command: ForgetResponse) -> None:
    """Remove what an API stored with a turn.

    Raises:
        NotFound: the caller has no such turn, or nothing is stored with it.
        StoreRefused: nothing was changed.
    """
    row = await state.store.get(KIND, command.turn_id)
    if row is None or row.owner != principal.subject:
        raise NotFound("response", command.turn_id)
    await state.store.commit(row.parent, [], expects=[row.unchanged], drop=[(KIND, row.id)])
