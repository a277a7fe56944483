"""The hub for Python programs: `async with aish.connect() as hub`.

This API is public; docs/how-to/python.md is its guide. It uses aiohttp for HTTP and WebSockets. The shell
does not use it for a single message, because `aish.client` starts faster and can wait on a terminal.
"""

from .activity import ActivityWatch
from .errors import (
    Ahead,
    Conflict,
    Denied,
    EpochChanged,
    HubError,
    HubUnreachable,
    Invalid,
    LimitExceeded,
    MachineOffline,
    NameTaken,
    NotFound,
    PeerBusy,
    PositionLost,
    SessionOver,
    Truncated,
    TurnCancelled,
    TurnFailed,
    TurnInterrupted,
    Unavailable,
    UnknownPeer,
)
from .following import Follow
from .hub import Hub, connect
from .permissions import PermissionWatch
from .session import Session, Turn
from .socket import Socket
from .values import (
    Activity,
    Answer,
    BulkResult,
    Choice,
    Event,
    Message,
    Option,
    Peer,
    Permission,
    PermissionChange,
    Question,
    SessionState,
    SocketMessage,
)

__all__ = [
    "Activity",
    "ActivityWatch",
    "Ahead",
    "Answer",
    "BulkResult",
    "Choice",
    "Conflict",
    "Denied",
    "EpochChanged",
    "Event",
    "Follow",
    "Hub",
    "HubError",
    "HubUnreachable",
    "Invalid",
    "LimitExceeded",
    "MachineOffline",
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
    "Question",
    "Session",
    "SessionOver",
    "SessionState",
    "Socket",
    "SocketMessage",
    "Truncated",
    "Turn",
    "TurnCancelled",
    "TurnFailed",
    "TurnInterrupted",
    "Unavailable",
    "UnknownPeer",
    "connect",
]
