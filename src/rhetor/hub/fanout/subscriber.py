"""What a follower of a stream is: a view that turns records to frames, and an outlet that takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rhetor.store.base import Record


class View(Protocol):
    """What a reader is shown of a stream, in its order.

    What it remembers are plain, immutable values: a shallow copy goes its own way, and two that are equal
    show the same from there on."""

    @property
    def is_over(self) -> bool:
        """Nothing will come any more, as far as what was taken shows."""
        ...

    def take(self, record: Record) -> bytes:
        """The event as frames, one after the other; empty where it is left out."""
        ...


class DirectWriter:
    """How frames reach one client at once, as long as it reads.

    `put` writes what was enclosed; it answers False, and has written nothing, where the client has not read
    what it was given before, or is to be told something else first. One whose connection is closed takes
    everything. Who owns the connection exchanges it as that changes: it is called once a client for each
    event, and while nothing is in the way it is the transport's own `write`."""

    __slots__ = ("put",)

    def __init__(self, put: Callable[[bytes], bool | None]) -> None:
        self.put = put


class Subscriber(Protocol):
    """One client's end of a connection."""

    @property
    def api(self) -> str:
        """Those of one api enclose alike, and are counted together."""
        ...

    @property
    def writer(self) -> DirectWriter: ...

    def enclose(self, frames: bytes) -> bytes:
        """The frames as every outlet puts them that is shown the same view."""
        ...

    def count(self, size: int) -> None:
        """So many bytes were put on ways of its api."""
        ...

    async def write(self, frames: bytes) -> None:
        """Write when the client has room for it.

        Raises:
            TooSlow: it does not read.
        """
        ...
