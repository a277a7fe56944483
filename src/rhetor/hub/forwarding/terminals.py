"""Shells that have a name: what is passed on to one stands in a stream of its own, open or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import Principal
from rhetor.domain.event import SessionStateChanged
from rhetor.domain.rule_commands import PutTerminal, RemoveTerminal
from rhetor.domain.rules import RESERVED, Terminal
from rhetor.errors import Malformed, NameTaken, NotFound, UnknownPeer
from rhetor.hub.catalog.routing_table import place_id, row_of
from rhetor.hub.core.checks import NAME, require_person
from rhetor.hub.core.commits import until_unchanged
from rhetor.store.base import Draft, parse_cursor, require_position

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND = "terminal"


async def put(state: State, principal: Principal, command: PutTerminal) -> Terminal:
    """Register the name, or say how much was shown there.

    Raises:
        Malformed: it is no name. NameTaken: it is a peer's, a command's, or another user's terminal's.
        MalformedCursor, PositionLost: `seen` is no position of its stream.
    """
    state.require_open()
    require_person(principal)
    terminal = state.routing_table.terminals.get(command.name)
    if terminal is None:
        terminal = await _register(state, principal, command.name)
    elif terminal.owner != principal.subject:
        raise NameTaken(KIND, command.name)
    if command.seen is not None:
        terminal = await _saw(state, terminal, command.seen)
    return terminal


async def remove(state: State, principal: Principal, command: RemoveTerminal) -> Terminal:
    """Raises:
    NotFound: the caller has none of that name."""
    require_person(principal)
    terminal = owned_terminal(state, principal, command.name)
    purpose = "purpose", place_id(terminal.owner, terminal.name)
    await state.store.commit(terminal.stream, [], drop=[(KIND, terminal.name), purpose])
    state.routing_table.terminals.pop(terminal.name, None)
    state.routing_table.purposes.pop((terminal.owner, terminal.name), None)
    return terminal


def owned_terminal(state: State, principal: Principal, name: str) -> Terminal:
    """Raises:
    NotFound: the caller has none of that name."""
    terminal = state.routing_table.terminals.get(name)
    if terminal is None or terminal.owner != principal.subject:
        raise NotFound(KIND, name)
    return terminal


def owned_terminals(state: State, principal: Principal) -> Sequence[Terminal]:
    return [t for t in state.routing_table.terminals.values() if t.owner == principal.subject]


def is_terminals_stream(state: State, principal: Principal, stream: str) -> bool:
    """Whether it is that of one of the caller's terminals."""
    return any(terminal.stream == stream for terminal in owned_terminals(state, principal))


async def _register(state: State, principal: Principal, name: str) -> Terminal:
    if not NAME.fullmatch(name):
        raise Malformed(
            f"{name[:100]!r} is no name: a letter, then up to 63 letters, digits, `_`, `.` or `-`"
        )
    async with state.exclusively(name):  # as programs do, so that one of both has the name
        if name in RESERVED or name in state.routing_table.terminals or _is_peer(state, name):
            raise NameTaken("command" if name in RESERVED else "peer", name)
        terminal = Terminal(name, principal.subject, state.ids.new("w"), state.ids.now())
        drafts = [Draft(SessionStateChanged("active"))]
        row = row_of(terminal)
        await state.store.commit(terminal.stream, drafts, expects=[row.unchanged], rows=[row])
        state.routing_table.terminals[name] = terminal
    return terminal


async def _saw(state: State, terminal: Terminal, cursor: str) -> Terminal:
    """Move the mark of what was shown there forward; it never moves back, whichever shell says so."""
    position = parse_cursor(cursor)
    head = await state.store.head(terminal.stream)
    if head is None:
        raise NotFound(KIND, terminal.name)
    require_position(head, position)
    return await until_unchanged(lambda: _advance(state, terminal, position.seq))


async def _advance(state: State, terminal: Terminal, seen: int) -> Terminal:
    row = await state.store.get(KIND, terminal.name)
    if row is None:
        raise NotFound(KIND, terminal.name)
    stored = msgspec.json.decode(row.doc, type=Terminal)
    if seen <= stored.seen:
        return stored
    advanced = replace(stored, seen=seen)
    await state.store.commit(terminal.stream, [], rows=[row_of(advanced)], expects=[row.unchanged])
    state.routing_table.terminals[terminal.name] = advanced
    return advanced


def _is_peer(state: State, name: str) -> bool:
    try:
        state.peers.get(name)
    except UnknownPeer:
        return False
    return True
