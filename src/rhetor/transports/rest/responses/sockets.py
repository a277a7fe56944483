"""Named sockets, and teams that are created at run time."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .common import Cursor, Time


class OpenedSocket(Struct):
    socket_id: str
    websocket_url: str
    session_id: str
    ai: str


class Socket(Struct):
    """A named socket. `session_id`, `created_at`, `head`: null if it was never used; `readers`: how many
    connections it has; `waiting`: how many whole messages no connection has received."""

    socket_id: str
    websocket_url: str
    ai: str
    session_id: str | None
    created_at: Time | None
    binary: bool
    readers: int
    waiting: int
    head: int | None
    cursor: Cursor | None


class Sockets(Struct):
    sockets: list[Socket]


class SocketClosed(Struct):
    socket_id: str
    status: str


class Group(Struct):
    name: str
    members: list[str]
    origin: Literal["configured", "made"]
    socket_id: str
    websocket_url: str


class Groups(Struct):
    groups: list[Group]


class GroupDeleted(Struct):
    name: str
    status: str
