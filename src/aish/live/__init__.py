"""The hub for Python programs: `async with aish.connect() as hub`. Public; docs/how-to/python.md shows it.

It stands on aiohttp, which speaks both HTTP and WebSockets. The shell's own ways (`aish.client`,
`aish.websocket`) are apart from it, since they must start in a millisecond and wait on a terminal.
"""

from .errors import (
    Ahead,
    Conflict,
    Denied,
    EpochChanged,
    HubError,
    HubRefuses,
    HubUnreachable,
    Invalid,
    NameTaken,
    NotFound,
    PeerBusy,
    PositionLost,
    SessionOver,
    TooMuch,
    Truncated,
    TurnCancelled,
    TurnFailed,
    TurnInterrupted,
    UnknownPeer,
)
from .following import Follow
from .hub import Hub, connect
from .permissions import PermissionWatch
from .session import Session, Turn
from .values import Answer, Event, Message, Option, Peer, Permission, PermissionChange, SessionState

__all__ = [
    "Ahead",
    "Answer",
    "Conflict",
    "Denied",
    "EpochChanged",
    "Event",
    "Follow",
    "Hub",
    "HubError",
    "HubRefuses",
    "HubUnreachable",
    "Invalid",
    "Message",
    "NameTaken",
    "NotFound",
    "Option",
    "Peer",
    "PeerBusy",
    "Permission",
    "PermissionChange",
    "PermissionWatch",
    "PositionLost",
    "Session",
    "SessionOver",
    "SessionState",
    "TooMuch",
    "Truncated",
    "Turn",
    "TurnCancelled",
    "TurnFailed",
    "TurnInterrupted",
    "UnknownPeer",
    "connect",
]
