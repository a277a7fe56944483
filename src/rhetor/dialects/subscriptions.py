"""Following many streams on one connection, raw: calls of `/ws` and their notices (wire page, section 4).

Each subscription has a name that its client gave it, so that one stream may be followed twice, from two
places, and so that what a client has left is told from what it follows.
"""

from __future__ import annotations

from typing import Any

import msgspec

from rhetor.codec.jsonrpc import Call, notice, params_of
from rhetor.codec.websocket_frames import text_frame
from rhetor.store.base import Record

from . import raw
from .peer_socket import Id


class Subscribe(msgspec.Struct, frozen=True):
    """Follow a session, a plan or `hub`, from `cursor`, else from its beginning."""

    stream: Id
    subscription: Id
    cursor: Id | None = None


class Unsubscribe(msgspec.Struct, frozen=True):
    """Nothing of it comes after the reply."""

    subscription: Id


class WatchPermissions(msgspec.Struct, frozen=True):
    """Tell the caller's requests for permission as they come and go."""

    subscription: Id


Asked = Subscribe | Unsubscribe | WatchPermissions
METHODS = frozenset({"subscribe", "unsubscribe", "watchPermissions"})


def decode(call: Call) -> Asked:
    """What a call of one of `METHODS` asks for.

    Raises:
        Refused: these are not its params.
    """
    match call.method:
        case "subscribe":
            return params_of(call, Subscribe)
        case "unsubscribe":
            return params_of(call, Unsubscribe)
    return params_of(call, WatchPermissions)


class NamedView:
    """Every event as it is, as `event` notices with the subscription's name. `seen`: the number of the last
    one that the reader has, 0 for none."""

    is_over = False

    def __init__(self, subscription: str, seen: int) -> None:
        self._head = b'{"jsonrpc":"2.0","method":"event","params":{"subscription":%b,' % msgspec.json.encode(
            subscription
        )
        self._prev = seen

    def take(self, record: Record) -> bytes:
        # the name is this reader's own, so the frame is not kept for others
        frame = text_frame(b"%b%b}" % (self._head, raw.encode(record, self._prev)[1:]))
        self._prev = record.seq
        return frame


def permission(subscription: str, request: dict[str, Any]) -> bytes:
    """A request that waits, or, with its `option_id`, one that does no more."""
    kind = "answered" if "option_id" in request else "asked"
    return notice(f"permission.{kind}", {"subscription": subscription, **request})


def lost(subscription: str, why: dict[str, Any]) -> bytes:
    """The subscription is over: its position is no longer part of the log."""
    return notice("subscription.lost", {"subscription": subscription, **why})
