"""Named terminals: shells to which answers are forwarded.

Each has a stream of its own, which keeps the forwarded answers even when no shell is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.event import SessionStateChanged
from rhetor.domain.principal import Principal
from rhetor.domain.rule_commands import PutTerminal, RemoveTerminal
from rhetor.domain.rules import RESERVED, Terminal
from rhetor.errors import NameTaken, NotFound
from rhetor.hub.catalog.routing_table import place_id, row_of
from rhetor.hub.core.checks import require_name, require_person
from rhetor.hub.core.commits import until_unchanged
from rhetor.store.base import Draft, parse_cursor, require_position

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND = "terminal"
STREAM = "w"  # before the underscore in the id of a terminal's stream


async def put(state: State, principal: Principal, command: PutTerminal) -> Terminal:
    """Register a terminal. If the command has `seen`, record that the events up to it were shown there.

    Raises:
        Malformed: the name is invalid.
        NameTaken: a peer, a command of the shell, or another user's terminal has the name.
        MalformedCursor: `seen` cannot be parsed.
        PositionLost: `seen` is not a position of the terminal's stream, or is no longer kept.
        Forbidden: the caller is a peer's program.
        StoreRefused, ShuttingDown: the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    terminal = state.routing_table.terminals.get(command.name)
    if terminal is None:
        terminal = await _register(state, principal, command.name)
    elif terminal.owner != principal.subject:
        raise NameTaken(KIND, command.name)
    if command.seen is not None:
        terminal = await _mark_seen(state, terminal, command.seen)
    return terminal


async def remove(state: State, principal: Principal, command: RemoveTerminal) -> Terminal:
    """Remove the terminal and its purpose.

    Raises:
        NotFound: the caller has no such terminal.
        Forbidden: the caller is a peer's program.
        StoreRefused: nothing was removed; the command may be sent again.
    """
    require_person(principal)
    terminal = owned_terminal(state, principal, command.name)
    purpose = "purpose", place_id(terminal.owner, terminal.name)
    await state.store.commit(terminal.stream, [], drop=[(KIND, terminal.name), purpose])
    state.routing_table.terminals.pop(terminal.name, None)
    state.routing_table.purposes.pop((terminal.owner, terminal.name), None)
    return terminal


def owned_terminal(state: State, principal: Principal, name: str) -> Terminal:
    """Return the caller's terminal of this name.

    Raises:
        NotFound: the caller has no such terminal.
    """
    terminal = state.routing_table.terminals.get(name)
    if terminal is None or terminal.owner != principal.subject:
        raise NotFound(KIND, name)
    return terminal


def owned_terminals(state: State, principal: Principal) -> Sequence[Terminal]:
    return [t for t in state.routing_table.terminals.values() if t.owner == principal.subject]


def is_terminals_stream(state: State, principal: Principal, stream: str) -> bool:
    """Whether the stream is that of one of the caller's terminals."""
    return any(terminal.stream == stream for terminal in owned_terminals(state, principal))


def readers_of(state: State, terminal: Terminal) -> int:
    """Return how many shells show the terminal, at all nodes."""
    return state.presence.readers(terminal.stream) + state.elsewhere.terminal_readers(terminal.stream)


def read_here(state: State) -> dict[str, int]:
    """Return how many shells of this node show each terminal's stream that any of them shows."""
    streams = (each.stream for each in state.routing_table.terminals.values())
    counts = {stream: state.presence.readers(stream) for stream in streams}
    return {stream: count for stream, count in counts.items() if count}


def note_readers(state: State, stream: str) -> None:
    """Note that a reader of a stream came or left: if it is that of a terminal, its status may change."""
    if stream.startswith(f"{STREAM}_"):
        table = state.routing_table
        state.live.peer_changed(*(each.name for each in table.terminals.values() if each.stream == stream))


async def _register(state: State, principal: Principal, name: str) -> Terminal:
    require_name(name, "terminal name")
    async with state.exclusively(name.lower()):  # programs take the same lock, so only one gets the name
        if name in RESERVED or name in state.routing_table.terminals or state.peers.has(name):
            raise NameTaken("command" if name in RESERVED else "peer", name)
        terminal = Terminal(name, principal.subject, state.ids.new(STREAM), state.ids.now())
        drafts = [Draft(SessionStateChanged("active"))]
        row = row_of(terminal)
        await state.store.commit(terminal.stream, drafts, expects=[row.unchanged], rows=[row])
        state.routing_table.terminals[name] = terminal
    return terminal


async def _mark_seen(state: State, terminal: Terminal, cursor: str) -> Terminal:
    """Move the terminal's `seen` forward. It never moves back, no matter which of its shells reports it."""
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
