"""The only thread that writes: it takes requests, writes each batch in one durable transaction, and returns
outcomes.

A batch has the requests that arrived while the previous transaction was written to the disk, and while
its own statements were executed. So batches grow with the load, and no request waits for a batch to fill.
The writer accesses the tables only through `Transaction`.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from rhetor.errors import KeysUnavailable, RhetorError, StoreRefused
from rhetor.store.group import outcome_of
from rhetor.store.incarnation import Incarnation, remember
from rhetor.store.requests import Outcome, Ticket, weight_of
from rhetor.store.sealed import Sealing

from .connection import is_broken, is_busy, is_damage, refusal
from .transaction import Transaction
from .witness import Witness

BATCH_EVENTS = 256
log = logging.getLogger(__name__)


class Writer:
    """The writer thread.

    After each batch is durable or rejected, the thread calls `hand_over` with the outcomes, then `between`
    with its connection. `damaged`: whether the file is damaged.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        new_epoch: Callable[[], str],
        hand_over: Callable[[Sequence[Ticket], Sequence[Outcome]], None],
        between: Callable[[sqlite3.Connection], None],
        witness: Witness,
        sealing: Sealing,
    ) -> None:
        self._witness = witness
        self._sealing = sealing
        self._connect = connect
        self._new_epoch = new_epoch
        self._hand_over = hand_over
        self._between = between
        self._queue: SimpleQueue[Sequence[Ticket] | None] = SimpleQueue()
        self._known: dict[str, Incarnation] = {}
        self._text_id = 0
        self._version = 0
        self.damaged = False
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Open the database and start the thread.

        Raises:
            sqlite3.Error: the database cannot be opened.
        """
        self._open()
        self._thread.start()

    def put(self, tickets: Sequence[Ticket]) -> None:
        """Queue requests, at least one."""
        self._queue.put(tickets)

    def close(self) -> None:
        """Write the queued requests, and end the thread. This blocks."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while batch := self._take():
            outcomes = self._write(batch)  # may add to the batch
            self._hand_over(batch, outcomes)
            if self._connection is not None:
                self._between(self._connection)
        self._drop_connection()

    def _take(self) -> list[Ticket]:
        """Return the waiting requests, at least one; empty if the writer must end."""
        batch: list[Ticket] = []
        events = 0
        tickets = self._queue.get()
        while tickets is not None:
            batch += tickets
            events += sum(weight_of(ticket.request) for ticket in tickets)
            if events >= BATCH_EVENTS:
                return batch
            try:
                tickets = self._queue.get_nowait()
            except Empty:
                return batch
        if batch:
            self._queue.put(None)  # end after this batch; nothing is queued after it
        return batch

    def _arrived(self) -> Sequence[Ticket]:
        """Return the requests that were handed over next; nothing if none wait, or if the writer must end."""
        try:
            tickets = self._queue.get_nowait()
        except Empty:
            return ()
        if tickets is None:
            self._queue.put(None)  # nothing is queued after it
        return tickets or ()

    def _write(self, batch: list[Ticket]) -> Sequence[Outcome]:
        """Write a batch in one transaction, and return the outcomes. What arrives meanwhile is added to the
        batch if it can be."""
        try:
            return self._transact(self._connection or self._open(), batch)
        except sqlite3.Error as error:
            log.error("commit rejected", extra={"reason": str(error), "requests": len(batch)})
            self.damaged = self.damaged or is_damage(error)
            self._roll_back(broken=is_broken(error))
            if not is_busy(error):
                self._overwrite()
            # one exception for each: a shared one would collect the tracebacks of all tasks
            return [refusal(error) for _ in batch]
        except KeysUnavailable as error:
            log.error("commit rejected", extra={"reason": error.detail, "requests": len(batch)})
            self._roll_back(broken=False)
            return [StoreRefused(error.detail) for _ in batch]
        except Exception as error:  # a bug fails its batch, not the writer thread
            log.exception("commit failed")
            self._roll_back(broken=True)
            return [RhetorError(f"{type(error).__name__} in the store") for _ in batch]

    def _transact(self, connection: sqlite3.Connection, batch: list[Ticket]) -> Sequence[Outcome]:
        connection.execute("BEGIN IMMEDIATE")
        transaction = Transaction(
            connection, self._known, self._text_id, self._version, self._new_epoch, self._sealing
        )
        outcomes = _written(transaction, batch)
        if joining := self._arrived():
            batch += joining
            outcomes += _written(transaction, joining)
        if transaction.forgotten:  # the witness must not remember an event that is gone
            self._witness.note(self._version, ("", "", 0))
        connection.execute("COMMIT")
        self._remember(transaction)
        return outcomes

    def _remember(self, transaction: Transaction) -> None:
        self._sealing.note()
        for stream in transaction.forgotten:
            self._known.pop(stream, None)
        remember(self._known, transaction.touched)
        self._text_id = transaction.text_id
        self._version = transaction.version
        last = next(reversed(transaction.touched.values()), None)
        self._witness.note(self._version, (last.stream, last.epoch, last.head) if last else None)

    def _roll_back(self, *, broken: bool) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            log.error("rollback failed", extra={"reason": str(error)})
            broken = True
        if broken:
            self._drop_connection()

    def _overwrite(self) -> None:
        """Overwrite the rejected transaction in the write-ahead log.

        If only fsync failed, the log has the whole transaction with its commit mark. After a crash, SQLite
        would treat it as committed, although its callers got an error. It is enough to overwrite its first
        page with a page of another transaction, even if that page does not become durable now.
        """
        try:
            connection = self._connection or self._open()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "INSERT INTO meta VALUES ('refusals', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1"
            )
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            log.warning("overwriting a rejected transaction failed", extra={"reason": str(error)})
            self._roll_back(broken=is_broken(error))

    def _open(self) -> sqlite3.Connection:
        connection = self._connect()
        self._known.clear()
        (last,) = connection.execute("SELECT max(id) FROM texts").fetchone()
        self._text_id = max(self._text_id, (last or 0) + 1)  # the last texts may have been removed
        (self._version,) = connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
        self._connection = connection
        return connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _written(transaction: Transaction, tickets: Sequence[Ticket]) -> list[Outcome]:
    """Check the requests, and write those that are accepted. Return the outcomes."""
    outcomes = [outcome_of(transaction.apply, ticket.request) for ticket in tickets]
    transaction.write()
    return outcomes
