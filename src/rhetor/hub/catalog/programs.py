"""Programs and the memory of their conversations as catalog rows, and events for a program's end."""

from __future__ import annotations

from typing import Any

import msgspec

from rhetor.domain.event import PeerExited, PeerLost
from rhetor.domain.peer import Peer
from rhetor.domain.program import Exit
from rhetor.store.base import Catalog, Row

HUB_STREAM = "hub"
KIND = "program"


class ProgramRow(msgspec.Struct, frozen=True):
    """A program as it is stored in the catalog.

    `key`: the peer's name, or `peer/session` if each conversation has its own program. `announced`: the owner
    supplied the command line and the environment. These are not stored, so only the owner can start the
    program again. `session_id`: the session that logs the program's output between turns. `at`: when it
    started, as Unix time in milliseconds. `key_digest`: the SHA-256 of its key for the hub's APIs. `node`:
    the node that started it; empty if there was only one.
    """

    host_id: str
    key: str
    peer: Peer
    owner: str
    session_id: str
    announced: bool
    at: int
    key_digest: str = ""
    node: str = ""

    def row(self, state: str) -> Row:
        """Return the catalog row with `state`: `running`, `exited` or `lost`. While it runs, an announced one
        has its name alone, at whichever node."""
        doc, name = msgspec.json.encode(self), self.peer.name
        taken = name.lower() if self.announced and state == "running" else None
        return Row("program", self.host_id, state, doc, owner=self.owner, parent=name, name=taken, at=self.at)

    def ended(self, how: Exit) -> Row:
        """Return the catalog row of the program after its end."""
        return self.row("exited" if how.lost is None else "lost")

    @classmethod
    def of(cls, row: Row) -> ProgramRow:
        """Decode a catalog row."""
        return msgspec.json.decode(row.doc, type=cls)


def memory_row(key: str, memory: dict[str, Any], now: int) -> Row:
    """Return the row that saves a conversation's memory for the next instance of its program.

    `now`: Unix time in milliseconds.
    """
    return Row("memory", key, "kept", msgspec.json.encode(memory), at=now)


async def memory_of(catalog: Catalog, key: str) -> dict[str, Any]:
    """Return the saved memory for a program's `key`; empty if nothing was saved."""
    row = await catalog.get("memory", key)
    return msgspec.json.decode(row.doc) if row else {}


def end_event(peer: str, ended: Exit) -> PeerExited | PeerLost:
    """Return the event that records the end of a peer's program."""
    if ended.lost is not None:
        return PeerLost(peer, ended.lost)
    return PeerExited(peer, ended.exit_code, ended.signal)
