"""One epoch of a stream, as the databases have it."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from rhetor.domain.event import Position

from .base import Head


class Incarnation(Struct, frozen=True, gc=False):
    """One epoch of a stream. `id`: its key in the tables. `origin`: the epoch for which its content was
    sealed. The other fields are as in `Head`."""

    id: int
    stream: str
    epoch: str
    head: int
    earliest: int
    base: tuple[str, Position] | None
    origin: str

    def grown(self, events: int) -> Incarnation:
        return replace(self, head=self.head + events)

    def standing(self) -> Head:
        return Head(self.epoch, self.head, self.earliest, self.base)
