"""The promise of every store: a log of events and a catalog of rows, written together by one method.

A *stream* is a list of events, numbered from 1 without gaps. Each stream is in one *incarnation* at a time,
which its epoch identifies. An incarnation may have a base: a position of another stream (a fork), or of an
earlier incarnation of the same stream (a restore). It refers to the base; nothing is copied.

The *catalog* keeps small JSON documents that are found by kind and id. `Store.commit` is the only way to
write events and rows. Followers are only woken; they read new events themselves.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, Protocol

from msgspec import Struct

from rhetor.domain.event import Event, Folded, Payload, Position
from rhetor.errors import MalformedCursor, PositionLost

from .commit_stats import Commits
from .encoding import decode, encode

PAGE = 500
MOST_PREFACE = 1 << 14  # characters at the beginning of a message, in which what an agent puts before it ends
MARK_BEGIN, MARK_END = "\x02", "\x03"  # around the words that matched a search
Outcome = Literal["ok", "truncated", "epoch_changed", "ahead"]
# the kinds of rows whose documents have credentials: a store with keys seals them, whatever the settings say
CREDENTIALS = frozenset({"tool-server", "signing_key", "audit_key"})


class Draft(Struct, frozen=True, gc=False):
    """An event that has no number yet.

    `at`: when it happened, as Unix time in milliseconds; None means the time of the commit.
    """

    payload: Payload
    turn_id: str | None = None
    step: str | None = None
    at: int | None = None


class Row(Struct, frozen=True, gc=False):
    """A document of the catalog, with the fields by which it can be found.

    `doc` is JSON. `at` is Unix time in milliseconds; `find` orders rows by it, then by id. `name` is unique
    within kind and owner. `version` is 0 until the row is in the store. The store assigns a new version,
    which no row had before, at each write, and ignores the `version` of the row that is written.
    """

    kind: str
    id: str
    state: str
    doc: bytes
    owner: str = ""
    parent: str = ""
    name: str | None = None
    at: int = 0
    version: int = 0

    @property
    def unchanged(self) -> Expect:
        """The condition that the stored row still has this version; for a new row, that there is none yet."""
        return Expect(self.kind, self.id, version=self.version)


class Addition(Struct, frozen=True, gc=False):
    """Numbers, also negative ones, that a commit adds to those of a row. The `doc` of such a row is a JSON
    array of numbers, with decimals as strings. If there is no such row, it begins with zeros.

    Concurrent commits add to the same row without conflicts, and each commit adds once. The order of the
    numbers and their kinds must always be the same for a row. `owner`, `parent` and `at`: of the row if it
    is new.
    """

    kind: str
    id: str
    numbers: tuple[int | Decimal, ...]
    owner: str = ""
    parent: str = ""
    at: int = 0


class Expect(Struct, frozen=True, gc=False):
    """A condition of a commit. If several writers expect the same, only the first succeeds.

    At the time of the commit, the row must have this `version` (0: there must be no such row) and one of
    these `states`. None allows any version or state of an existing row. A commit that writes back a row
    expects the version that was read: see `Row.unchanged`.
    """

    kind: str
    id: str
    states: frozenset[str] | None = None
    version: int | None = None

    @classmethod
    def absent(cls, kind: str, id: str) -> Expect:
        """Return the condition that there is no such row."""
        return cls(kind, id, version=0)


class Key(Struct, frozen=True, gc=False):
    """An idempotency key: a commit with the same scope and key is executed only once.

    `scope`: the owner of the key. `fingerprint`: a digest of the request, which must be the same each time.
    `result`: JSON that a repeated commit returns.
    """

    scope: str
    key: str
    fingerprint: str
    result: bytes = b"null"


class SourceOffset(Struct, frozen=True, gc=False):
    """The number of bytes of a spool that are in the log."""

    source: str
    offset: int


class Record(Struct, eq=False, gc=False):
    """A committed event as it is stored. Two records are equal if they are the same event.

    `data` is the payload as JSON, `at` is Unix time in milliseconds. Code that only passes an event on uses
    these fields; code that needs its content uses `event`.
    """

    stream: str
    epoch: str
    seq: int
    at: int
    type: str
    turn_id: str | None
    step: str | None
    data: bytes
    _frames: dict[str, bytes] | None = None
    _event: Event | None = None

    def __eq__(self, other: object) -> bool:
        """Compare the stored fields; cached frames are ignored."""
        return isinstance(other, Record) and self._stored == other._stored

    @classmethod
    def of(cls, event: Event) -> Record:
        """Return the record of an event.

        Raises:
            Malformed: the payload cannot be encoded; see `encode`.
        """
        payload, place = event.payload, event.position
        data = encode(payload)
        return cls(
            event.stream, place.epoch, place.seq, event.at, payload.type, event.turn_id, event.step, data
        )

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)

    @property
    def frames(self) -> dict[str, bytes]:
        """The encoded frames by dialect, kept for later readers. Most records of a replay have none."""
        if self._frames is None:
            self._frames = {}
        return self._frames

    @property
    def _stored(self) -> tuple[object, ...]:
        return self.stream, self.epoch, self.seq, self.at, self.type, self.turn_id, self.step, self.data

    @property
    def prev(self) -> int:
        """The number of the event before this one, for a reader of the whole stream."""
        return self.event.prev if self.type == Folded.type else self.seq - 1

    @property
    def event(self) -> Event:
        """The event, decoded on first use, because most records of a replay are sent undecoded."""
        if self._event is None:
            payload = decode(self.type, self.data)
            self._event = Event(self.stream, self.position, self.at, payload, self.turn_id, self.step)
        return self._event


class Committed(Struct, frozen=True, gc=False):
    """What a commit stored: the events from `first` to `last`. Without events, `first` is `last + 1`.

    `replayed`: the idempotency key was used before. The positions and `result` are then those of the first
    commit. `version`: of the rows that this call wrote; 0 if it wrote none.
    """

    epoch: str
    first: int
    last: int
    replayed: bool = False
    result: bytes = b"null"
    version: int = 0


class Head(Struct, frozen=True, gc=False):
    """The state of a stream's current incarnation.

    `head`: the number of its last event, 0 if there is none. `earliest`: the number of the first event that
    is still kept. `base`: the stream and position from which it continues.
    """

    epoch: str
    head: int
    earliest: int
    base: tuple[str, Position] | None = None

    @property
    def position(self) -> Position:
        """The position of the last event."""
        return Position(self.epoch, self.head)


class Spoken(Struct, frozen=True, gc=False):
    """One message of a conversation, as models see it. `role` is `user` or `assistant`, `at` is Unix time in
    milliseconds. `seq`, `epoch`: its place, which may be in an earlier incarnation or another stream."""

    turn_id: str
    role: str
    content: str
    at: int
    seq: int
    epoch: str = ""


class Hit(Struct, frozen=True, gc=False):
    """A message that a search found. `excerpt` has the matching words between `MARK_BEGIN` and `MARK_END`."""

    stream: str
    position: Position
    turn_id: str | None
    role: str
    excerpt: str
    at: int


class Exchange(Struct, frozen=True, gc=False):
    """A question and its answer, whole or partial; `answer` is empty if there is none yet. `at`: Unix time in
    milliseconds. `peer`: of the row of its turn; empty if there is none. `model`: as in `Among`; None if no
    event names one."""

    stream: str
    turn_id: str
    at: int
    question: str
    answer: str
    peer: str = ""
    model: str | None = None


class Among(Struct, frozen=True, gc=False):
    """Which messages a reader wants: those that have all the given values.

    `owner`, `peer`: of the row of kind `turn` of the message's turn; the document of such a row has the
    `peer`. `streams`: those with the message itself, not those that continue from it. `since`: Unix time in
    milliseconds of the oldest message. `model`: the last one that the turn reported or, if it reported none,
    the one that it was started with; with or without its provider. Truncated events name no model.
    """

    owner: str | None = None
    peer: str | None = None
    streams: Sequence[str] | None = None
    since: int | None = None
    model: str | None = None


ANY = Among()


class Summary(Struct, frozen=True, gc=False):
    """What a list shows of a conversation. `first`: the beginning of its first question. `messages`: how many
    it has, with those of the stream's bases. `cost`: in USD, of all that the stream has reported, also before
    a restore; None if no price is known. `is_complete`: the cost has no unknown part."""

    first: str = ""
    messages: int = 0
    cost: Decimal | None = None
    is_complete: bool = True


Observer = Callable[[str, Sequence[Row], Sequence[tuple[str, str]]], None]
Place = tuple[str, str]  # the kind and the id of a row
RowSum = tuple[int, int]  # the number of rows, and the sum of their versions


def observe_nothing(stream: str, rows: Sequence[Row], dropped: Sequence[tuple[str, str]]) -> None:
    """Observe no commit."""


class Log(Protocol):
    """Reads streams. All methods return committed events only."""

    async def head(self, stream: str) -> Head | None:
        """Return the state of the stream, or None if it does not exist."""
        ...

    async def page(self, stream: str, after: Position, limit: int = PAGE) -> Sequence[Record]:
        """Return up to `limit` records after the position, in order.

        The page is empty only at the head. If records are large, it may have fewer than `limit`.

        Raises:
            NotFound: the stream does not exist.
            PositionLost: `after` belongs to another incarnation, is older than the events that are kept, or
                is ahead of the head.
        """
        ...

    async def page_before(self, stream: str, before: Position, limit: int = PAGE) -> Sequence[Record]:
        """Return the last `limit` records before the position, in order.

        A folded event that replaces events on both sides of the position is the last one of the page. The
        page is empty only if no event before the position is kept. If records are large, it may have fewer
        than `limit`. The position may be the one after the head.

        Raises:
            NotFound: the stream does not exist.
            PositionLost: `before` belongs to another incarnation, or is ahead of the head.
        """
        ...

    async def of_types(
        self, types: Collection[str], after: Position | None = None, limit: int = PAGE
    ) -> Sequence[Record]:
        """Return up to `limit` records of these types, of all streams and all their incarnations.

        Incarnations come in the order in which they began. `after`: the position of the last record of the
        previous page. Truncated events are not included.
        """
        ...

    async def wait(self, stream: str, after: Position) -> None:
        """Wait until there are events after the position, or until it is no longer a position of the stream.

        The call returns no data, and it may return early.
        """
        ...

    async def spoken(
        self, stream: str, limit: int, *, answered: bool = True, until: Position | None = None
    ) -> Sequence[Spoken]:
        """Return the last `limit` messages, oldest first, including those of the stream's bases.

        `until`: only those up to this position, which may be of an earlier incarnation of the stream.

        Messages of truncated events are included. If `answered` is set, only turns with a whole or partial
        answer are included, and each turn's question comes before its answer; if a turn was answered again,
        or late text was added, its last answer is used, in the place of the first. Otherwise, all messages
        are returned in the order of the log.

        Raises:
            NotFound: the stream does not exist, or never had the incarnation of `until`.
        """
        ...

    async def summaries(self, streams: Sequence[str]) -> Mapping[str, Summary]:
        """Return a summary for each of the streams that exists."""
        ...

    async def last_messages(self, streams: Sequence[str]) -> Mapping[str, str]:
        """Return the beginning of the last message of each of the streams that has one, with those of its
        bases; at least `MOST_PREFACE` characters if it has so many."""
        ...

    async def recent(
        self, limit: int, among: Among = ANY, *, before: str | None = None
    ) -> Sequence[Exchange]:
        """Return the last `limit` questions with their answers, newest first.

        `before`: the id of a turn, which is the last one of the page before; only questions that come after
        it in this order are returned, and none if there is no row of such a turn.
        """
        ...

    async def search(self, words: str, among: Among = ANY, *, limit: int = 50) -> Sequence[Hit]:
        """Return messages that contain all the words, best match first, even if a restore has removed them.

        `words` is plain text, not a query language: each run of letters and digits is a word, and case is
        ignored. If there is no word, the result is empty.
        """
        ...


class Catalog(Protocol):
    """Reads rows. All methods return committed data only."""

    async def get(self, kind: str, id: str) -> Row | None:
        """Return the row, or None if it does not exist."""
        ...

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
        """Return the rows that match all the given fields, ordered by `at`, then by id.

        `state`: one state, or several of which a row must have one. If more than `limit` rows match, the
        first ones are returned, or the last ones if `newest` is set.
        """
        ...

    async def documents(
        self, kind: str, *, owner: str | None = None, parent: str | None = None
    ) -> Sequence[tuple[str, bytes]]:
        """Return the ids and the documents of all rows that match the given fields, in any order. For many
        rows, this takes a third of the time of `find`."""
        ...

    async def counts(self, kind: str, *, state: Collection[str], owner: str) -> dict[str, int]:
        """Return how many rows of the owner have one of the states, by `parent`."""
        ...

    async def has(self, kind: str, *, parent: str, state: Collection[str]) -> bool:
        """Return whether a row has this parent and one of the states. This is much cheaper than `find`."""
        ...

    async def offset(self, source: str) -> int:
        """Return the number of bytes of a spool that are in the log; 0 if none are."""
        ...


class Store(Log, Catalog, Protocol):
    """A log and a catalog that are written together."""

    @property
    def commit_stats(self) -> Commits:
        """Statistics of all commits since the store was opened."""
        ...

    def observe(self, observer: Observer) -> None:
        """Call `observer(stream, rows, dropped)` after each commit, and each removal of a stream. `dropped`:
        the kinds and ids of dropped rows.

        The call is made in the event loop when everything is durable, before the caller of `commit`
        continues. A replayed commit is not reported. The observer must be fast, and must not raise. There is
        one observer, which replaces the one before it.
        """
        ...

    def forget_unused(self, seconds: float) -> int:
        """Free the memory of what was not needed for so long. Return about how many bytes it took."""
        ...

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
        """Append the drafts, write, add to and drop rows, and store the key and the offsets: all of it, or
        nothing.

        When this returns, everything is durable; followers are woken after that. The first commit to a stream
        creates it. `base` starts a new incarnation that continues from that stream and position. Rows are
        dropped before others are written; numbers are added last. The store checks the key before everything
        else, so a repeated commit returns the first result even if its conditions are no longer met. If the
        caller is cancelled, the commit is still made.

        Raises:
            Malformed: a text is not valid Unicode, a payload cannot be encoded as JSON, or a number is
                negative or has more than 63 bits.
            KeyReused: the key was used with another fingerprint.
            StateConflict: a condition in `expects` is not met.
            NameTaken: another row has the name of one of the rows.
            NotFound: the base does not exist.
            StoreRefused: the store cannot write now; nothing was stored.
        """
        ...

    async def fold(self, stream: str, turn_id: str) -> int:
        """Replace each run of adjacent answer chunks of a turn with one `folded` event.

        Return the number of chunks removed. The other events keep their numbers. Nothing happens if the turn
        is still running, or if it has no `turn.completed` or `output.partial` with the text. Chunks of
        reasoning and stderr stay, because no other event has their text.

        Raises:
            NotFound: the stream does not exist.
        """
        ...

    async def truncate(self, stream: str, before: int) -> None:
        """Remove the events with numbers below `before`, but no further than the head. Messages stay.

        Raises:
            NotFound: the stream does not exist.
        """
        ...

    async def forget(
        self, stream: str, *, drop: Sequence[tuple[str, str]] = (), expects: Sequence[Expect] = ()
    ) -> bool:
        """Remove a stream with all its incarnations, events and messages, and drop the rows. Return False,
        and change nothing, if another stream continues from it. Followers are woken, and find no stream.

        Raises:
            NotFound: the stream does not exist.
            StateConflict: a condition in `expects` is not met.
            StoreRefused: the store cannot write now; nothing was changed.
        """
        ...

    async def old_events(self, before: int) -> Sequence[tuple[str, int]]:
        """Return the streams that begin with events from before a time, Unix time in milliseconds. With each
        comes the number of the first event that is not from before it, or the next number if all are."""
        ...

    async def oldest(self, without: str = "") -> int | None:
        """Return the time of the oldest event with which a stream begins; None if there is no event. The
        stream `without` is left out, and those whose names begin with it and a colon."""
        ...

    async def size(self) -> int:
        """Return about how many bytes everything takes. What is removed is free for new content."""
        ...

    async def aclose(self) -> None:
        """Finish pending commits and wake all waiting followers. Later commits raise `StoreRefused`."""
        ...


class SharedRows(Protocol):
    """The rows of a database in which other hubs, the nodes, may change them at any time."""

    def watch(self, kinds: Collection[str], watcher: RowWatcher) -> None:
        """Tell `watcher` which rows of these kinds change, from now on, and which streams other nodes change.
        All nodes must watch the same kinds."""
        ...

    async def rows_at(self, places: Sequence[Place]) -> Sequence[Row]:
        """Return those of the rows that exist, in any order."""
        ...

    async def row_sums(self, kinds: Collection[str]) -> Mapping[str, RowSum]:
        """Return a sum of the rows of each kind that has any; it is another one when any of them has
        changed."""
        ...


class RowWatcher(Protocol):
    """Receives changes once they are durable. Its methods are called in the event loop, so they must be fast.
    They must not raise."""

    def elsewhere(self, streams: Sequence[str], places: Sequence[Place]) -> None:
        """Another node has changed these streams, and written, added to or dropped these rows. A place
        without an id stands for any rows of its kind."""
        ...

    def here(self, places: Sequence[Place]) -> None:
        """This node has changed these rows. The call is made before the caller of `commit` continues."""
        ...

    def missed(self) -> None:
        """Other nodes may have changed anything."""
        ...


class Blobs(Protocol):
    """Stores binary content beside the log, under its digest, so the same bytes are stored only once.

    The catalog records who owns a blob and may read it.
    """

    async def keep(self, content: bytes) -> str:
        """Store the content durably and return its id, 64 hex digits.

        Raises:
            StoreRefused: it cannot be written; nothing was stored.
        """
        ...

    async def read(self, id: str) -> bytes:
        """Return the content of a blob.

        Raises:
            NotFound: it does not exist, was removed, or is damaged.
        """
        ...

    async def sweep(self, is_wanted: Callable[[str], Awaitable[bool]]) -> int:
        """Remove blobs that are not wanted and files that were not completely written; return their number.

        It must not run at the same time as `keep`.
        """
        ...

    async def remove(self, id: str) -> None:
        """Remove a blob, if it exists. It must not run at the same time as `keep`.

        Raises:
            StoreRefused: it cannot be removed.
        """
        ...


def random_epoch() -> str:
    """Return a random epoch, which no other incarnation has."""
    return secrets.token_hex(16)


def check_position(head: Head, after: Position) -> Outcome:
    """Return `ok` if a client can resume at `after`, or the reason why it cannot."""
    if after.epoch != head.epoch:
        return "epoch_changed"
    if after.seq > head.head:
        return "ahead"
    return "truncated" if after.seq < head.earliest - 1 else "ok"


def require_position(head: Head, after: Position) -> None:
    """Check that a client can resume at `after`.

    Raises:
        PositionLost: it cannot; see `check_position`.
    """
    outcome = check_position(head, after)
    if outcome != "ok":
        raise PositionLost(outcome, epoch=head.epoch, head=head.head, earliest=head.earliest)


def parse_cursor(cursor: str) -> Position:
    """Return the position that a cursor names.

    Raises:
        MalformedCursor: the text is not a cursor.
    """
    position = Position.parse(cursor)
    if position is None:
        raise MalformedCursor(cursor)
    return position


def require_before(head: Head, before: Position) -> None:
    """Check that a client can read what is before a position. If that is not kept any more, there is nothing
    to read, but nothing is lost.

    Raises:
        PositionLost: the position belongs to another incarnation, or is ahead of the head.
    """
    if before.epoch != head.epoch or before.seq > head.head + 1:
        outcome = "ahead" if before.epoch == head.epoch else "epoch_changed"
        raise PositionLost(outcome, epoch=head.epoch, head=head.head, earliest=head.earliest)


async def follow(
    log: Log, stream: str, after: Position, limit: int = PAGE
) -> AsyncIterator[Sequence[Record]]:
    """Yield all events after the position, in order and in batches: the stored ones, then new ones as they
    are committed.

    The iterator does not end by itself. It holds no data between batches, so a slow reader only lags behind;
    its next batch has everything that was committed in the meantime, up to `limit`.

    Raises:
        PositionLost: the position is not, or is no longer, part of the log.
    """
    while True:
        records = await log.page(stream, after, limit)
        if records:
            after = records[-1].position
            yield records
        else:
            await log.wait(stream, after)


def resumed(head: Head, after: Position) -> dict[str, Any]:
    """Return the JSON members that tell a subscriber where its events continue."""
    outcome = check_position(head, after)
    return {
        "outcome": outcome,
        "recovered": outcome == "ok",
        "epoch": head.epoch,
        "head": head.head,
        "earliest": head.earliest,
    }
