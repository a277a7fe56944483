"""Forwards, named terminals, routes, staged context and purposes."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from .common import Cursor, Time


class ForwardFailed(Struct):
    code: str
    detail: str
    hint: str | None
    at: Time


class Forward(Struct):
    """A forward. `kind`: the kind of its destination. `from_kind`: the kind of its source; null if the source
    no longer exists. `circle`: the peers through which answers return to its source; empty if they do not.
    `failed`: why the last answer was not forwarded."""

    from_: str = field(name="from")
    from_kind: str | None
    to: str
    kind: Literal["terminal", "peer"]
    as_json: bool = field(name="json")
    execute: bool
    session_id: str | None
    circle: list[str]
    failed: ForwardFailed | None
    created_at: Time


class Forwards(Struct):
    forwards: list[Forward]


class Terminal(Struct):
    """A named shell. `attached`: how many shells follow its stream now; `seen`: the cursor up to which it has
    shown messages."""

    name: str
    attached: int
    head: int | None
    cursor: Cursor | None
    seen: Cursor | None
    created_at: Time


class Terminals(Struct):
    terminals: list[Terminal]


class Hop(Struct):
    ai: str
    purpose: str | None


class Route(Struct):
    name: str
    hops: list[Hop]
    created_at: Time


class Routes(Struct):
    routes: list[Route]


class Staged(Struct):
    ai: str
    staged: list[str]
    next: list[str]


class Purpose(Struct):
    name: str
    purpose: str | None


class Purposes(Struct):
    purposes: list[Purpose]


class Alias(Struct):
    """A name for a line of the shell."""

    name: str
    command: str
    description: str | None
    created_at: Time


class Aliases(Struct):
    aliases: list[Alias]


class Note(Struct):
    """A message in a tray of `to`. `purpose`: that of the sender."""

    id: str
    from_: str = field(name="from")
    to: str
    timestamp: Time
    purpose: str | None
    message: str


class Notes(Struct):
    messages: list[Note]


class TakenNote(Struct):
    message: Note | None


class Trays(Struct):
    """How many messages are in each tray."""

    prompt: int
    new: int
    keep: int


class TrayCleared(Struct):
    removed: int
