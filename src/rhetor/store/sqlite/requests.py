"""What the writer is asked for beside appends, and what becomes of a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rhetor.domain.event import Event
from rhetor.store.base import Head, Record
from rhetor.store.commit import Append


@dataclass(frozen=True, slots=True)
class Fold:
    """Put the folded events in the place of the chunks that they stand for."""

    stream: str
    folds: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Truncate:
    stream: str
    before: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """Delete some of the rows that a truncation has left behind; the answer is whether there are more."""

    stream: str


Request = Append | Fold | Truncate | Sweep


@dataclass(frozen=True, slots=True)
class Landed:
    """What became of a request: the answer to its caller and, where it changed the stream, how."""

    answer: Any
    stream: str = ""
    head: Head | None = None
    records: Sequence[Record] = ()
    folds: Sequence[Record] = ()
