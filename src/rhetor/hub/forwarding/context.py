"""Context and purposes as they are arranged: staged, promoted, cleared, given a text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import Principal
from rhetor.domain.rule_commands import ClearContext, PromoteContext, PutPurpose, StageContext
from rhetor.domain.rules import Context, Purpose
from rhetor.errors import StateConflict, TooLarge, Unprocessable
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.catalog.routing_table import place_id, row_id, row_of
from rhetor.hub.core.checks import PURPOSE_BYTES, check_content, require_person
from rhetor.hub.turns.context import KIND

if TYPE_CHECKING:
    from rhetor.hub.state import State

MOST_PROMPTS = 100


async def stage(state: State, principal: Principal, command: StageContext) -> Context:
    """Raises:
    UnknownPeer, Forbidden, Malformed, TooLarge, Unprocessable: as they say; nothing was staged."""
    check_content(command.text, state.limits.message_bytes)

    def added(staged: Context) -> Context:
        prompts = (*staged.staged, command.text)
        _check([*prompts, *staged.next], state.limits.message_bytes)
        return replace(staged, staged=prompts)

    return await _change(state, principal, command.peer, added)


async def promote(state: State, principal: Principal, command: PromoteContext) -> Context:
    """Raises:
    UnknownPeer, Forbidden: as they say.
    Unprocessable: nothing is staged."""

    def promoted(staged: Context) -> Context:
        if not staged.staged:
            raise Unprocessable(f"nothing is staged for {staged.peer}", peer=staged.peer)
        return replace(staged, staged=(), next=(*staged.next, *staged.staged))

    return await _change(state, principal, command.peer, promoted)


async def clear(state: State, principal: Principal, command: ClearContext) -> Context:
    """Neither what is staged nor what is next is sent."""
    return await _change(state, principal, command.peer, lambda staged: replace(staged, staged=(), next=()))


async def staged_for(state: State, principal: Principal, name: str) -> Context:
    """Raises:
    UnknownPeer: there is no such peer."""
    peer = state.peers.get(name)
    row = await state.store.get(KIND, place_id(principal.subject, peer.name))
    return msgspec.json.decode(row.doc, type=Context) if row else Context(principal.subject, peer.name)


async def put_purpose(state: State, principal: Principal, command: PutPurpose) -> Purpose:
    """What a peer or a terminal is for; with an empty text it has no purpose any more.

    Raises:
        UnknownPeer: neither a peer nor a terminal of the caller's is called so.
        TooLarge, Malformed, Forbidden: as they say.
    """
    state.require_open()
    require_person(principal)
    is_taken_away = not command.text.strip()
    if is_taken_away and (principal.subject, command.name) in state.routing_table.purposes:
        name = command.name  # of one that may be gone
    else:
        name = named(state, principal, command.name)
    purpose = Purpose(principal.subject, name, command.text, state.ids.now())
    place = principal.subject, name
    if is_taken_away:
        await state.store.commit(HUB_STREAM, [], drop=[("purpose", row_id(purpose))])
        state.routing_table.purposes.pop(place, None)
        return purpose
    check_content(command.text, PURPOSE_BYTES, "a purpose")
    await state.store.commit(HUB_STREAM, [], rows=[row_of(purpose)])
    state.routing_table.purposes[place] = purpose
    return purpose


async def _change(
    state: State, principal: Principal, name: str, changed: Callable[[Context], Context]
) -> Context:
    state.require_open()
    require_person(principal)
    name = state.peers.get(name).name
    return await state.background.complete(_commit(state, principal, name, changed), f"context of {name}")


async def _commit(
    state: State, principal: Principal, name: str, changed: Callable[[Context], Context]
) -> Context:
    """Again, where somebody else has changed it between our look and our commit."""
    id = place_id(principal.subject, name)
    while True:
        kept = await state.store.get(KIND, id)
        staged = await staged_for(state, principal, name)
        staged = replace(changed(staged), source=principal.subject, at=state.ids.now())
        row = row_of(staged)
        expect = kept.unchanged if kept else row.unchanged
        try:
            await state.store.commit(HUB_STREAM, [], expects=[expect], rows=[row])
        except StateConflict:
            continue
        _mirror(state, staged)
        return staged


def _mirror(state: State, staged: Context) -> None:
    place = staged.owner, staged.peer
    if staged.next:
        state.routing_table.promoted.add(place)
    else:
        state.routing_table.promoted.discard(place)


def _check(prompts: list[str], most: int) -> None:
    if len(prompts) > MOST_PROMPTS:
        raise Unprocessable(f"at most {MOST_PROMPTS} texts wait for a peer")
    if sum(len(prompt.encode()) for prompt in prompts) > most:
        raise TooLarge("what waits for the peer", most)


def named(state: State, principal: Principal, name: str) -> str:
    """The name of a terminal of the caller's, or of a peer.

    Raises:
        UnknownPeer: neither is called so.
    """
    terminal = state.routing_table.terminals.get(name)
    if terminal is not None and terminal.owner == principal.subject:
        return name
    return state.peers.get(name).name
