"""The only writer of a node: it writes each group of requests in one durable transaction.

A group has the commits that arrived while the previous one was written. So groups grow with the load, and no
commit waits for a group to fill. If the connection is lost while a transaction is committed, nothing is
guessed: the node's row counts its transactions, so the next connection finds out whether it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic

import asyncpg
from msgspec import Struct

from rhetor.background import start
from rhetor.errors import CommitUnresolved, FenceLost, KeysUnavailable, RhetorError, StoreRefused
from rhetor.store.commit import Append
from rhetor.store.incarnation import Incarnation, remember
from rhetor.store.requests import Outcome, Request, Ticket, weight_of
from rhetor.store.sealed import Sealing

from .at_once import AtOnce
from .changes import change
from .connection import (
    CONFLICTS,
    ERRORS,
    IDLE_IN_TRANSACTION,
    LOST,
    STATEMENT_TIMEOUT,
    UNSTORABLE,
    Connection,
    close,
    connect,
    refusal,
)
from .statements import sql
from .transaction import MOST_WITH_ROWS, Outdated, Transaction
from .words import words_of_messages

GROUP_EVENTS = 2_000
GROUP_BYTES = 8 << 20
REPEATS = 20  # of a transaction that another node has disturbed
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds, between attempts to reach the server
SETTINGS = {"idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION)}
log = logging.getLogger(__name__)


class Fence(Struct, frozen=True):
    """A node, and the number that each of its commits must still find in its row. See the table `nodes`.
    `seconds`: of its lease; None if it has none, so that its right has no end."""

    node: int
    number: int
    seconds: float | None = None


class Writer:
    """Writes requests in their order. `deliver` gets each group with its outcomes, when it is durable or
    rejected. `fence`: of this node; it may be replaced when the node has a new one. `is_shared`: whether
    other nodes write a stream, too, so that nothing is remembered of it. `committed` is called with the
    number of the node's transactions after each one. `needs_no_wake_up`: the last group had only events, and
    the database had no other node when they were written."""

    def __init__(
        self,
        url: str,
        fence: Fence,
        commits: int,
        new_epoch: Callable[[], str],
        deliver: Callable[[Sequence[Ticket], Sequence[Outcome]], None],
        sealing: Sealing,
        is_shared: Callable[[str], bool],
    ) -> None:
        self.fence = fence
        self.committed: Callable[[int], None] = lambda commits: None
        self._url = url
        self._commits = commits  # of the node, as its row counts them
        self._new_epoch = new_epoch
        self._deliver = deliver
        self._sealing = sealing
        self._is_shared = is_shared
        self._queue: list[Ticket] = []
        self.needs_no_wake_up = False
        self._known: dict[str, Incarnation] = {}
        self._filled = asyncio.Event()
        self._closing = False
        self._connection: Connection | None = None
        self._refused: StoreRefused | None = None
        self._next_attempt = 0.0
        self._pause = FIRST_PAUSE
        self._task: asyncio.Task[None] | None = None

    def start(self, connection: Connection) -> None:
        """Begin to write, with this connection."""
        self._connection = connection
        self._task = start(self._run(), "store writer")

    def put(self, tickets: Sequence[Ticket]) -> None:
        """Queue requests."""
        self._queue += tickets
        self._filled.set()

    async def aclose(self) -> None:
        """Write what is queued, and end."""
        self._closing = True
        self._filled.set()
        if self._task is not None:
            await self._task
        if self._connection is not None:
            await close(self._connection)

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            while self._queue:
                group = self._take()
                self._deliver(group, await self._write([ticket.request for ticket in group]))
            self._filled.clear()
            if self._closing:
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
            return [_copy(error) for _ in requests]
        except Exception as error:  # a bug fails its group, not the writer
            log.exception("commit failed")
            self._drop()
            return [RhetorError(f"{type(error).__name__} in the store") for _ in requests]

    async def _written(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        self.needs_no_wake_up = False
        if (appended := await self._appended_at_once(requests)) is not None:
            return appended
        words = {} if self._sealing.may_be_sealed else await words_of_messages(requests)
        for _ in range(REPEATS):
            connection = await self._connected()
            try:
                async with asyncio.timeout(STATEMENT_TIMEOUT):
                    outcomes, touched = await self._transact(connection, requests, words)
            except (Outdated, *CONFLICTS) as error:
                log.info("transaction repeated", extra={"reason": type(error).__name__})
                await self._roll_back(connection)
                continue
            except KeysUnavailable as error:
                await self._roll_back(connection)
                raise StoreRefused(error.detail) from error
            except FenceLost:
                await self._roll_back(connection)
                await self._count_refused(len(requests))
                raise
            except RhetorError:
                await self._roll_back(connection)
                raise
            except LOST as error:  # before COMMIT, so nothing was written
                self._drop()
                raise refusal(error) from error
            except asyncpg.PostgresError as error:
                await self._roll_back(connection)
                if len(requests) > 1 and isinstance(error, UNSTORABLE):
                    return [outcome for each in requests for outcome in await self._write([each])]
                raise refusal(error) from error
            await self._commit(connection, connection.execute("COMMIT"))
            self._sealing.note()
            remember(self._known, {n: each for n, each in touched.items() if not self._is_shared(n)})
            return outcomes
        raise StoreRefused("other nodes write the same rows all the time; repeat the request")

    async def _appended_at_once(self, requests: Sequence[Request]) -> Sequence[Outcome] | None:
        """Write the requests in one statement, if that is possible; else, change nothing and return None."""
        connection = await self._connected()
        node = self.fence.node
        transaction = AtOnce(connection, self._new_epoch, self._sealing, {}, self._known, node)
        try:
            if (outcomes := transaction.prepare(requests)) is None:
                return None
            if transaction.events:
                await self._commit(connection, transaction.execute(self.fence.number))
        except (Outdated, KeysUnavailable):
            self._known.clear()
            return None
        remember(self._known, transaction.touched)
        self.needs_no_wake_up = transaction.is_alone
        return outcomes

    async def _transact(
        self, connection: Connection, requests: Sequence[Request], words: dict[str, str]
    ) -> tuple[Sequence[Outcome], Mapping[str, Incarnation]]:
        """Write the requests, and return their outcomes with the incarnations that have changed."""
        await self._begin(connection)
        first = requests[0]
        if isinstance(first, Append):
            node = self.fence.node
            transaction = Transaction(connection, self._new_epoch, self._sealing, words, self._known, node)
            outcomes = await transaction.run([each for each in requests if isinstance(each, Append)])
            return outcomes, transaction.touched
        self._known.clear()  # it is changed by other means
        return [await change(connection, first, self._new_epoch, self._sealing, self.fence.node)], {}

    async def _begin(self, connection: Connection) -> None:
        """Begin a transaction that commits only if this node still has its fence and its lease. A lease that
        has ended is taken again if no other node has taken over: nobody wrote in between.

        Raises:
            FenceLost: another node has.
        """
        fence = self.fence
        begin = (
            "BEGIN; UPDATE nodes SET commits = commits + 1"
            f" WHERE id = {fence.node:d} AND fence = {fence.number:d} AND expires_at > clock_timestamp()"
        )
        if await connection.execute(begin) == "UPDATE 1":
            return
        if fence.seconds is not None:
            await connection.execute("ROLLBACK")
            renewed = await connection.execute(sql("renew_lease"), fence.node, fence.number, fence.seconds)
            if renewed == "UPDATE 1":
                log.warning("the lease had ended, and is taken again")
                if await connection.execute(begin) == "UPDATE 1":
                    return
        raise FenceLost

    async def _commit(self, connection: Connection, statement: Awaitable[object]) -> None:
        """Execute the statement that commits. When this returns, the transaction is durable.

        Raises:
            StoreRefused: it was not committed.
            CommitUnresolved: the store was closed before the server could be asked.
        """
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT):
                await statement
        except LOST as error:
            self._drop()
            log.warning("connection lost during a commit", extra={"reason": type(error).__name__})
            if not await self._was_committed():
                raise refusal(error) from error
        except asyncpg.PostgresError as error:  # the server says that it has not committed
            await self._roll_back(connection)
            raise refusal(error) from error
        self._commits += 1
        self.committed(self._commits)

    async def _was_committed(self) -> bool:
        """Ask the server, however long it takes, whether the last transaction was committed."""
        while True:
            try:
                connection = await self._connected()
                async with asyncio.timeout(STATEMENT_TIMEOUT):
                    # waits until the transaction has ended, if its process still runs
                    commits = await connection.fetchval(
                        "SELECT commits FROM nodes WHERE id = $1 FOR UPDATE", self.fence.node
                    )
            except (StoreRefused, *ERRORS) as error:
                log.warning("the outcome of a commit is not known yet", extra={"reason": str(error)})
                self._drop()
                self._reject_queued(error)
                if self._closing:
                    raise CommitUnresolved() from error
                await asyncio.sleep(self._pause)
            else:
                if commits not in (self._commits, self._commits + 1):
                    raise CommitUnresolved()
                return bool(commits == self._commits + 1)

    def _reject_queued(self, error: BaseException) -> None:
        """Reject what waits behind a commit whose outcome is not known. Nothing of it was stored."""
        refused = error if isinstance(error, RhetorError) else refusal(error)
        tickets, self._queue = self._queue, []
        self._deliver(tickets, [_copy(refused) for _ in tickets])

    async def _connected(self) -> Connection:
        """Return the connection, a new one if necessary. After a failure, the next attempts wait longer.

        Raises:
            StoreRefused: the server cannot be reached.
        """
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        if self._refused is not None and monotonic() < self._next_attempt:
            raise _copy(self._refused)
        try:
            self._connection = await self._new_connection()
        except StoreRefused as error:
            self._refused = error
            self._next_attempt = monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            raise
        self._refused, self._pause = None, FIRST_PAUSE
        return self._connection

    async def _new_connection(self) -> Connection:
        """Connect to the server again. It may be another one now, or may have been restored.

        Raises:
            StoreRefused: it cannot be reached, or lacks transactions that this node has committed.
        """
        connection = await connect(self._url, "write", SETTINGS)
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT):
                commits = await connection.fetchval(sql("commits"), self.fence.node)
        except ERRORS as error:
            connection.terminate()
            raise refusal(error) from error
        if commits is None or commits < self._commits:
            await close(connection)
            log.error("the database is in an earlier state", extra={"lost": self._commits - (commits or 0)})
            raise StoreRefused(
                "the database is in an earlier state than this node has seen",
                hint="stop all nodes, and start them again; clients then read again",
            )
        return connection

    def forget(self, stream: str) -> None:
        """Forget what is known of a stream, because another node has changed it."""
        self._known.pop(stream, None)

    async def _roll_back(self, connection: Connection) -> None:
        self._known.clear()
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT):
                await connection.execute("ROLLBACK")
        except ERRORS:
            self._drop()

    async def _count_refused(self, writes: int) -> None:
        """Count writes that came too late, so that they can be shown."""
        log.error("writes refused, because this node has lost its lease", extra={"writes": writes})
        try:
            connection = await self._connected()
            async with asyncio.timeout(STATEMENT_TIMEOUT):
                await connection.execute(sql("count_refused"), self.fence.node, writes)
        except (StoreRefused, *ERRORS) as error:
            log.warning("refused writes were not counted", extra={"reason": str(error)})
            self._drop()

    def _drop(self) -> None:
        self._known.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _copy(error: RhetorError) -> RhetorError:
    """Return an equal error without its traceback."""
    copy = type(error).__new__(type(error))
    Exception.__init__(copy, error.detail)
    copy.detail, copy.data = error.detail, dict(error.data)
    return copy
