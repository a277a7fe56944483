"""The trays of peers and terminals: messages that wait there until somebody takes them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.inbox import TRAYS, Note, Tray
from rhetor.domain.principal import Principal
from rhetor.domain.rule_commands import ClearTray, PutNote, TakeNote
from rhetor.errors import StateConflict, Unprocessable
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.core.checks import check_content
from rhetor.hub.forwarding.context import resolved_name
from rhetor.store.base import Expect, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND = "note"
WAITING = "waiting"
MOST_NOTES = 1000
MOST_FULL = 8  # of the largest messages, so that a tray can be read at once


async def put(state: State, principal: Principal, command: PutNote) -> Note:
    """Put a message into a tray.

    Raises:
        UnknownPeer: neither a peer nor a terminal of the caller has this name.
        Malformed: the text is empty, or not valid Unicode.
        TooLarge: the text exceeds the limit for messages.
        Unprocessable: there is no such tray, or no room in it: it has `MOST_NOTES` messages of the caller, or
            as much text as `MOST_FULL` of the largest ones.
        StoreRefused, ShuttingDown: nothing was stored; the command may be sent again.
    """
    state.require_open()
    check_content(command.text, state.limits.message_bytes)
    to, _ = _place(state, principal, command.to, command.tray)
    sender = principal.peer or command.from_ or principal.subject
    purpose = state.routing_table.purpose_of(principal.subject, sender) or ""
    async with state.exclusively(f"tray {to}/{command.tray}"):
        await _require_room(state, principal, command, to)
        return await _put(state, principal, command, to, sender, purpose)


async def _put(
    state: State, principal: Principal, command: PutNote, to: str, sender: str, purpose: str
) -> Note:
    while True:
        id = secrets.token_hex(4)
        note = Note(id, principal.subject, to, command.tray, sender, command.text, purpose, state.ids.now())
        try:
            await state.store.commit(HUB_STREAM, [], expects=[Expect.absent(KIND, id)], rows=[_row(note)])
        except StateConflict:
            continue  # the id is in use
        state.notes_changed.notify()
        return note


async def _require_room(state: State, principal: Principal, command: PutNote, to: str) -> None:
    rows = await state.store.find(
        KIND, owner=principal.subject, parent=f"{to}/{command.tray}", limit=MOST_NOTES
    )
    if len(rows) >= MOST_NOTES:
        raise Unprocessable(f"the tray {command.tray} of {to} has {MOST_NOTES} messages; clear it first")
    size = sum(len(row.doc) for row in rows) + len(command.text.encode())
    if size > MOST_FULL * state.limits.message_bytes:
        raise Unprocessable(f"the tray {command.tray} of {to} has no room for the message; clear it first")


async def take(state: State, principal: Principal, command: TakeNote) -> Note | None:
    """Remove the oldest message from a tray and return it; None if the tray is empty.

    Raises:
        UnknownPeer: neither a peer nor a terminal of the caller has this name.
        Unprocessable: there is no such tray.
        StoreRefused, ShuttingDown: nothing was removed; the command may be sent again.
    """
    state.require_open()
    to, _ = _place(state, principal, command.to, command.tray)
    while rows := await _rows(state, principal, to, command.tray):
        first = rows[0]
        try:
            await state.store.commit(HUB_STREAM, [], expects=[first.unchanged], drop=[(KIND, first.id)])
        except StateConflict:
            continue  # another caller took it
        state.notes_changed.notify()
        return _note(first)
    return None


async def clear(state: State, principal: Principal, command: ClearTray) -> int:
    """Remove all messages from a tray, and return their number.

    Raises:
        UnknownPeer: neither a peer nor a terminal of the caller has this name.
        Unprocessable: there is no such tray.
        StoreRefused, ShuttingDown: nothing was removed; the command may be sent again.
    """
    state.require_open()
    to, _ = _place(state, principal, command.to, command.tray)
    rows = await _rows(state, principal, to, command.tray)
    if rows:
        await state.store.commit(HUB_STREAM, [], drop=[(KIND, row.id) for row in rows])
        state.notes_changed.notify()
    return len(rows)


async def notes_of(state: State, principal: Principal, name: str, tray: str) -> Sequence[Note]:
    """Return the messages in a tray that the caller may read, in the order in which they were sent.

    Raises:
        UnknownPeer: neither a peer nor a terminal of the caller has this name.
        Unprocessable: there is no such tray.
    """
    to, tray = _place(state, principal, name, tray)
    return [_note(row) for row in await _rows(state, principal, to, tray)]


async def counts(state: State, principal: Principal, name: str) -> dict[Tray, int]:
    """Return how many messages are in each tray.

    Raises:
        UnknownPeer: neither a peer nor a terminal of the caller has this name.
    """
    to = resolved_name(state, principal, name)
    if principal.peer != to:
        found = await state.store.counts(KIND, state=(WAITING,), owner=principal.subject)
        return {tray: found.get(f"{to}/{tray}", 0) for tray in TRAYS}
    return {tray: len(await _rows(state, principal, to, tray)) for tray in TRAYS}


def _place(state: State, principal: Principal, name: str, tray: str) -> tuple[str, Tray]:
    """Return the full name of a peer or a terminal, and the tray.

    Raises:
        UnknownPeer: neither a peer nor a terminal of the caller has this name.
        Unprocessable: there is no such tray.
    """
    found = next((each for each in TRAYS if each == tray), None)
    if found is None:
        raise Unprocessable(f"Invalid inbox type {tray[:100]!r}. Must be: {', '.join(TRAYS)}")
    return resolved_name(state, principal, name), found


async def _rows(state: State, principal: Principal, to: str, tray: Tray) -> list[Row]:
    """Return the rows of the messages that the caller may read: all of them for the peer itself, otherwise
    those that the caller has sent."""
    owner = None if principal.peer == to else principal.subject
    rows = await state.store.find(KIND, owner=owner, parent=f"{to}/{tray}", limit=100_000)
    return sorted(rows, key=lambda row: row.version)  # several may have the same time


def _note(row: Row) -> Note:
    return msgspec.json.decode(row.doc, type=Note)


def _row(note: Note) -> Row:
    parent = f"{note.to}/{note.tray}"
    doc = msgspec.json.encode(note)
    return Row(KIND, note.id, WAITING, doc, owner=note.owner, parent=parent, at=note.at)
