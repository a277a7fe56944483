"""The only writer of a node: it writes each group of requests in one durable transaction.

A group has the commits that arrived while the previous one was written. So groups grow with the load, and no
commit waits for a group to fill.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from rhetor.background import start
from rhetor.errors import FenceLost, KeysUnavailable, RhetorError, StoreRefused
from rhetor.store.commit import Append
from rhetor.store.incarnation import Incarnation, remember
from rhetor.store.requests import Outcome, Request, Ticket, weight_of
from rhetor.store.sealed import Sealing

from .at_once import AtOnce
from .changes import change
from .connection import CONFLICTS, ERRORS, UNSTORABLE, Connection, copy_of, refusal
from .transaction import MOST_WITH_ROWS, Outdated, Transaction
from .words import words_of_messages
from .write_connection import WriteConnection

GROUP_EVENTS = 2_000
GROUP_BYTES = 8 << 20
REPEATS = 20  # of a transaction that another node has disturbed
log = logging.getLogger(__name__)


class Writer:
    """Writes requests in their order. `deliver` gets each group with its outcomes, when it is durable or
    rejected. `is_shared`: whether other nodes write a stream, too, so that nothing is remembered of it.
    `needs_no_wake_up`: the last group had only events, and the database had no other node when they were
    written."""

    def __init__(
        self,
        connection: WriteConnection,
        new_epoch: Callable[[], str],
        deliver: Callable[[Sequence[Ticket], Sequence[Outcome]], None],
        sealing: Sealing,
        is_shared: Callable[[str], bool],
    ) -> None:
        self.needs_no_wake_up = False
        self._connection = connection
        self._new_epoch = new_epoch
        self._deliver = deliver
        self._sealing = sealing
        self._is_shared = is_shared
        self._queue: list[Ticket] = []
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        connection.undecided = self._reject_queued

    def start(self) -> None:
        """Begin to write."""
        self._task = start(self._run(), "store writer")

    def put(self, tickets: Sequence[Ticket]) -> None:
        """Queue requests."""
        self._queue += tickets
        self._filled.set()

    async def aclose(self) -> None:
        """Write what is queued, and end."""
        self._connection.is_closing = True
        self._filled.set()
        try:
            if self._task is not None:
                await self._task
        finally:
            await self._connection.aclose()

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            while self._queue:
                group = self._take()
                self._deliver(group, await self._write([ticket.request for ticket in group]))
            self._filled.clear()
            if self._connection.is_closing:
                return

    def _take(self) -> list[Ticket]:
        """Return the next commits, or one other request."""
        if not isinstance(self._queue[0].request, Append):
            return [self._queue.pop(0)]
        count = events = size = with_rows = 0
        for ticket in self._queue:
            request = ticket.request
            if not isinstance(request, Append) or events >= GROUP_EVENTS or size >= GROUP_BYTES:
                break
            with_rows += bool(request.rows or request.adds)
            if with_rows > MOST_WITH_ROWS:
                break
            count, events, size = count + 1, events + weight_of(request), size + ticket.size
        group, self._queue = self._queue[:count], self._queue[count:]
        return group

    async def _write(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        try:
            return await self._written(requests)
        except RhetorError as error:
            log.error("commit rejected", extra={"reason": error.detail, "requests": len(requests)})
            # one exception for each: a shared one would collect the tracebacks of all tasks
            return [copy_of(error) for _ in requests]
        except Exception as error:  # a bug fails its group, not the writer
            log.exception("commit failed")
            self._connection.drop()
            return [RhetorError(f"{type(error).__name__} in the store") for _ in requests]

    async def _written(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        self.needs_no_wake_up = False
        if (appended := await self._appended_at_once(requests)) is not None:
            return appended
        words = {} if self._sealing.may_be_sealed else await words_of_messages(requests)
        try:
            return await self._undisturbed(requests, words)
        except KeysUnavailable as error:
            raise StoreRefused(error.detail) from error
        except FenceLost:
            await self._connection.count_refused(len(requests))
            raise
        except ERRORS as error:
            if len(requests) > 1 and isinstance(error, UNSTORABLE):
                return [outcome for each in requests for outcome in await self._write([each])]
            raise refusal(error) from error

    async def _appended_at_once(self, requests: Sequence[Request]) -> Sequence[Outcome] | None:
        """Write the requests in one statement, if that is possible; else, change nothing and return None."""
        connection = await self._connection.open()
        known, fence = self._connection.known, self._connection.fence
        transaction = AtOnce(connection, self._new_epoch, self._sealing, {}, known, fence.node)
        try:
            if (outcomes := transaction.prepare(requests)) is None:
                return None
            if transaction.events:
                await self._connection.commit(connection, transaction.execute(fence.number))
        except (Outdated, KeysUnavailable):
            known.clear()
            return None
        remember(known, transaction.touched)
        self.needs_no_wake_up = transaction.is_alone
        return outcomes

    async def _undisturbed(self, requests: Sequence[Request], words: dict[str, str]) -> Sequence[Outcome]:
        """Write the requests in one transaction, which is repeated if another node has disturbed it."""
        for _ in range(REPEATS):
            try:
                async with self._connection.transaction() as connection:
                    outcomes, touched = await self._transact(connection, requests, words)
            except (Outdated, *CONFLICTS) as error:
                log.info("transaction repeated", extra={"reason": type(error).__name__})
                continue
            self._sealing.note()
            kept = {stream: each for stream, each in touched.items() if not self._is_shared(stream)}
            remember(self._connection.known, kept)
            return outcomes
        raise StoreRefused("other nodes write the same rows all the time; repeat the request")

    async def _transact(
        self, connection: Connection, requests: Sequence[Request], words: dict[str, str]
    ) -> tuple[Sequence[Outcome], Mapping[str, Incarnation]]:
        """Write the requests, and return their outcomes with the incarnations that have changed."""
        first, known, node = requests[0], self._connection.known, self._connection.fence.node
        if isinstance(first, Append):
            transaction = Transaction(connection, self._new_epoch, self._sealing, words, known, node)
            outcomes = await transaction.run([each for each in requests if isinstance(each, Append)])
            return outcomes, transaction.touched
        known.clear()  # it is changed by other means
        return [await change(connection, first, self._new_epoch, self._sealing, node)], {}

    def _reject_queued(self, error: RhetorError) -> None:
        """Reject what waits behind a commit whose outcome is not known. Nothing of it was stored."""
        tickets, self._queue = self._queue, []
        self._deliver(tickets, [copy_of(error) for _ in tickets])
