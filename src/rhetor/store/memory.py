"""An in-memory store, for tests and trials. It keeps every promise of a store except durability.

It is used in one event loop. A commit has no `await`, which makes it atomic.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from rhetor.domain.event import Position, UsageReported
from rhetor.domain.secrets import Secrets
from rhetor.errors import NotFound, StoreRefused

from .base import (
    ANY,
    MOST_PREFACE,
    PAGE,
    Addition,
    Among,
    Committed,
    Draft,
    Exchange,
    Expect,
    Head,
    Hit,
    Key,
    Observer,
    Record,
    Row,
    SourceOffset,
    Spoken,
    Summary,
    observe_nothing,
    random_epoch,
    require_before,
    require_position,
)
from .commit import Append, Entry, added, admit, masked
from .commit_stats import Commits
from .messages import (
    ASSISTANT,
    beginning,
    chunks,
    cost_of,
    folded,
    is_model,
    last_spoken,
    model_of,
    peer_of,
    said,
)
from .search import excerpt, rank, words_of
from .tail import ahead_of, behind, number, put_folds
from .wakeups import Wakeups


class _Incarnation(Struct):
    """The events of one epoch. `said`: its messages, which outlive their events."""

    stream: str
    epoch: str
    base: tuple[str, Position] | None
    head: int = 0
    earliest: int = 1
    records: list[Record] = field(default_factory=list)
    said: list[Spoken] = field(default_factory=list)

    def standing(self) -> Head:
        return Head(self.epoch, self.head, self.earliest, self.base)

    def append(self, entry: Entry, at: int) -> None:
        self.head += 1
        record = entry.record(self.stream, self.epoch, self.head, at)
        self.records.append(record)
        if message := said(entry.payload):
            self.said.append(Spoken(entry.turn_id or "", *message, record.at, self.head, self.epoch))

    def answers(self) -> dict[str, str]:
        """Return the last answer of each turn, by turn id."""
        return {spoken.turn_id: spoken.content for spoken in self.said if spoken.role == ASSISTANT}

    def model_of(self, turn_id: str) -> str | None:
        return model_of(r.event.payload for r in self.records if r.turn_id == turn_id)

    def fold(self, turn_id: str) -> int:
        asked = (s.seq for s in self.said if s.turn_id == turn_id and s.role != ASSISTANT)
        records = behind(self.records, next(asked, 1) - 1, self.head)
        folds = folded(r.event for r in records if r.turn_id == turn_id)
        put_folds(self.records, [Record.of(event) for event in folds])
        return chunks(folds)

    def truncate(self, before: int) -> None:
        self.earliest = max(self.earliest, min(before, self.head + 1))
        del self.records[: bisect_right(self.records, self.earliest - 1, key=number)]


class MemoryStore:
    """A `Store` whose content is lost when the process ends. `clock`: returns Unix time in milliseconds."""

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        new_epoch: Callable[[], str] = random_epoch,
        secrets: Secrets | None = None,
    ) -> None:
        self._secrets = Secrets() if secrets is None else secrets
        self._clock = clock
        self._new_epoch = new_epoch
        self._streams: dict[str, _Incarnation] = {}
        self._epochs: dict[str, _Incarnation] = {}
        self._rows: dict[tuple[str, str], Row] = {}
        self._names: dict[tuple[str, str, str], str] = {}
        self._keys: dict[tuple[str, str], tuple[str, Committed]] = {}
        self._sources: dict[str, int] = {}
        self._version = 0  # of the rows that were written last
        self._wakeups = Wakeups()
        self._observer: Observer = observe_nothing
        self.commit_stats = Commits()
        self._closed = False

    def observe(self, observer: Observer) -> None:
        self._observer = observer

    def forget_unused(self, seconds: float) -> int:
        return 0  # what it has exists nowhere else

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
        self._require_open()
        entries = [Entry.of(draft) for draft in drafts]
        append = Append(stream, self._clock(), entries, key, expects, rows, adds, drop, sources, base)
        append.require_storable()
        append = masked(append, self._secrets)
        return admit(append, self) or self._store(append)

    async def fold(self, stream: str, turn_id: str) -> int:
        return self._require(stream).fold(turn_id)

    async def truncate(self, stream: str, before: int) -> None:
        self._require(stream).truncate(before)
        self._wakeups.wake(stream)

    async def forget(
        self, stream: str, *, drop: Sequence[tuple[str, str]] = (), expects: Sequence[Expect] = ()
    ) -> bool:
        self._require_open()
        self._require(stream)
        dropping = Append(stream, self._clock(), [], expects=expects, drop=drop)
        admit(dropping, self)
        own = {epoch for epoch, incarnation in self._epochs.items() if incarnation.stream == stream}
        others = (each for each in self._epochs.values() if each.stream != stream)
        if any(each.base is not None and each.base[1].epoch in own for each in others):
            return False
        for epoch in own:
            del self._epochs[epoch]
        del self._streams[stream]
        self._put_rows(dropping)
        self._wakeups.wake(stream)
        self._observer(stream, (), drop)
        return True

    async def old_events(self, before: int) -> Sequence[tuple[str, int]]:
        found = []
        for stream, incarnation in self._streams.items():
            if incarnation.records and incarnation.records[0].at < before:
                kept = (record.seq for record in incarnation.records if record.at >= before)
                found.append((stream, next(kept, incarnation.head + 1)))
        return found

    async def oldest(self, without: str = "") -> int | None:
        of_it = without, f"{without}:"
        streams = (
            i for name, i in self._streams.items() if name != of_it[0] and not name.startswith(of_it[1])
        )
        return min((i.records[0].at for i in streams if i.records), default=None)

    async def size(self) -> int:
        events = sum(len(record.data) for i in self._epochs.values() for record in i.records)
        return events + sum(len(row.doc) for row in self._rows.values())

    async def aclose(self) -> None:
        self._closed = True
        self._wakeups.wake_all()

    # Log

    async def head(self, stream: str) -> Head | None:
        incarnation = self._streams.get(stream)
        return incarnation.standing() if incarnation else None

    async def page(self, stream: str, after: Position, limit: int = PAGE) -> Sequence[Record]:
        self._require_open()
        incarnation = self._require(stream)
        require_position(incarnation.standing(), after)
        return behind(incarnation.records, after.seq, limit)

    async def page_before(self, stream: str, before: Position, limit: int = PAGE) -> Sequence[Record]:
        self._require_open()
        incarnation = self._require(stream)
        require_before(incarnation.standing(), before)
        return ahead_of(incarnation.records, before.seq, limit)

    async def of_types(
        self, types: Collection[str], after: Position | None = None, limit: int = PAGE
    ) -> Sequence[Record]:
        self._require_open()
        found: list[Record] = []
        begun = after is None
        for incarnation in list(self._epochs.values()):
            here = after is not None and incarnation.epoch == after.epoch
            if begun or here:
                seq = after.seq if here and after is not None else 0
                found += [r for r in incarnation.records if r.seq > seq and r.type in types]
            begun = begun or here
        return found[:limit]

    async def wait(self, stream: str, after: Position) -> None:
        incarnation = self._streams.get(stream)
        if self._closed or incarnation is None or after != Position(incarnation.epoch, incarnation.head):
            return
        woken = self._wakeups.enter(stream)
        try:
            await woken
        finally:
            self._wakeups.leave(stream, woken)

    async def spoken(
        self, stream: str, limit: int, *, answered: bool = True, until: Position | None = None
    ) -> Sequence[Spoken]:
        return last_spoken(self._backwards(stream, until), limit, answered=answered)

    async def summaries(self, streams: Sequence[str]) -> Mapping[str, Summary]:
        return {stream: self._summary(stream) for stream in streams if stream in self._streams}

    def _summary(self, stream: str) -> Summary:
        said = list(self._backwards(stream, None))
        asked = [spoken.content for spoken in said if spoken.role != ASSISTANT]
        own = [incarnation for incarnation in self._epochs.values() if incarnation.stream == stream]
        payloads = (record.event.payload for each in own for record in each.records)
        cost, is_known = cost_of(p for p in payloads if isinstance(p, UsageReported))
        return Summary(
            beginning(asked[-1]) if asked else "",
            len({(spoken.turn_id, spoken.role) for spoken in said}),
            cost,
            is_known and all(incarnation.earliest == 1 for incarnation in own),
        )

    async def last_messages(self, streams: Sequence[str]) -> Mapping[str, str]:
        last = ((s, next(self._backwards(s, None), None)) for s in streams if s in self._streams)
        return {stream: spoken.content[:MOST_PREFACE] for stream, spoken in last if spoken is not None}

    async def recent(
        self, limit: int, among: Among = ANY, *, before: str | None = None
    ) -> Sequence[Exchange]:
        asked = [(q, i) for i in self._epochs.values() for q in i.said if q.role != ASSISTANT]
        asked.reverse()  # of those with the same time, the one that was stored last comes first
        asked.sort(key=lambda each: -each[0].at)
        if before is not None:
            places = [place for place, (q, _) in enumerate(asked, start=1) if q.turn_id == before]
            asked = asked[places[0] :] if places and ("turn", before) in self._rows else []
        return [
            Exchange(
                i.stream,
                q.turn_id,
                q.at,
                q.content,
                i.answers().get(q.turn_id, ""),
                self._peer(q.turn_id)[1],
                i.model_of(q.turn_id),
            )
            for q, i in asked
            if self._is_among(among, i, q)
        ][:limit]

    def _is_among(self, among: Among, incarnation: _Incarnation, spoken: Spoken) -> bool:
        owner, peer = self._peer(spoken.turn_id)
        return (
            among.owner in (None, owner)
            and among.peer in (None, peer)
            and (among.streams is None or incarnation.stream in among.streams)
            and (among.since is None or spoken.at >= among.since)
            and (among.model is None or is_model(incarnation.model_of(spoken.turn_id), among.model))
        )

    def _peer(self, turn_id: str) -> tuple[str, str]:
        """Return the owner and the peer of a turn; both are empty if it has no row."""
        row = self._rows.get(("turn", turn_id))
        return (row.owner, peer_of(row.doc)) if row else ("", "")

    async def search(self, words: str, among: Among = ANY, *, limit: int = 50) -> Sequence[Hit]:
        wanted = words_of(words)
        if not wanted:
            return []
        found = [
            (rank(spoken.content, wanted), _hit(incarnation, spoken, wanted))
            for incarnation in self._epochs.values()
            for spoken in incarnation.said
            if self._is_among(among, incarnation, spoken) and rank(spoken.content, wanted)
        ]
        found.sort(key=lambda ranked: ranked[0], reverse=True)
        return [hit for _, hit in found[:limit]]

    # Catalog

    async def get(self, kind: str, id: str) -> Row | None:
        return self._rows.get((kind, id))

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
        given = [(column, value) for column, value in wanted.items() if value is not None]
        states = {state} if isinstance(state, str) else state
        rows = [
            row
            for row in self._rows.values()
            if (states is None or row.state in states)
            and all(getattr(row, column) == value for column, value in given)
        ]
        rows.sort(key=lambda row: (row.at, row.id))
        return rows[-limit:] if newest and limit else rows[:limit]

    async def documents(
        self, kind: str, *, owner: str | None = None, parent: str | None = None
    ) -> Sequence[tuple[str, bytes]]:
        rows = await self.find(kind, owner=owner, parent=parent, limit=len(self._rows))
        return [(row.id, row.doc) for row in rows]

    async def counts(self, kind: str, *, state: Collection[str], owner: str) -> dict[str, int]:
        rows = await self.find(kind, state=state, owner=owner, limit=len(self._rows))
        return Counter(row.parent for row in rows)

    async def has(self, kind: str, *, parent: str, state: Collection[str]) -> bool:
        return any(
            row.kind == kind and row.parent == parent and row.state in state for row in self._rows.values()
        )

    async def offset(self, source: str) -> int:
        return self._sources.get(source, 0)

    # Standing

    def kept(self, key: Key) -> tuple[bool, Committed] | None:
        found = self._keys.get((key.scope, key.key))
        return (found[0] == key.fingerprint, found[1]) if found else None

    def row(self, kind: str, id: str) -> tuple[str, int] | None:
        row = self._rows.get((kind, id))
        return (row.state, row.version) if row else None

    def holder(self, kind: str, owner: str, name: str) -> str | None:
        return self._names.get((kind, owner, name))

    def reaches(self, stream: str, position: Position) -> bool:
        incarnation = self._epochs.get(position.epoch)
        return incarnation is not None and incarnation.stream == stream and position.seq <= incarnation.head

    # ----

    def _store(self, append: Append) -> Committed:
        incarnation = self._incarnation(append)
        first = incarnation.head + 1
        for entry in append.entries:
            incarnation.append(entry, append.at)
        self._put_rows(append)
        for source in append.sources:
            self._sources[source.source] = source.offset
        committed = Committed(incarnation.epoch, first, incarnation.head)
        if key := append.key:
            committed = replace(committed, result=key.result)
            self._keys[key.scope, key.key] = key.fingerprint, replace(committed, replayed=True)
        self.commit_stats.note(len(append.entries), 0.0)  # nothing waits
        if append.entries or append.base:
            self._wakeups.wake(append.stream)
        self._observer(append.stream, append.rows, append.drop)
        return replace(committed, version=self._version) if append.rows else committed

    def _incarnation(self, append: Append) -> _Incarnation:
        present = self._streams.get(append.stream)
        if present is not None and append.base is None:
            return present
        begun = _Incarnation(append.stream, self._new_epoch(), append.base)
        self._streams[append.stream] = self._epochs[begun.epoch] = begun
        return begun

    def _put_rows(self, append: Append) -> None:
        self._version += 1
        rows = {(row.kind, row.id): replace(row, version=self._version) for row in append.rows}
        for place in (*append.drop, *rows):
            gone = self._rows.pop(place, None)
            if gone and gone.name is not None:
                del self._names[gone.kind, gone.owner, gone.name]
        self._rows.update(rows)
        for row in rows.values():
            if row.name is not None:
                self._names[row.kind, row.owner, row.name] = row.id
        for each in append.adds:
            stored = self._rows.get((each.kind, each.id))
            row = added(stored, stored.doc if stored else None, each)
            self._rows[each.kind, each.id] = replace(row, version=self._version)

    def _backwards(self, stream: str, until: Position | None) -> Iterator[Spoken]:
        incarnation = self._require(stream) if until is None else self._once(stream, until.epoch)
        last = incarnation.head if until is None else until.seq
        while True:
            yield from (spoken for spoken in reversed(incarnation.said) if spoken.seq <= last)
            if incarnation.base is None:
                return
            last = incarnation.base[1].seq
            incarnation = self._epochs[incarnation.base[1].epoch]

    def _once(self, stream: str, epoch: str) -> _Incarnation:
        incarnation = self._epochs.get(epoch)
        if incarnation is None or incarnation.stream != stream:
            raise NotFound("stream", stream)
        return incarnation

    def _require(self, stream: str) -> _Incarnation:
        incarnation = self._streams.get(stream)
        if incarnation is None:
            raise NotFound("stream", stream)
        return incarnation

    def _require_open(self) -> None:
        if self._closed:
            raise StoreRefused("the store is closed")


def _hit(incarnation: _Incarnation, spoken: Spoken, words: Sequence[str]) -> Hit:
    position = Position(incarnation.epoch, spoken.seq)
    shown = excerpt(spoken.content, words)
    return Hit(incarnation.stream, position, spoken.turn_id or None, spoken.role, shown, spoken.at)
