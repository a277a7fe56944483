"""The trays of peers and terminals: `/api/v2/inbox`."""

from __future__ import annotations

from typing import Any

from rhetor.dialects import resources
from rhetor.domain.inbox import Tray
from rhetor.domain.rule_commands import ClearTray, TakeNote
from rhetor.hub.forwarding import inbox
from rhetor.transports.server.call import Call

from .bodies import NoteBody


async def count(call: Call, peer: str) -> dict[Tray, int]:
    """Return how many messages are in each tray of a peer or a terminal."""
    return await inbox.counts(call.hub.state, call.who, peer)


async def read(call: Call, peer: str, tray: Tray) -> dict[str, Any]:
    """List the messages in a tray, in the order in which they were sent."""
    found = await inbox.notes_of(call.hub.state, call.who, peer, tray)
    return {"messages": [resources.note(note) for note in found]}


async def put(call: Call, peer: str, tray: Tray, body: NoteBody) -> dict[str, Any]:
    """Put a message into a tray, where it waits. The peer is not called."""
    return resources.note(await call.execute(body.command(peer, tray)))


async def take(call: Call, peer: str, tray: Tray) -> dict[str, Any]:
    """Remove the oldest message from a tray and return it; null if the tray is empty."""
    note = await call.execute(TakeNote(peer, tray))
    return {"message": note and resources.note(note)}


async def clear(call: Call, peer: str, tray: Tray) -> dict[str, int]:
    """Remove all messages from a tray."""
    return {"removed": await call.execute(ClearTray(peer, tray))}
