"""One transaction of the writer: reads and locks what its commits need, checks them, and writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from rhetor.store.base import Row
from rhetor.store.commit import Append
from rhetor.store.group import Group, outcome_of
from rhetor.store.incarnation import Incarnation
from rhetor.store.requests import Outcome
from rhetor.store.sealed import Sealing

from .connection import Connection
from .incarnations import incarnation_of
from .owners import Owners
from .statements import sql

EVENT_BYTES = 80  # of an event besides its payload
MOST_WITH_ROWS = 256  # commits with rows in one transaction, so that its versions are sufficient
FEW_EVENTS = 24  # up to which arrays are faster than COPY


_EVENT = ("inc", "seq", "at", "type", "turn_id", "step", "data")


class _StoredRow(Struct, frozen=True, gc=False):
    state: str
    version: int
    owner: str
    name: str | None
    doc: bytes | None


class _Begun(Struct, frozen=True, gc=False):
    id: int
    stream: str
    epoch: str
    base: int | None
    base_seq: int | None


class Outdated(Exception):
    """What was known of a stream is not so any more: another node has changed it."""


class Transaction(Group):
    """The commits of one transaction. Locks are taken in one order by all nodes: streams, then rows.

    `words`: the index words of each message by its text, which were made before the transaction began.
    `known`: incarnations as of the last transaction, which need not be read; they are checked when their
    heads move. `node`: the number of this node, which may not write the streams of others.
    """

    def __init__(
        self,
        connection: Connection,
        new_epoch: Callable[[], str],
        sealing: Sealing,
        words: Mapping[str, str],
        known: Mapping[str, Incarnation],
        node: int,
    ) -> None:
        super().__init__(0, new_epoch, sealing)
        self._connection = connection
        self._words = words
        self._known = known
        self._owners = Owners(node)
        self._streams: dict[str, Incarnation] = {}
        self._stored_epochs: dict[str, Incarnation] = {}
        self._stored_rows: dict[tuple[str, str], _StoredRow] = {}
        self._holders: dict[tuple[str, str, str], str] = {}
        self._stored_keys: dict[tuple[str, str], tuple[str, str, int, int, bytes]] = {}
        self._ids: list[int] = []
        self._begun_incarnations: list[_Begun] = []
        self._replaced: set[str] = set()  # streams whose stored incarnation is not the current one any more

    async def run(self, appends: Sequence[Append]) -> list[Outcome]:
        """Check the commits in their order, and write what was accepted. The caller commits.

        Raises:
            KeysUnavailable: nothing can be sealed now.
            Outdated: it must be repeated without `known`.
            asyncpg.PostgresError, …: as the connection does.
        """
        await self.read(appends)
        outcomes = self.admit(appends)
        await self.write()
        return outcomes

    def admit(self, appends: Sequence[Append]) -> list[Outcome]:
        """Check the commits in their order, and collect what they write."""
        return [outcome_of(self.append, append) for append in appends]

    def moved(self) -> list[tuple[int, int, int, int]]:
        """Return the id, new head, size of the new events and old head of each stored incarnation that gets
        events."""
        heads, sizes = self._grown()
        own = {each.id for each in self._begun_incarnations}
        before = {each.id: each.head for each in self._streams.values()}
        return [(id, head, sizes[id], before[id]) for id, head in sorted(heads.items()) if id not in own]

    async def read(self, appends: Sequence[Append]) -> None:
        """Lock the streams and rows that the commits name, and read what decides about them."""
        await self._read_streams(appends)
        await self._read_rows(appends)
        if pairs := [(a.key.scope, a.key.key) for a in appends if a.key]:
            for scope, key, *stored in await self._fetch("keys", *columns(pairs)):
                self._stored_keys[scope, key] = tuple(stored)

    async def _read_streams(self, appends: Sequence[Append]) -> None:
        streams = sorted({append.stream for append in appends})
        unmoved = {append.stream for append in appends if not append.entries}
        for stream in streams:
            if stream in self._known and stream not in unmoved:
                self._streams[stream] = self._known[stream]
        if others := [stream for stream in streams if stream not in self._streams]:
            for row in await self._fetch("lock_streams", others):
                found = incarnation_of(row)
                self._streams[found.stream] = found
            await self._owners.read(self._connection, self._streams.values())
        if epochs := sorted({append.base[1].epoch for append in appends if append.base}):
            for row in await self._fetch("epochs", epochs):
                found = incarnation_of(row)
                self._stored_epochs[found.epoch] = found
        begun = len({*streams} - self._streams.keys()) + sum(1 for append in appends if append.base)
        if begun:
            self._ids = [id for (id,) in await self._fetch("new_ids", begun)]

    async def _read_rows(self, appends: Sequence[Append]) -> None:
        wanted: dict[tuple[str, str], bool] = {}
        for append in appends:
            for expect in append.expects:
                wanted.setdefault((expect.kind, expect.id), False)
            for row in append.rows:
                wanted.setdefault((row.kind, row.id), False)
            for kind, id in append.drop:
                wanted.setdefault((kind, id), False)
            for each in append.adds:
                wanted[each.kind, each.id] = True
        if not wanted:
            return
        places = sorted(wanted)
        kinds, ids = columns(places)
        for kind, id, *stored in await self._fetch("lock_rows", kinds, ids, [wanted[p] for p in places]):
            self._stored_rows[kind, id] = _StoredRow(*stored)
        if names := sorted(
            {(r.kind, r.owner, r.name) for a in appends for r in a.rows if r.name is not None}
        ):
            for kind, owner, name, id in await self._fetch("holders", *columns(names)):
                self._holders[kind, owner, name] = id
        if any(append.rows or append.adds for append in appends):
            [(version,)] = await self._fetch("new_versions")
            self.version = version - 1

    async def write(self) -> None:
        """Write everything that was accepted."""
        await self._write_events()
        if self.texts:
            await self._write_texts()
        if self.rows:
            await self._write_rows()
        if self.keys:
            await self._write_keys()
        if self.sources:
            await self._execute("set_sources", *columns(sorted(self.sources.items())))
        if self.sealing.new_keys:
            await self._execute("add_seals", sorted(self.sealing.new_keys))

    # what is stored

    def stored_key(self, scope: str, key: str) -> tuple[str, str, int, int, bytes] | None:
        return self._stored_keys.get((scope, key))

    def stored_row(self, kind: str, id: str) -> tuple[str, int] | None:
        found = self._stored_rows.get((kind, id))
        return (found.state, found.version) if found else None

    def stored_holder(self, kind: str, owner: str, name: str) -> str | None:
        return self._holders.get((kind, owner, name))

    def stored_doc(self, kind: str, id: str) -> bytes | None:
        found = self._stored_rows.get((kind, id))
        return found.doc if found else None

    def stored_stream(self, stream: str) -> Incarnation | None:
        return self._streams.get(stream)

    def stored_epoch(self, epoch: str) -> Incarnation | None:
        return self._stored_epochs.get(epoch)

    def require_own(self, stream: str) -> None:
        self._owners.require_own(stream)

    def create(self, append: Append, epoch: str, base: Incarnation | None) -> int:
        id = self._ids.pop(0)
        seq = append.base[1].seq if append.base else None
        self._begun_incarnations.append(_Begun(id, append.stream, epoch, base.id if base else None, seq))
        self._replaced.add(append.stream)
        return id

    # ----

    async def _write_events(self) -> None:
        if self._begun_incarnations:
            await self._write_incarnations(*self._grown())
        if self.events:
            moved = self.moved()
            heads = *columns(moved, 4), self._owners.own
            if len(self.events) <= FEW_EVENTS:
                [(count,)] = await self._fetch("append", *columns(self.events), *heads)
            else:
                await self._connection.copy_records_to_table("events", records=self.events, columns=_EVENT)
                [(count,)] = await self._fetch("move_heads", *heads)
            if count != len(moved):
                raise Outdated

    def _grown(self) -> tuple[dict[int, int], dict[int, int]]:
        """Return the last number and the size of the new events of each incarnation."""
        sizes: dict[int, int] = {}
        for event in self.events:
            sizes[event[0]] = sizes.get(event[0], 0) + len(event[6]) + EVENT_BYTES
        return {event[0]: event[1] for event in self.events}, sizes  # the last one of each counts

    async def _write_incarnations(self, heads: Mapping[int, int], sizes: Mapping[int, int]) -> None:
        if replaced := sorted(self._replaced & self._streams.keys()):
            await self._execute("retire", replaced)
        last = {each.stream: each.id for each in self._begun_incarnations}
        rows = [
            (
                each.id,
                each.stream,
                each.epoch,
                last[each.stream] == each.id,
                heads.get(each.id, 0),
                sizes.get(each.id, 0),
                each.base,
                each.base_seq,
                self._owners.of_new(each.stream),
            )
            for each in sorted(self._begun_incarnations, key=lambda each: each.stream)
        ]
        await self._execute("begin_incarnations", *columns(rows))

    async def _write_texts(self) -> None:
        texts: list[tuple[Any, ...]] = []
        for inc, seq, turn_id, role, content, at in self.texts:
            if isinstance(content, bytes):
                texts.append((inc, seq, turn_id, role, content, True, at, None))
            else:
                words = None if self.sealing.may_be_sealed else self._words.get(content, "")
                texts.append((inc, seq, turn_id, role, content.encode(), False, at, words))
        await self._execute("add_texts", *columns(texts))

    async def _write_rows(self) -> None:
        stored = self._stored_rows
        if dropped := sorted(place for place, row in self.rows.items() if row is None and place in stored):
            await self._execute("drop_rows", *columns(dropped))
        written = [row for place, row in sorted(self.rows.items()) if row and place not in self.only_docs]
        docs = [row for place, row in sorted(self.rows.items()) if row and place in self.only_docs]
        changed = [row for row in written if (row.kind, row.id) in stored]
        added = [row for row in written if (row.kind, row.id) not in stored]
        renamed = [(row.kind, row.id) for row in changed if self._loses_name(row)]
        if renamed:
            await self._execute("release_names", *columns(renamed))
        if changed:
            await self._execute("update_rows", *columns(map(self.columns_of, changed)))
        if added:
            await self._execute("insert_rows", *columns(map(self.columns_of, added)))
        if docs:
            rows = [(r.kind, r.id, self.sealing.doc(r.kind, r.id, r.doc), r.version) for r in docs]
            await self._execute("update_docs", *columns(rows))

    def _loses_name(self, row: Row) -> bool:
        before = self._stored_rows[row.kind, row.id]
        return before.name is not None and (before.owner, before.name) != (row.owner, row.name)

    async def _write_keys(self) -> None:
        await self._execute("add_keys", *columns(sorted(self.columns_of_keys())))

    async def _fetch(self, name: str, *values: object) -> list[Any]:
        found: list[Any] = await self._connection.fetch(sql(name), *values)
        return found

    async def _execute(self, name: str, *values: object) -> None:
        await self._connection.execute(sql(name), *values)


def columns(rows: Iterable[Sequence[Any]], width: int = 0) -> list[list[Any]]:
    """Return the columns of rows. `width`: how many there are if there is no row."""
    found = [list(column) for column in zip(*rows, strict=True)]
    return found or [[] for _ in range(width)]
