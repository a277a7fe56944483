"""What the writer can do besides appending, and the result of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from rhetor.domain.event import Event
from rhetor.store.base import Head, Record
from rhetor.store.commit import Append


class Fold(Struct, frozen=True, gc=False):
    """Replace chunks by the folded events that stand for them."""

    stream: str
    folds: Sequence[Event]


class Truncate(Struct, frozen=True, gc=False):
    """Move the earliest number of a stream up to `before`."""

    stream: str
    before: int


class Sweep(Struct, frozen=True, gc=False):
    """Delete some of the events that a truncation left behind. The answer is whether there are more."""

    stream: str


Request = Append | Fold | Truncate | Sweep


class Landed(Struct, frozen=True, gc=False):
    """The result of a request: the answer for its caller, and the change if the stream was changed."""

    answer: Any
    stream: str = ""
    head: Head | None = None
    records: Sequence[Record] = ()
    folds: Sequence[Record] = ()
