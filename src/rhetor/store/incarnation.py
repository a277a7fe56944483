"""One epoch of a stream, as the databases have it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from rhetor.domain.event import Position

from .base import Head

_EPOCH = re.compile(rb"[0-9a-zA-Z]{32}")
KNOWN_STREAMS = 20_000  # incarnations that a writer remembers between transactions, about 500 bytes each


class Incarnation(Struct, frozen=True, gc=False):
    """One epoch of a stream. `id`: its key in the tables. `origin`: the epoch for which its content was
    sealed. `node`: the only one that may write the stream, in a database that nodes share; None: every node
    may. The other fields are as in `Head`."""

    id: int
    stream: str
    epoch: str
    head: int
    earliest: int
    base: tuple[str, Position] | None
    origin: str
    node: int | None = None

    def grown(self, events: int) -> Incarnation:
        return replace(self, head=self.head + events)

    def standing(self) -> Head:
        return Head(self.epoch, self.head, self.earliest, self.base)


def remember(known: dict[str, Incarnation], touched: Mapping[str, Incarnation]) -> None:
    """Remember the incarnations that a transaction has changed, by their streams."""
    if len(known) > KNOWN_STREAMS:
        known.clear()  # simpler than finding the oldest ones; reading one again is cheap
    known.update(touched)


def with_new_epochs(doc: bytes, renewed: Mapping[bytes, bytes]) -> bytes:
    """Return the document of a row with the new epochs in its cursors. `renewed`: by the earlier ones."""
    return _EPOCH.sub(lambda match: renewed.get(match[0], match[0]), doc)
