"""The requests to a writer besides `Append`, the ticket of a request, and its result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from rhetor.domain.event import Event
from rhetor.errors import RhetorError

from .base import Head, Record
from .commit import Append
from .resealing import Place


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


class Renew(Struct, frozen=True, gc=False):
    """Seal again some of the values that were sealed with a `retired` key. `after`: the place of the last
    value of the previous step. The answer is a `Step`."""

    after: Place | None
    retired: frozenset[bytes]


class ForgetKeys(Struct, frozen=True, gc=False):
    """Note that no value is sealed with the `retired` keys any more."""

    retired: frozenset[bytes]


class ForgetStream(Struct, frozen=True, gc=False):
    """Remove a stream and drop the rows that `dropping` names, if its conditions are met. The answer is False
    if another stream continues from it."""

    stream: str
    dropping: Append


Request = Append | Fold | Truncate | Sweep | ForgetStream | Renew | ForgetKeys


class Landed(Struct, frozen=True, gc=False):
    """The result of a request: the answer for its caller, and what changed in the stream, if anything."""

    answer: Any
    stream: str = ""
    head: Head | None = None
    records: Sequence[Record] = ()
    folds: Sequence[Record] = ()


Outcome = Landed | RhetorError


class Ticket(Struct):
    """A request, and the future on which its sender waits."""

    request: Request
    answer: asyncio.Future[Any]
    size: int = 0

    def settle(self, outcome: Outcome) -> None:
        """Complete the future, unless the sender was cancelled. Call it in the event loop."""
        if self.answer.done():
            return
        if isinstance(outcome, RhetorError):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome.answer)


def weight_of(request: Request) -> int:
    """Return how much a request counts in a batch, as a number of events."""
    return max(1, len(request.entries)) if isinstance(request, Append) else 1
