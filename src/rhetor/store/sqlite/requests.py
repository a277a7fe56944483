"""What the writer is asked for beside appends, and what becomes of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from rhetor.domain.event import Event
from rhetor.store.base import Head, Record
from rhetor.store.commit import Append


class Fold(Struct, frozen=True, gc=False):
    """Put the folded events in the place of the chunks that they stand for."""

    stream: str
    folds: Sequence[Event]


class Truncate(Struct, frozen=True, gc=False):
    stream: str
    before: int


class Sweep(Struct, frozen=True, gc=False):
    """Delete some of the rows that a truncation has left behind; the answer is whether there are more."""

    stream: str


Request = Append | Fold | Truncate | Sweep


class Landed(Struct, frozen=True, gc=False):
    """What became of a request: the answer to its caller and, where it changed the stream, how."""

    answer: Any
    stream: str = ""
    head: Head | None = None
    records: Sequence[Record] = ()
    folds: Sequence[Record] = ()
