"""The connection that writes: it is opened again when it is lost, and knows what was committed.

If it is lost while a transaction is committed, nothing is guessed: the node's row counts its transactions, so
the next connection finds out whether it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic

import asyncpg
from msgspec import Struct

from rhetor.errors import CommitUnresolved, FenceLost, RhetorError, StoreRefused
from rhetor.store.incarnation import Incarnation

from .connection import (
    ERRORS,
    IDLE_IN_TRANSACTION,
    LOST,
    STATEMENT_TIMEOUT,
    Connection,
    close,
    closed_on_failure,
    connect,
    copy_of,
    refusal,
)
from .statements import sql
from .transaction import Outdated

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds, between attempts to reach the server
SETTINGS = {"idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION)}
log = logging.getLogger(__name__)


class Fence(Struct, frozen=True):
    """A node, and the number that each of its commits must still find in its row. See the table `nodes`.
    `seconds`: of its lease; None if it has none, so that its right has no end."""

    node: int
    number: int
    seconds: float | None = None


class WriteConnection:
    """The connection on which a node commits, one transaction at a time.

    `fence`: of this node. `known`: the incarnations that the last transactions have changed; empty after a
    failure. `committed` is called with the number of the node's transactions after each one. `undecided` is
    called with the reason, each time that the server could not say whether the last transaction was
    committed. `is_closing`: then it is not asked again.
    """

    def __init__(self, url: str, connection: Connection, fence: Fence, commits: int) -> None:
        self.fence = fence
        self.known: dict[str, Incarnation] = {}
        self.committed: Callable[[int], None] = lambda commits: None
        self.undecided: Callable[[RhetorError], None] = lambda error: None
        self.is_closing = False
        self._url = url
        self._commits = commits  # of the node, as its row counts them
        self._connection: Connection | None = connection
        self._refused: StoreRefused | None = None
        self._next_attempt = 0.0
        self._pause = FIRST_PAUSE

    async def open(self) -> Connection:
        """Return the connection, a new one if necessary. After a failure, the next attempts wait longer.

        Raises:
            StoreRefused: the server cannot be reached.
        """
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        if self._refused is not None and monotonic() < self._next_attempt:
            raise copy_of(self._refused)
        try:
            self._connection = await self._new_connection()
        except StoreRefused as error:
            self._refused = error
            self._next_attempt = monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            raise
        self._refused, self._pause = None, FIRST_PAUSE
        return self._connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Commit what the block writes. If the block raises an error, nothing was written.

        Raises:
            FenceLost: another node has taken over, and nothing was written.
            StoreRefused, CommitUnresolved: as `open` and `commit` do.
        """
        connection = await self.open()
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT):
                await self._begin(connection)
                yield connection
        except LOST:
            self.drop()
            raise
        except (Outdated, RhetorError, asyncpg.PostgresError):
            await self._roll_back(connection)
            raise
        await self.commit(connection, connection.execute("COMMIT"))

    async def commit(self, connection: Connection, statement: Awaitable[object]) -> None:
        """Execute the statement that commits. When this returns, the transaction is durable.

        Raises:
            StoreRefused: it was not committed.
            CommitUnresolved: the store was closed before the server could be asked.
        """
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT):
                await statement
        except LOST as error:
            self.drop()
            log.warning("connection lost during a commit", extra={"reason": type(error).__name__})
            if not await self._was_committed():
                raise refusal(error) from error
        except asyncpg.PostgresError as error:  # the server says that it has not committed
            await self._roll_back(connection)
            raise refusal(error) from error
        self._commits += 1
        self.committed(self._commits)

    async def count_refused(self, writes: int) -> None:
        """Count writes that came too late, so that they can be shown."""
        log.error("writes refused, because this node has lost its lease", extra={"writes": writes})
        try:
            connection = await self.open()
            async with asyncio.timeout(STATEMENT_TIMEOUT):
                await connection.execute(sql("count_refused"), self.fence.node, writes)
        except (StoreRefused, *ERRORS) as error:
            log.warning("refused writes were not counted", extra={"reason": str(error)})
            self.drop()

    def drop(self) -> None:
        """End the connection, in whatever state it is. The next `open` returns another one."""
        self.known.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await close(self._connection)

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

    async def _roll_back(self, connection: Connection) -> None:
        self.known.clear()
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT):
                await connection.execute("ROLLBACK")
        except ERRORS:
            self.drop()

    async def _was_committed(self) -> bool:
        """Ask the server, however long it takes, whether the last transaction was committed."""
        while True:
            try:
                connection = await self.open()
                async with asyncio.timeout(STATEMENT_TIMEOUT):
                    # waits until the transaction has ended, if its process still runs
                    commits = await connection.fetchval(
                        "SELECT commits FROM nodes WHERE id = $1 FOR UPDATE", self.fence.node
                    )
            except (StoreRefused, *ERRORS) as error:
                log.warning("the outcome of a commit is not known yet", extra={"reason": str(error)})
                self.drop()
                self.undecided(error if isinstance(error, RhetorError) else refusal(error))
                if self.is_closing:
                    raise CommitUnresolved() from error
                await asyncio.sleep(self._pause)
            else:
                if commits not in (self._commits, self._commits + 1):
                    raise CommitUnresolved()
                return bool(commits == self._commits + 1)

    async def _new_connection(self) -> Connection:
        """Connect to the server again. It may be another one now, or may have been restored.

        Raises:
            StoreRefused: it cannot be reached, or lacks transactions that this node has committed.
        """
        connection = await connect(self._url, "write", SETTINGS)
        try:
            with closed_on_failure(connection):
                async with asyncio.timeout(STATEMENT_TIMEOUT):
                    commits = await connection.fetchval(sql("commits"), self.fence.node)
        except ERRORS as error:
            raise refusal(error) from error
        if commits is None or commits < self._commits:
            await close(connection)
            log.error("the database is in an earlier state", extra={"lost": self._commits - (commits or 0)})
            raise StoreRefused(
                "the database is in an earlier state than this node has seen",
                hint="stop all nodes, and start them again; clients then read again",
            )
        return connection
