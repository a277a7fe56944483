"""Messages that wait in the inbox of a peer or a terminal until somebody takes them. No peer is called."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

Tray = Literal["prompt", "new", "keep"]
TRAYS: tuple[Tray, ...] = get_args(Tray)


class Note(Struct, frozen=True, gc=False):
    """A message in a tray of `to`, a peer or a terminal. `from_`: the sender as shown to readers; `purpose`:
    that of the sender. `at`: Unix time in milliseconds."""

    id: str
    owner: str
    to: str
    tray: Tray
    from_: str
    text: str
    purpose: str = ""
    at: int = 0
