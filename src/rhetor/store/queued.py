"""What the databases' stores share: requests wait for the writer, and what it has made durable is shown.

One step of the event loop adds durable records to the tail, wakes the followers, and returns the results to
the callers.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from rhetor.domain.event import Event, Position
from rhetor.domain.secrets import Secrets
from rhetor.errors import StoreRefused

from .base import (
    Addition,
    Committed,
    Draft,
    Expect,
    Head,
    Key,
    Observer,
    Record,
    Row,
    SourceOffset,
    observe_nothing,
)
from .commit import Append, Entry, masked
from .commit_stats import Commits
from .requests import (
    Fold,
    ForgetKeys,
    ForgetStream,
    Landed,
    Outcome,
    Renew,
    Request,
    Sweep,
    Ticket,
    Truncate,
)
from .resealing import Place, Step
from .tail import Tail
from .wakeups import Wakeups

MAX_WAITING_BYTES = 64 << 20
TICKET_BYTES = 1024  # the size of a request besides its payloads


class QueuedStore(ABC):
    """The writing half of a `Store`.

    At most 64 MiB of appends may wait for the writer; further ones are rejected at once. `secrets`: masked in
    everything that is appended.
    """

    def __init__(self, clock: Callable[[], int], tail: Tail, secrets: Secrets | None) -> None:
        self._clock = clock
        self._tail = tail
        self._secrets = Secrets() if secrets is None else secrets  # one that is empty may get secrets later
        self._loop = asyncio.get_running_loop()
        self._wakeups = Wakeups()
        self._waiting_bytes = 0
        self._submitted: list[Ticket] = []
        self._observer: Observer = observe_nothing
        self.commit_stats = Commits()
        self.notices: list[str] = []
        self._closed = False

    @abstractmethod
    def _hand_to_writer(self) -> None:
        """Give the submitted requests to the writer."""

    @abstractmethod
    async def _folds(self, stream: str, turn_id: str) -> Sequence[Event]:
        """Return the events that replace the answer chunks of a turn."""

    @abstractmethod
    async def _stored_head(self, stream: str) -> Head | None:
        """Return the state of a stream in the database."""

    def observe(self, observer: Observer) -> None:
        self._observer = observer

    async def commit(
        self,
        stream: str,
        drafts: Sequence[Draft],
        *,
        key: Key | None = None,
        expects: Sequence[Expect] = (),
        rows: Sequence[Row] = (),
        adds: Sequence[Addition] = (),
        drop: Sequence[tuple[str, str]] = (),
        sources: Sequence[SourceOffset] = (),
        base: tuple[str, Position] | None = None,
    ) -> Committed:
        entries = [Entry.of(draft) for draft in drafts]
        append = Append(stream, self._clock(), entries, key, expects, rows, adds, drop, sources, base)
        append.require_storable()
        append = masked(append, self._secrets)
        began = perf_counter()  # the clock of the loop may be as coarse as a millisecond
        committed: Committed = await self._submit(append, sum([len(entry.data) for entry in append.entries]))
        self.commit_stats.note(0 if committed.replayed else len(entries), perf_counter() - began)
        return committed

    async def fold(self, stream: str, turn_id: str) -> int:
        # a reader finds the chunks, so that a long turn does not delay the appends of others
        folds = await self._folds(stream, turn_id)
        count: int = await self._submit(Fold(stream, folds)) if folds else 0
        return count

    async def truncate(self, stream: str, before: int) -> None:
        await self._submit(Truncate(stream, before))
        # The events are hidden from here on, and are deleted in steps. After an interruption, the next call
        # continues.
        while await self._submit(Sweep(stream)):
            pass

    async def forget(
        self, stream: str, *, drop: Sequence[tuple[str, str]] = (), expects: Sequence[Expect] = ()
    ) -> bool:
        dropping = Append(stream, self._clock(), [], expects=expects, drop=drop)
        removed: bool = await self._submit(ForgetStream(stream, dropping))
        if removed:
            self._tail.forget(stream)
            self._wakeups.wake(stream)
            self._observer(stream, (), drop)
        return removed

    async def wait(self, stream: str, after: Position) -> None:
        if self._closed:
            return
        woken = self._wakeups.enter(stream)  # before the head is read, so that no change is missed
        try:
            head = self._tail.head(stream)
            if head is None or head.epoch != after.epoch or head.head < after.seq:
                head = await self._stored_head(stream)
            if head is not None and (head.epoch, head.head) == (after.epoch, after.seq):
                await woken
        finally:
            self._wakeups.leave(stream, woken)

    # Seals

    async def renew(self, after: Place | None, retired: frozenset[bytes]) -> Step:
        """Seal some of the values again that are sealed with a retired key: the next ones after a place."""
        step: Step = await self._submit(Renew(after, retired))
        return step

    async def forget_keys(self, retired: frozenset[bytes]) -> None:
        """Note that no value is sealed with these keys any more."""
        await self._submit(ForgetKeys(retired))

    # ----

    def _submit(self, request: Request, size: int = 0) -> asyncio.Future[Any]:
        """Queue a request for the writer, and return the future of its answer. No frame may keep the future:
        a refusal refers to the frames of those who wait, and would stay in memory with the request."""
        self._require_open()
        size += TICKET_BYTES
        if self._waiting_bytes and self._waiting_bytes + size > MAX_WAITING_BYTES:
            raise StoreRefused("too many appends are waiting for the disk", waiting_bytes=self._waiting_bytes)
        self._waiting_bytes += size
        ticket = Ticket(request, self._loop.create_future(), size)
        self._submitted.append(ticket)
        if len(self._submitted) == 1:
            # after this step of the loop, so that what is submitted in one step is one transaction
            self._loop.call_soon(self._hand_to_writer)
        return ticket.answer

    def _deliver(self, tickets: Sequence[Ticket], outcomes: Sequence[Outcome]) -> None:
        # followers and callers run after this step: first the followers, for which clients wait
        try:
            self._show(outcomes)
        finally:  # a bug leaves no caller waiting
            for ticket, outcome in zip(tickets, outcomes, strict=True):
                self._waiting_bytes -= ticket.size
                ticket.settle(outcome)
        for ticket, outcome in zip(tickets, outcomes, strict=True):
            append = ticket.request
            if isinstance(outcome, Landed) and isinstance(append, Append) and not outcome.answer.replayed:
                self._observer(append.stream, append.rows, append.drop)

    def _show(self, outcomes: Sequence[Outcome]) -> None:
        """Add what is durable to the tail, and wake the followers."""
        changed: dict[str, None] = {}
        for outcome in outcomes:
            if isinstance(outcome, Landed) and outcome.head is not None:
                self._take(outcome.stream, outcome.head, outcome.records, outcome.folds)
                if not outcome.folds:  # followers wait at the head, where a fold changes nothing
                    changed[outcome.stream] = None
        for stream in changed:
            self._wakeups.wake(stream)

    def _take(self, stream: str, head: Head, records: Sequence[Record], folds: Sequence[Record]) -> None:
        """Add a change of a stream to the tail."""
        self._tail.take(stream, head, records, folds)

    def _require_open(self) -> None:
        if self._closed:
            raise StoreRefused("the store is closed")
