"""The interfaces of a client that follows a stream: a view encodes records, and a subscriber sends them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rhetor.store.base import Record


class View(Protocol):
    """Encodes the records of a stream for one client, in order.

    All state of a view must consist of immutable values, so that a shallow copy is independent. Two views
    that are equal must encode all later records alike.
    """

    @property
    def is_over(self) -> bool:
        """Whether the view has ended and encodes no further records."""
        ...

    def encode(self, record: Record) -> bytes:
        """Encode the record as frames, joined; empty if the view leaves the record out."""
        ...


class DirectWriter:
    """Writes to one client without waiting, as long as the client reads.

    `put` writes enclosed frames. It returns False and writes nothing if the client has not read what was
    written before, or if other frames must be sent first. If the connection is closed, `put` accepts
    everything. The owner of the connection replaces `put` when this state changes. `put` is called once per
    client and event, so while the client keeps up, it is the transport's own `write`.
    """

    __slots__ = ("put",)

    def __init__(self, put: Callable[[bytes], bool | None]) -> None:
        self.put = put


class Subscriber(Protocol):
    """The hub's end of a connection to one client."""

    @property
    def api(self) -> str:
        """The API of the connection. Subscribers of one API enclose frames alike and share a byte count."""
        ...

    @property
    def writer(self) -> DirectWriter: ...

    def enclose(self, frames: bytes) -> bytes:
        """Wrap frames for the connection. The result is shared by all subscribers of the API."""
        ...

    def count(self, size: int) -> None:
        """Add `size` bytes to the number of bytes written to clients of this API."""
        ...

    async def write(self, frames: bytes) -> None:
        """Wait until the client has room, then write.

        Raises:
            TooSlow: the client does not read.
        """
        ...
