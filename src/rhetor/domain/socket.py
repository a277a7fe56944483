"""A socket: a session that several connections may write to and read, under a name of its own."""

from __future__ import annotations

from msgspec import Struct

from .event import (
    BlobKept,
    StepDone,
    StepFailed,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    TurnInterrupted,
)

TEAM_CHAT, HUB = "team-chat-all", "rhetor"
TEAM, GROUP = "team:", "group:"
MOST_BYTES = 16 << 20  # of binary content in one frame
HUB_PEER = "hub:rhetor"  # no peer's own name has a colon
_BROKEN = frozenset({TurnFailed.type, TurnCancelled.type, TurnInterrupted.type})


class Socket(Struct, frozen=True, gc=False):
    """`peer`: a peer's name, `team:<name>`, or the hub itself. `created_at`: Unix time in milliseconds."""

    id: str
    owner: str
    peer: str
    session_id: str
    created_at: int

    @property
    def is_shared(self) -> bool:
        return is_shared(self.peer)


def is_shared(peer: str) -> bool:
    """Whether several answer there. Such a socket takes binary content, for those who read it."""
    return peer.startswith(TEAM)


def standing_peer(socket_id: str) -> str | None:
    """Whom a socket is with that nobody has to open; None where it is none of those."""
    if socket_id == TEAM_CHAT:
        return f"{TEAM}all"
    if socket_id == HUB:
        return HUB_PEER
    if socket_id.startswith(GROUP):
        return TEAM + socket_id.removeprefix(GROUP)
    return None


def told_types(peer: str) -> frozenset[str]:
    """The types of events that a reader of a socket with this peer is told as a whole message."""
    if is_shared(peer):
        return _BROKEN | {StepDone.type, StepFailed.type, BlobKept.type}
    return _BROKEN | {TurnCompleted.type}
