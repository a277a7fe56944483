"""Programs and what they remember, as rows of the catalog, and how the end of a program is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from rhetor.domain.event import PeerExited, PeerLost
from rhetor.domain.peer import Peer
from rhetor.domain.program import Exit
from rhetor.store.base import Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

HUB_STREAM = "hub"


@dataclass(frozen=True, slots=True)
class ProgramRow:
    """A program as the catalog keeps it. `key`: its seat, the peer's name, or that of one of the peer's
    conversations. `announced`: it was given with its environment, which is not kept, so only its owner can
    start it again. `session_id`: where it is heard while nobody asked."""

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


def memory_row(state: State, key: str, memory: dict[str, Any]) -> Row:
    """What the conversation of a seat leaves to the next program."""
    return Row("memory", key, "kept", msgspec.json.encode(memory), at=state.ids.now())


async def memory_of(state: State, key: str) -> dict[str, Any]:
    row = await state.store.get("memory", key)
    return msgspec.json.decode(row.doc) if row else {}


def end_told(peer: str, ended: Exit) -> PeerExited | PeerLost:
    """A program's end, as an event."""
    if ended.lost is not None:
        return PeerLost(peer, ended.lost)
    return PeerExited(peer, ended.exit_code, ended.signal)
