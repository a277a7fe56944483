"""The store on PostgreSQL, for one node or several: one connection writes, a few read, and a tail in memory
has the newest records of the streams that only this node writes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from rhetor.domain.event import Event, Position
from rhetor.domain.secrets import Secrets, shown_url
from rhetor.errors import StoreRefused
from rhetor.sealing.ring import Ring
from rhetor.store.base import (
    ANY,
    PAGE,
    Among,
    Exchange,
    Head,
    Hit,
    Place,
    Record,
    Row,
    RowSum,
    RowWatcher,
    Spoken,
    Summary,
    random_epoch,
)
from rhetor.store.queued import QueuedStore
from rhetor.store.requests import Outcome, Ticket
from rhetor.store.sealed import Sealing
from rhetor.store.search import words_of
from rhetor.store.tail import Tail

from .blobs import PostgresBlobs
from .catalog import Rows
from .connection import ERRORS, Connection, Pool, connect, require_safe, unreachable
from .conversation import Conversations
from .converting import settle
from .events import Events
from .finding import Messages
from .history import RESTORED, Witness, check_history
from .leases import Leases
from .other_nodes import OtherNodes
from .owners import has_owner
from .schema import migrate
from .statements import sql
from .wake_ups import WakeUps
from .write_connection import SETTINGS, Fence, WriteConnection
from .writer import Writer

READERS = 4  # connections for short reads
SEARCHERS = 2  # connections for long ones, which must not keep others from reading
log = logging.getLogger(__name__)


class PostgresStore(QueuedStore):
    """A `Store` in a database of a PostgreSQL server, for one event loop. Other nodes may use the database,
    too.

    `others`: what other nodes write.
    """

    def __init__(
        self,
        url: str,
        clock: Callable[[], int],
        new_epoch: Callable[[], str],
        tail: Tail,
        sealing: Sealing,
        secrets: Secrets | None,
    ) -> None:
        super().__init__(clock, tail, secrets)
        self._url = url
        self._new_epoch = new_epoch
        self._sealing = sealing
        self._pool = Pool(url, READERS)
        self._slow = Pool(url, SEARCHERS)
        self._events = Events(self._pool, sealing)
        self._rows = Rows(self._pool, sealing)
        self._conversations = Conversations(self._pool, sealing)
        self._messages = Messages(self._slow, sealing)
        self._lists = Conversations(self._slow, sealing)
        self.blobs = PostgresBlobs(self._slow, sealing.ring, sealed=sealing.at_rest, clock=clock)
        self._witness: Witness | None = None
        self.others: OtherNodes
        self._writer: Writer
        self._wake_ups: WakeUps

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        clock: Callable[[], int],
        node: str = "main",
        new_epoch: Callable[[], str] = random_epoch,
        tail: Tail | None = None,
        secrets: Secrets | None = None,
        ring: Ring | None = None,
        at_rest: bool | None = False,
        lease: Leases | None = None,
        witness: Path | None = None,
    ) -> PostgresStore:
        """Open the store, and create its tables if they do not exist.

        `clock`: returns Unix time in milliseconds. `node`: the name of this node; a store that was opened
        with the same name before can write no more. `secrets`: masked in everything that is appended.
        `ring`: the keys that seal credentials and, with `at_rest`, all content; None means that content is
        sealed if it was so far. `lease`: one that this node has taken; without it, `node` has none, and loses
        its right to commit only to a store with the same name. `witness`: a file of this node, by which it
        recognizes a database that was restored to an earlier state; all streams have new epochs then.

        Raises:
            KeysUnavailable: the database has sealed content, and its keys cannot be read.
            StoreRefused: the server cannot be used now, is too old, or could lose acknowledged commits.
        """
        sealing = Sealing(ring, at_rest=at_rest)
        tail = Tail() if tail is None else tail  # an empty one is false
        store = cls(url, clock, new_epoch, tail, sealing, secrets)
        store._witness = None if witness is None else Witness(witness)
        connection = await connect(url, "write", SETTINGS)
        try:
            await store._start(connection, node, lease)
        except ERRORS as error:
            connection.terminate()
            raise unreachable(url, error) from error
        except BaseException:  # whatever ends the start
            connection.terminate()
            raise
        return store

    async def aclose(self) -> None:
        """Finish pending appends, wake all followers, and close all connections."""
        if self._closed:
            return
        self._closed = True
        self._hand_to_writer()
        self._wakeups.wake_all()
        await self._writer.aclose()
        await self._wake_ups.aclose()
        await self._pool.aclose()
        await self._slow.aclose()
        if self._witness is not None:
            self._witness.close()

    # Store

    def forget_unused(self, seconds: float) -> int:
        return self._tail.forget_unused(seconds)

    async def old_events(self, before: int) -> Sequence[tuple[str, int]]:
        self._require_open()
        return await self._events.old_events(before)

    async def oldest(self, without: str = "") -> int | None:
        self._require_open()
        return await self._events.oldest(without)

    async def size(self) -> int:
        self._require_open()
        return await self._events.size()

    # Log

    async def head(self, stream: str) -> Head | None:
        # not from the tail: a client that comes from another node may be ahead of it
        self._require_open()
        return await self._events.head(stream)

    async def page(self, stream: str, after: Position, limit: int = PAGE) -> Sequence[Record]:
        self._require_open()
        records = self._tail.page(stream, after, limit)
        return await self._events.page(stream, after, limit) if records is None else records

    async def page_before(self, stream: str, before: Position, limit: int = PAGE) -> Sequence[Record]:
        self._require_open()
        records = self._tail.page_before(stream, before, limit)
        return await self._events.page_before(stream, before, limit) if records is None else records

    async def of_types(
        self, types: Collection[str], after: Position | None = None, limit: int = PAGE
    ) -> Sequence[Record]:
        self._require_open()
        return await self._events.of_types(types, after, limit)

    async def spoken(
        self, stream: str, limit: int, *, answered: bool = True, until: Position | None = None
    ) -> Sequence[Spoken]:
        self._require_open()
        return await self._conversations.spoken(stream, limit, answered, until)

    async def summaries(self, streams: Sequence[str]) -> Mapping[str, Summary]:
        self._require_open()
        return await self._lists.summaries(streams)

    async def last_messages(self, streams: Sequence[str]) -> Mapping[str, str]:
        self._require_open()
        return await self._conversations.last_messages(streams)

    async def recent(
        self, limit: int, among: Among = ANY, *, before: str | None = None
    ) -> Sequence[Exchange]:
        self._require_open()
        return await self._messages.recent(limit, among, before)

    async def search(self, words: str, among: Among = ANY, *, limit: int = 50) -> Sequence[Hit]:
        self._require_open()
        wanted = words_of(words)
        return await self._messages.search(wanted, among, limit) if wanted else []

    # Catalog

    async def get(self, kind: str, id: str) -> Row | None:
        self._require_open()
        return await self._rows.get(kind, id)

    async def find(
        self,
        kind: str,
        *,
        state: str | Collection[str] | None = None,
        owner: str | None = None,
        parent: str | None = None,
        name: str | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> Sequence[Row]:
        self._require_open()
        return await self._rows.find(kind, state, owner, parent, name, limit, newest)

    async def documents(
        self, kind: str, *, owner: str | None = None, parent: str | None = None
    ) -> Sequence[tuple[str, bytes]]:
        self._require_open()
        return await self._rows.documents(kind, owner, parent)

    async def counts(self, kind: str, *, state: Collection[str], owner: str) -> dict[str, int]:
        self._require_open()
        return await self._rows.counts(kind, state, owner)

    async def has(self, kind: str, *, parent: str, state: Collection[str]) -> bool:
        self._require_open()
        return await self._rows.has(kind, parent, state)

    async def offset(self, source: str) -> int:
        self._require_open()
        return await self._rows.offset(source)

    # SharedRows

    def watch(self, kinds: Collection[str], watcher: RowWatcher) -> None:
        self.others.watch(kinds, watcher)

    async def rows_at(self, places: Sequence[Place]) -> Sequence[Row]:
        self._require_open()
        return await self._rows.at(places)

    async def row_sums(self, kinds: Collection[str]) -> Mapping[str, RowSum]:
        self._require_open()
        return await self._rows.sums(kinds)

    # Nodes

    async def owner(self, stream: str) -> str | None:
        """Return the name of the node that owns a stream; None if there is no such stream, or every node may
        write it."""
        return (await self.owners([stream])).get(stream)

    async def owners(self, streams: Collection[str]) -> dict[str, str]:
        """Return the names of the nodes that own streams, without those that every node may write."""
        self._require_open()
        return dict(await self._pool.fetch(sql("owners"), list(streams)))

    # Seals

    async def sealed_with(self) -> set[bytes]:
        """Return the ids of the keys with which stored values are sealed."""
        return {key for (key,) in await self._pool.fetch(sql("seals"))}

    # ----

    async def _start(self, connection: Connection, node: str, lease: Leases | None) -> None:
        self.notices += await require_safe(self._url, connection)
        await migrate(connection)
        await settle(connection, self._sealing)
        fence, commits = await self._begun(connection, node, lease)
        if self._witness is not None and await check_history(
            connection, self._witness, fence.node, commits, self._sealing, self._new_epoch
        ):
            log.warning(RESTORED)
            self.notices += (RESTORED,)
        writing = WriteConnection(self._url, connection, fence, commits)
        if self._witness is not None:
            writing.committed = self._witness.note
        self.others = others = OtherNodes(self._tail, self._wakeups, self._events, writing.known)
        if lease is not None:
            others.is_shared = lambda stream: not has_owner(stream)
        channel = f"rhetor {await connection.fetchval('SELECT current_schema()')}"
        self._wake_ups = WakeUps(self._url, channel, others.changed, others.missed, others.sweep)
        await self._wake_ups.open()
        self._writer = Writer(writing, self._new_epoch, self._deliver, self._sealing, others.is_shared)
        self._writer.start()

    async def _begun(self, connection: Connection, node: str, lease: Leases | None) -> tuple[Fence, int]:
        """Return the fence of this node, and how many transactions it has committed before."""
        if await connection.fetchval("SELECT 1 FROM meta WHERE key = 'moved'"):
            hint = "remove store from the configuration, or name another database"
            raise StoreRefused(f"the log in {shown_url(self._url)} was moved away", hint=hint)
        if lease is not None and lease.fence is not None:
            return lease.fence, lease.commits
        id, number, commits = await connection.fetchrow(sql("register_node"), node)
        return Fence(id, number), commits

    async def _stored_head(self, stream: str) -> Head | None:
        return await self._events.head(stream)

    async def _folds(self, stream: str, turn_id: str) -> Sequence[Event]:
        self._require_open()
        return await self._events.folds(stream, turn_id)

    def _hand_to_writer(self) -> None:
        if self._submitted:
            tickets, self._submitted = self._submitted, []
            self._writer.put(tickets)

    def _deliver(self, tickets: Sequence[Ticket], outcomes: Sequence[Outcome]) -> None:
        names = () if self._writer.needs_no_wake_up else self.others.names_of(tickets, outcomes)
        super()._deliver(tickets, outcomes)
        if names:
            self._wake_ups.notify(names)

    def _take(self, stream: str, head: Head, records: Sequence[Record], folds: Sequence[Record]) -> None:
        if self.others.note_written(stream, head, len(records)):
            super()._take(stream, head, records, folds)
