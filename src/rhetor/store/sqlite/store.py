"""The embedded store: SQLite in WAL mode with one writer thread, a few reader threads, and a tail in memory.

Only durable data becomes visible. When a transaction is on the disk, one step of the event loop adds its
records to the tail, returns the results to the callers, and wakes the followers.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from rhetor.domain.event import Event, Position
from rhetor.domain.secrets import Secrets
from rhetor.errors import StoreDamaged
from rhetor.sealing.ring import Ring
from rhetor.store.base import (
    ANY,
    PAGE,
    Among,
    Exchange,
    Head,
    Hit,
    Record,
    Row,
    Spoken,
    Summary,
    random_epoch,
)
from rhetor.store.queued import QueuedStore
from rhetor.store.requests import (
    Outcome,
    Ticket,
)
from rhetor.store.sealed import Sealing
from rhetor.store.search import words_of
from rhetor.store.tail import Tail

from . import queries
from .connection import BUSY_TIMEOUT, connect
from .converting import settle
from .epochs import begin_new_epochs
from .file import Ownership, finish, prepare, translated
from .readers import Readers, T
from .salvage import finish_interrupted, salvage
from .sealed import keys_in_use
from .summaries import last_messages, summaries
from .wal import Checkpoints
from .witness import Witness
from .word_index import WordIndex
from .writer import Writer

HANDED_TICKETS = 128  # at once, so that the writer begins while the loop handles the next ones
log = logging.getLogger(__name__)


class SqliteStore(QueuedStore):
    """A `Store` in one file, for one process and one event loop."""

    def __init__(
        self,
        path: Path,
        clock: Callable[[], int],
        new_epoch: Callable[[], str],
        tail: Tail,
        busy_timeout: float,
        sealing: Sealing,
        secrets: Secrets | None,
    ) -> None:
        super().__init__(clock, tail, secrets)
        self._path = path
        self._checkpoints = Checkpoints(path)
        self._readers = Readers(path)
        self._searchers = Readers(path, threads=1)  # of the index in memory, which one search at a time uses
        opened = partial(connect, path, busy_timeout=busy_timeout)
        self._witness = Witness(path)
        self._new_epoch = new_epoch
        self._sealing = sealing
        self._words = WordIndex(sealing)
        self._writer = Writer(
            opened, new_epoch, self._hand_over, self._checkpoints.between, self._witness, sealing
        )
        self._salvages = False
        self._ownership: Ownership | None = None

    @classmethod
    async def open(
        cls,
        path: str | Path,
        *,
        clock: Callable[[], int],
        new_epoch: Callable[[], str] = random_epoch,
        tail: Tail | None = None,
        busy_timeout: float = BUSY_TIMEOUT,
        secrets: Secrets | None = None,
        salvages: bool = False,
        ring: Ring | None = None,
        at_rest: bool | None = False,
    ) -> SqliteStore:
        """Open the store, and create the file (readable by its owner only) if it does not exist.

        `clock`: returns Unix time in milliseconds. `busy_timeout`: seconds that an append waits if another
        program has locked the database. `secrets`: masked in everything that is appended.
        `salvages`: if the file is damaged, replace it with what can be read of it. `notices` then has a
        sentence for the user, as it has if the file is older than it was. `ring`: the keys that seal
        credentials and, with `at_rest`, all content. The opening then seals what is plain; None means that
        content is sealed if it was so far.

        Raises:
            KeysUnavailable: the file has sealed content, and its keys cannot be read. Nothing was changed.
            StoreDamaged: the file is damaged, and `salvages` is not set.
            StoreRefused: the file cannot be opened now, is already open, or was written by a newer version.
        """
        sealing = Sealing(ring, at_rest=at_rest)
        tail = Tail() if tail is None else tail  # an empty one is false
        store = cls(Path(path), clock, new_epoch, tail, busy_timeout, sealing, secrets)
        store._salvages = salvages
        await asyncio.to_thread(store._start)
        return store

    async def aclose(self) -> None:
        """Finish pending appends, wake all followers, and mark the file as closed properly."""
        if not self._closed:
            self._closed = True
            self._hand_to_writer()
            self._wakeups.wake_all()
            await asyncio.to_thread(self._stop)

    # Store

    def forget_unused(self, seconds: float) -> int:
        return self._tail.forget_unused(seconds) + self._words.forget_unused(seconds)

    async def old_events(self, before: int) -> Sequence[tuple[str, int]]:
        return await self._read(partial(queries.old_events, before=before))

    async def oldest(self, without: str = "") -> int | None:
        return await self._read(partial(queries.oldest, without=without))

    async def size(self) -> int:
        return await self._read(queries.size)

    # Log

    async def head(self, stream: str) -> Head | None:
        return self._tail.head(stream) or await self._stored_head(stream)

    async def page(self, stream: str, after: Position, limit: int = PAGE) -> Sequence[Record]:
        self._require_open()
        records = self._tail.page(stream, after, limit)
        if records is None:
            # The database also decides about positions that the tail does not know: a page from the database
            # can be a moment ahead of the tail.
            read = partial(queries.page, sealing=self._sealing, stream=stream, after=after, limit=limit)
            records = await self._read(read)
        return records

    async def page_before(self, stream: str, before: Position, limit: int = PAGE) -> Sequence[Record]:
        self._require_open()
        records = self._tail.page_before(stream, before, limit)
        if records is None:
            given: dict[str, Any] = {"stream": stream, "before": before, "limit": limit}
            records = await self._read(partial(queries.page_before, sealing=self._sealing, **given))
        return records

    async def of_types(
        self, types: Collection[str], after: Position | None = None, limit: int = PAGE
    ) -> Sequence[Record]:
        read = partial(queries.of_types, sealing=self._sealing, types=types, after=after, limit=limit)
        return await self._read(read)

    async def spoken(
        self, stream: str, limit: int, *, answered: bool = True, until: Position | None = None
    ) -> Sequence[Spoken]:
        read = partial(
            queries.spoken,
            sealing=self._sealing,
            stream=stream,
            limit=limit,
            answered=answered,
            until=until,
        )
        return await self._read(read)

    async def summaries(self, streams: Sequence[str]) -> Mapping[str, Summary]:
        return await self._searchers.run(partial(summaries, sealing=self._sealing, streams=streams))

    async def last_messages(self, streams: Sequence[str]) -> Mapping[str, str]:
        return await self._read(partial(last_messages, sealing=self._sealing, streams=streams))

    async def recent(
        self, limit: int, among: Among = ANY, *, before: str | None = None
    ) -> Sequence[Exchange]:
        read = partial(queries.recent, sealing=self._sealing, limit=limit, among=among, before=before)
        return await self._searchers.run(read) if among.model or among.peer else await self._read(read)

    async def search(self, words: str, among: Among = ANY, *, limit: int = 50) -> Sequence[Hit]:
        wanted = words_of(words)
        if not wanted:
            return []
        given: dict[str, Any] = {"words": wanted, "among": among, "limit": limit}
        if not self._sealing.may_be_sealed:
            return await self._read(partial(queries.search, sealing=self._sealing, **given))
        self._require_open()  # making the index may take long, and must not keep others from reading
        return await self._searchers.run(partial(self._words.search, **given))

    # Catalog

    async def get(self, kind: str, id: str) -> Row | None:
        return await self._point(partial(queries.row, sealing=self._sealing, kind=kind, id=id))

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
        wanted = {"kind": kind, "owner": owner, "parent": parent, "name": name}
        given = {column: value for column, value in wanted.items() if value is not None}
        states = (state,) if isinstance(state, str) else state
        return await self._read(
            partial(
                queries.rows,
                sealing=self._sealing,
                columns=given,
                states=states,
                limit=limit,
                newest=newest,
            )
        )

    async def documents(
        self, kind: str, *, owner: str | None = None, parent: str | None = None
    ) -> Sequence[tuple[str, bytes]]:
        wanted = {"kind": kind, "owner": owner, "parent": parent}
        given = {column: value for column, value in wanted.items() if value is not None}
        return await self._read(partial(queries.documents, sealing=self._sealing, columns=given))

    async def counts(self, kind: str, *, state: Collection[str], owner: str) -> dict[str, int]:
        return await self._read(partial(queries.counts, kind=kind, states=state, owner=owner))

    async def has(self, kind: str, *, parent: str, state: Collection[str]) -> bool:
        return await self._point(partial(queries.has, kind=kind, parent=parent, states=state))

    async def offset(self, source: str) -> int:
        return await self._point(partial(queries.offset, source=source))

    # Seals

    async def sealed_with(self) -> set[bytes]:
        """Return the ids of the keys with which stored values are sealed."""
        return await self._read(keys_in_use)

    # ----

    async def _stored_head(self, stream: str) -> Head | None:
        return await self._point(partial(queries.head, stream=stream))

    async def _folds(self, stream: str, turn_id: str) -> Sequence[Event]:
        return await self._read(partial(queries.folds, sealing=self._sealing, stream=stream, turn_id=turn_id))

    def _start(self) -> None:
        with translated(self._path), ExitStack() as undo:
            self._ownership = Ownership(self._path)
            undo.callback(self._ownership.release)
            undo.callback(self._readers.close)
            self._prepare()
            undo.callback(self._witness.close, None)
            self._witness.open()
            self._readers.open()
            self._writer.start()
            self._checkpoints.start()
            undo.pop_all()

    def _prepare(self) -> None:
        finish_interrupted(self._path)
        seen, lost = self._witness.seen, False
        try:
            with translated(self._path):
                changed = prepare(self._path, seen, self._sealing)
        except StoreDamaged as damaged:
            if not self._salvages:
                raise
            notice, lost = salvage(self._path, damaged.data["findings"], self._sealing)
            self.notices.append(notice)
            changed = prepare(self._path, seen and replace(seen, closed=None), self._sealing)
        if changed is not None and not self.notices:
            self.notices.append(changed)
        if changed is not None or lost:
            with closing(connect(self._path)) as connection:
                begin_new_epochs(connection, self._sealing, self._new_epoch)
            self._witness.forget()
        if (left := settle(self._path, self._sealing)) is not None:
            self.notices.append(left)

    def _stop(self) -> None:
        assert self._ownership is not None
        closed = False
        self._writer.close()
        self._checkpoints.close()
        self._readers.close()
        self._searchers.close()
        try:
            # else the next opening must check it
            if not (self._writer.damaged or self._readers.damaged or self._searchers.damaged):
                finish(self._path)
                closed = True
        except sqlite3.Error as error:
            log.error("closing the database failed", extra={"reason": str(error)})
        finally:
            self._witness.close(self._path if closed else None)
            self._ownership.release()

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        self._require_open()
        return await self._readers.run(read)

    async def _point(self, read: Callable[[sqlite3.Connection], T]) -> T:
        self._require_open()
        return await self._readers.point(read)

    def _hand_to_writer(self) -> None:
        if self._submitted:
            tickets, self._submitted = self._submitted, []
            for begin in range(0, len(tickets), HANDED_TICKETS):
                self._writer.put(tickets[begin : begin + HANDED_TICKETS])

    def _hand_over(self, tickets: Sequence[Ticket], outcomes: Sequence[Outcome]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver, tickets, outcomes)
        except RuntimeError:  # the loop is closed, so no caller waits for the outcomes
            log.debug("commit results dropped, event loop closed", extra={"requests": len(tickets)})
