"""Stages, promotes and clears context for a peer, and sets the purposes of peers and terminals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.principal import Principal
from rhetor.domain.rule_commands import ClearContext, PromoteContext, PutPurpose, StageContext
from rhetor.domain.rules import UNNAMED_TERMINAL, Context, Purpose
from rhetor.errors import StateConflict, TooLarge, Unprocessable
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.catalog.routing_table import place_id, row_id, row_of
from rhetor.hub.core.checks import PURPOSE_BYTES, check_content, require_person
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.turns.context import KIND

if TYPE_CHECKING:
    from rhetor.hub.state import State

MOST_PROMPTS = 100


async def stage(state: State, principal: Principal, command: StageContext) -> Context:
    """Add a text to the peer's staged context, which is sent only after it is promoted.

    Raises:
        UnknownPeer: there is no such peer.
        Forbidden: the caller is a peer's program.
        Malformed: the text is empty, or not valid Unicode.
        TooLarge: the staged and promoted texts of the peer, with this one, exceed the limit for messages.
        Unprocessable: `MOST_PROMPTS` texts are already staged or promoted for the peer.
        StoreRefused, ShuttingDown: nothing was staged; the command may be sent again.
    """
    check_content(command.text, state.limits.message_bytes)

    def added(staged: Context) -> Context:
        prompts = (*staged.staged, command.text)
        _check([*prompts, *staged.next], state.limits.message_bytes)
        return replace(staged, staged=prompts)

    return await _change(state, principal, command.peer, added)


async def promote(state: State, principal: Principal, command: PromoteContext) -> Context:
    """Send the staged texts with the next message to the peer.

    Raises:
        UnknownPeer: there is no such peer.
        Forbidden: the caller is a peer's program.
        StateConflict: nothing is staged.
        StoreRefused, ShuttingDown: nothing was changed; the command may be sent again.
    """

    def promoted(staged: Context) -> Context:
        if not staged.staged:
            raise StateConflict("context", staged.peer, "empty; stage a text first")
        return replace(staged, staged=(), next=(*staged.next, *staged.staged))

    return await _change(state, principal, command.peer, promoted)


async def clear(state: State, principal: Principal, command: ClearContext) -> Context:
    """Remove the staged texts and the promoted texts, which would be sent with the next message.

    Raises:
        UnknownPeer: there is no such peer.
        Forbidden: the caller is a peer's program.
        StoreRefused, ShuttingDown: nothing was changed; the command may be sent again.
    """
    return await _change(state, principal, command.peer, lambda staged: replace(staged, staged=(), next=()))


async def staged_for(state: State, principal: Principal, name: str) -> Context:
    """Return the caller's context for the peer; it is empty if nothing was staged.

    Raises:
        UnknownPeer: there is no such peer.
    """
    peer = peers_for(state, principal).get(name)
    row = await state.store.get(KIND, place_id(principal.subject, peer.name))
    return msgspec.json.decode(row.doc, type=Context) if row else Context(principal.subject, peer.name)


async def put_purpose(state: State, principal: Principal, command: PutPurpose) -> Purpose:
    """Set the purpose of a peer or of a terminal. An empty text removes it.

    Raises:
        UnknownPeer: neither a peer nor a terminal of the caller has this name.
        Malformed: the text is not valid Unicode.
        TooLarge: the text has more than `PURPOSE_BYTES` bytes.
        Forbidden: the caller is a peer's program.
        StoreRefused, ShuttingDown: nothing was changed; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    is_removed = not command.text.strip()
    if is_removed and (principal.subject, command.name) in state.routing_table.purposes:
        name = command.name  # the peer or terminal may no longer exist
    else:
        name = resolved_name(state, principal, command.name)
    purpose = Purpose(principal.subject, name, command.text, state.ids.now())
    place = principal.subject, name
    if is_removed:
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
    name = peers_for(state, principal).get(name).name
    return await state.background.complete(_commit(state, principal, name, changed), f"context of {name}")


async def _commit(
    state: State, principal: Principal, name: str, changed: Callable[[Context], Context]
) -> Context:
    """Commit the change; read and change the context again if another command changed it meanwhile."""
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
        raise Unprocessable(f"at most {MOST_PROMPTS} texts can wait for a peer; send or clear them first")
    if sum(len(prompt.encode()) for prompt in prompts) > most:
        raise TooLarge("the context for the peer", most)


def resolved_name(state: State, principal: Principal, name: str) -> str:
    """Return the full name of one of the caller's terminals, or of a peer. A terminal without a name is
    called `tty:` and the id of its session, and needs no registration.

    Raises:
        UnknownPeer: neither a terminal of the caller nor a peer has this name.
    """
    if UNNAMED_TERMINAL.fullmatch(name):
        return name
    terminal = state.routing_table.terminals.get(name)
    if terminal is not None and terminal.owner == principal.subject:
        return name
    return peers_for(state, principal).get(name).name
