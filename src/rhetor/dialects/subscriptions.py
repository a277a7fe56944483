"""Many streams on one connection: the calls of `/ws` that follow streams or watch, and their notifications.

The client names each subscription. So it can follow one stream twice, from two positions, and can distinguish
the events of a subscription that it has ended from those of a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from rhetor.codec.jsonrpc import Call, notice, params_of
from rhetor.codec.websocket_frames import text_frame
from rhetor.domain.session import SessionState
from rhetor.store.base import Record

from . import raw
from .event_filter import Names
from .peer_socket import Id


class Subscribe(msgspec.Struct, frozen=True):
    """Follow a session, a plan or `hub`, from `cursor` or else from its beginning. `events`: only these."""

    stream: Id
    subscription: Id
    cursor: Id | None = None
    events: Names = []


class Unsubscribe(msgspec.Struct, frozen=True):
    """End a subscription. None of its events is sent after the reply."""

    subscription: Id


class WatchPermissions(msgspec.Struct, frozen=True):
    """Report the caller's permission requests as they are opened and answered."""

    subscription: Id


class WatchActivity(msgspec.Struct, frozen=True):
    """Report how many turns, unread messages and permission requests there are. `place`: the peer or terminal
    whose messages are counted."""

    subscription: Id
    place: Id | None = None


class WatchPeers(msgspec.Struct, frozen=True):
    """Report the peers that the caller can see whenever they change, with what they do for the caller."""

    subscription: Id


class WatchSessions(msgspec.Struct, frozen=True):
    """Report the caller's sessions, and those shared with the caller, whenever they change. `states`: only
    those in one of these states; empty for all."""

    subscription: Id
    states: Annotated[list[SessionState], msgspec.Meta(max_length=10)] = []


Request = Subscribe | Unsubscribe | WatchPermissions | WatchActivity | WatchPeers | WatchSessions
METHODS = frozenset(
    {"subscribe", "unsubscribe", "watchPermissions", "watchActivity", "watchPeers", "watchSessions"}
)


def decode(call: Call) -> Request:
    """Return the request that a call of one of `METHODS` makes.

    Raises:
        Refused: the params are invalid.
    """
    match call.method:
        case "subscribe":
            return params_of(call, Subscribe)
        case "unsubscribe":
            return params_of(call, Unsubscribe)
        case "watchActivity":
            return params_of(call, WatchActivity)
        case "watchPeers":
            return params_of(call, WatchPeers)
        case "watchSessions":
            return params_of(call, WatchSessions)
    return params_of(call, WatchPermissions)


class NamedView:
    """Every event unchanged, as `event` notifications with the subscription's name. `seen`: the number of the
    last event that the client has, 0 for none. `wanted`: only events of these types."""

    is_over = False

    def __init__(self, subscription: str, seen: int, wanted: frozenset[str] | None = None) -> None:
        self._head = b'{"jsonrpc":"2.0","method":"event","params":{"subscription":%b,' % msgspec.json.encode(
            subscription
        )
        self._prev = seen
        self._wanted = wanted

    def encode(self, record: Record) -> bytes:
        if self._wanted is not None and record.type not in self._wanted:
            return b""
        # the frame has the name of this subscription, so it is not shared
        frame = text_frame(b"%b%b}" % (self._head, raw.encode(record, self._prev)[1:]))
        self._prev = record.seq
        return frame


def permission(subscription: str, request: dict[str, Any]) -> bytes:
    """Return the notification of a permission request: `permission.answered` if the request has an
    `option_id`, otherwise `permission.asked`."""
    kind = "answered" if "option_id" in request else "asked"
    return notice(f"permission.{kind}", {"subscription": subscription, **request})


def activity(subscription: str, figures: dict[str, int]) -> bytes:
    """Return the notification of changed figures."""
    return notice("activity", {"subscription": subscription, **figures})


def listing(method: str, subscription: str, changed: Sequence[msgspec.Raw], removed: Sequence[str]) -> bytes:
    """Return the notification `method` that items of a list have changed, or were removed."""
    return notice(method, {"subscription": subscription, "changed": changed, "removed": removed})


def lost(subscription: str, outcome: dict[str, Any]) -> bytes:
    """Return the notification that a subscription has ended because its position is lost. `outcome` says
    why."""
    return notice("subscription.lost", {"subscription": subscription, **outcome})
