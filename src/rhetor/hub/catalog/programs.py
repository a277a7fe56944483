"""Programs and what they remember, as rows of the catalog, and how the end of a program is recorded."""

from __future__ import annotations

from typing import Any

import msgspec

from rhetor.domain.event import PeerExited, PeerLost
from rhetor.domain.peer import Peer
from rhetor.domain.program import Exit
from rhetor.store.base import Catalog, Row

HUB_STREAM = "hub"


class ProgramRow(msgspec.Struct, frozen=True):
    """A program as the catalog keeps it.

    `key`: the peer's name, or `peer/session` if each conversation has a program of its own. `announced`: the
    owner gave the command line and the environment, which is not stored, so only the owner can start it
    again. `session_id`: the session that logs its output between turns.
    """

    host_id: str
    key: str
    peer: Peer
    owner: str
    session_id: str
    announced: bool
    at: int

    def row(self, state: str) -> Row:
        doc = msgspec.json.encode(self)
        return Row("program", self.host_id, state, doc, owner=self.owner, parent=self.peer.name, at=self.at)

    def ended(self, how: Exit) -> Row:
        return self.row("exited" if how.lost is None else "lost")

    @classmethod
    def of(cls, row: Row) -> ProgramRow:
        return msgspec.json.decode(row.doc, type=cls)


def memory_row(key: str, memory: dict[str, Any], now: int) -> Row:
    """What a conversation leaves to the next instance of its program. `now`: Unix time in milliseconds."""
    return Row("memory", key, "kept", msgspec.json.encode(memory), at=now)


async def memory_of(catalog: Catalog, key: str) -> dict[str, Any]:
    row = await catalog.get("memory", key)
    return msgspec.json.decode(row.doc) if row else {}


def end_event(peer: str, ended: Exit) -> PeerExited | PeerLost:
    """The event for the end of a peer's program."""
    if ended.lost is not None:
        return PeerLost(peer, ended.lost)
    return PeerExited(peer, ended.exit_code, ended.signal)
