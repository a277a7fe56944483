"""The requests to the writer besides `Append`, and the result of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from rhetor.domain.event import Event
from rhetor.store.base import Head, Record
from rhetor.store.commit import Append


class Fold(Struct, frozen=True, gc=False):
    """Replace answer chunks with their folded events."""

    stream: str
    folds: Sequence[Event]


class Truncate(Struct, frozen=True, gc=False):
    """Hide the events of a stream with numbers below `before`."""

    stream: str
    before: int


class Sweep(Struct, frozen=True, gc=False):
    """Delete some of the events that a truncation has hidden. The answer is whether there are more."""

    stream: str


Request = Append | Fold | Truncate | Sweep


class Landed(Struct, frozen=True, gc=False):
    """The result of a request: the answer for its caller, and what changed in the stream, if anything."""

    answer: Any
    stream: str = ""
    head: Head | None = None
    records: Sequence[Record] = ()
    folds: Sequence[Record] = ()
