"""A socket: a named session that several connections can read and write."""

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
HUB_PEER = "hub:rhetor"  # cannot collide: the name of a peer has no colon
_BROKEN = frozenset({TurnFailed.type, TurnCancelled.type, TurnInterrupted.type})


class Socket(Struct, frozen=True, gc=False):
    """A named socket. `peer`: a peer's name, `team:<name>`, or the hub. `created_at`: Unix time in
    milliseconds."""

    id: str
    owner: str
    peer: str
    session_id: str
    created_at: int

    @property
    def is_shared(self) -> bool:
        """Whether several peers answer on the socket."""
        return is_shared(self.peer)


def is_shared(peer: str) -> bool:
    """Whether several peers answer on a socket with this peer. Such a socket accepts binary content."""
    return peer.startswith(TEAM)


def standing_peer(socket_id: str) -> str | None:
    """Return the peer of a socket that always exists, or None for a socket that must be opened."""
    if socket_id == TEAM_CHAT:
        return f"{TEAM}all"
    if socket_id == HUB:
        return HUB_PEER
    if socket_id.startswith(GROUP):
        return TEAM + socket_id.removeprefix(GROUP)
    return None


def told_types(peer: str) -> frozenset[str]:
    """Return the event types that readers of a socket with this peer receive as whole messages."""
    if is_shared(peer):
        return _BROKEN | {StepDone.type, StepFailed.type, BlobKept.type}
    return _BROKEN | {TurnCompleted.type}
