"""The log and the catalog, as the hub sees them: one way in, two read sides, and following, written once.

A *stream* is a list of events with gapless numbers from 1, in one *incarnation* (epoch) at a time. An
incarnation may stand on a base: a position of another one (a fork) or of an earlier one of the same stream
(a restore), by reference: nothing is copied.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct, field

from rhetor.domain.event import Event, Folded, Payload, Position
from rhetor.errors import MalformedCursor, PositionLost

from .commit_stats import Commits
from .encoding import decode, encode

PAGE = 500
MARK_BEGIN, MARK_END = "\x02", "\x03"  # around the words that a search found
Outcome = Literal["ok", "truncated", "epoch_changed", "ahead"]


class Draft(Struct, frozen=True, gc=False):
    """An event that has no number yet. `at`: when it happened (Unix time in milliseconds), where that was not
    now."""

    payload: Payload
    turn_id: str | None = None
    step: str | None = None
    at: int | None = None


class Row(Struct, frozen=True, gc=False):
    """A document of the catalog, with the few fields that it is found by.

    `doc` is JSON. `at` is Unix time in milliseconds; `find` orders rows by it, then by id. `name` is unique
    within kind and owner. `version` is 0 until the row is in the store. The store gives each write of a row a
    version that no row had before, and ignores the one in a row that it is given.
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
        """The condition that the stored row is still this version; for a new row, that there is none yet."""
        return Expect(self.kind, self.id, version=self.version)


class Expect(Struct, frozen=True, gc=False):
    """A condition of a commit: of several writers that expect the same, the first wins.

    When the commit happens, the row must have this `version` (0: there must be no such row) and be in one of
    these `states`. None stands for any version or state of a row that is there. A commit that writes back a
    row which was read before names its version: see `Row.unchanged`.
    """

    kind: str
    id: str
    states: frozenset[str] | None = None
    version: int | None = None

    @classmethod
    def absent(cls, kind: str, id: str) -> Expect:
        """The condition that there is no such row."""
        return cls(kind, id, version=0)


class Key(Struct, frozen=True, gc=False):
    """An idempotency key. `scope`: whose; `fingerprint`: of the request's body; `result`: JSON to give
    again."""

    scope: str
    key: str
    fingerprint: str
    result: bytes = b"null"


class SourceOffset(Struct, frozen=True, gc=False):
    """How far (bytes) a spool has been taken into the log."""

    source: str
    offset: int


class Record(Struct, eq=False):
    """A committed event as it is stored, `data` as JSON, and the frames that dialects have made of it.

    Fields for who only passes it on; `event` for who wants to know what it says. `at`: Unix time in
    milliseconds. A frame's key is the dialect's name; whoever makes one puts it here for the next reader."""

    stream: str
    epoch: str
    seq: int
    at: int
    type: str
    turn_id: str | None
    step: str | None
    data: bytes
    frames: dict[str, bytes] = field(default_factory=dict)
    _event: Event | None = None

    def __eq__(self, other: object) -> bool:
        """Whether both are the same event, whatever was made of it."""
        return isinstance(other, Record) and self._stored == other._stored

    @classmethod
    def of(cls, event: Event) -> Record:
        """Raises:
        Malformed: as `encode`."""
        payload, place = event.payload, event.position
        data = encode(payload)
        return cls(
            event.stream, place.epoch, place.seq, event.at, payload.type, event.turn_id, event.step, data
        )

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)

    @property
    def _stored(self) -> tuple[object, ...]:
        return self.stream, self.epoch, self.seq, self.at, self.type, self.turn_id, self.step, self.data

    @property
    def prev(self) -> int:
        """The number that a reader of the whole stream has seen before this one."""
        return self.event.prev if self.type == Folded.type else self.seq - 1

    @property
    def event(self) -> Event:
        """Decoded on first use: most records of a replay are passed on without a look inside."""
        if self._event is None:
            payload = decode(self.type, self.data)
            self._event = Event(self.stream, self.position, self.at, payload, self.turn_id, self.step)
        return self._event


class Committed(Struct, frozen=True, gc=False):
    """`replayed`: the key was known; `result` and the positions are those of the first time."""

    epoch: str
    first: int
    last: int
    replayed: bool = False
    result: bytes = b"null"


class Head(Struct, frozen=True, gc=False):
    """A stream's present incarnation: `head` its last number (0: none yet), `earliest` the first one kept."""

    epoch: str
    head: int
    earliest: int
    base: tuple[str, Position] | None = None


class Spoken(Struct, frozen=True, gc=False):
    """One message of a conversation as models see it. `role`: user | assistant."""

    turn_id: str
    role: str
    content: str
    at: int
    seq: int


class Hit(Struct, frozen=True, gc=False):
    """A place that a search found; `excerpt` has the words between `MARK_BEGIN` and `MARK_END`."""

    stream: str
    position: Position
    turn_id: str | None
    role: str
    excerpt: str
    at: int


class Exchange(Struct, frozen=True, gc=False):
    """A message and what came of it. `answer`: whole or partial."""

    stream: str
    turn_id: str
    at: int
    question: str
    answer: str


class Log(Protocol):
    """Reading streams. All methods see committed events only."""

    async def head(self, stream: str) -> Head | None:
        """Where the stream is; None where there is none of this name."""
        ...

    async def page(self, stream: str, after: Position, limit: int = PAGE) -> Sequence[Record]:
        """Up to `limit` records behind `after`, in order; empty at the head and only there (a page that is
        rich in bytes may be shorter than `limit`).

        Raises:
            NotFound: there is no such stream.
            PositionLost: `after` is not a position of the stream's present incarnation, is older than what
                is kept, or is ahead of it.
        """
        ...

    async def wait(self, stream: str, after: Position) -> None:
        """Return when there is something behind `after`, or when `after` cannot be read from (any more).

        Carries no data, and may return early."""
        ...

    async def spoken(self, stream: str, limit: int, *, answered: bool = True) -> Sequence[Spoken]:
        """The last `limit` messages, oldest first, through forks and restores, truncated or not. With
        `answered`, only of turns that have an answer (whole or partial; the last one, if it was begun
        again), each turn's question before its answer; else all, in the order of the log.

        Raises:
            NotFound: there is no such stream.
        """
        ...

    async def recent(self, limit: int, *, before: int | None = None) -> Sequence[Exchange]:
        """The last questions with their answers, of all streams, newest first by their time; those not
        answered yet have an empty one. `before`: Unix time in milliseconds; older ones than that only."""
        ...

    async def search(
        self, words: str, *, streams: Sequence[str] | None = None, limit: int = 50
    ) -> Sequence[Hit]:
        """Messages that have all the words, best first, also those that a restore has left behind.

        `words` is plain text, never an FTS expression: words are what letters and digits make, whatever
        their case; without any, nothing is found."""
        ...


class Catalog(Protocol):
    async def get(self, kind: str, id: str) -> Row | None: ...

    async def find(
        self,
        kind: str,
        *,
        state: str | None = None,
        owner: str | None = None,
        parent: str | None = None,
        name: str | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> Sequence[Row]:
        """Rows that match all that is given, by `at`, then id; of more than `limit` the first ones, or with
        `newest` the last ones."""
        ...

    async def offset(self, source: str) -> int:
        """The committed offset of a spool; 0 where nothing was."""
        ...


class Store(Log, Catalog, Protocol):
    @property
    def commit_stats(self) -> Commits:
        """What was committed since it was opened."""
        ...

    async def commit(
        self,
        stream: str,
        drafts: Sequence[Draft],
        *,
        key: Key | None = None,
        expects: Sequence[Expect] = (),
        rows: Sequence[Row] = (),
        drop: Sequence[tuple[str, str]] = (),
        sources: Sequence[SourceOffset] = (),
        base: tuple[str, Position] | None = None,
    ) -> Committed:
        """Append the drafts, put and drop the rows, keep key and offsets: all of it, or none of it.

        It returns after the whole is durable; only then followers are woken. A stream begins with its first
        commit. `base` begins a new incarnation that stands on that position (stream, position). With no
        drafts, `first` is `last + 1`. A cancelled caller does not take a commit back. The key is looked at
        before all else; rows are dropped before others are put.

        Raises:
            Malformed: a text has no form in UTF-8, a payload none in JSON, or a number does not fit 63 bits.
            KeyReused: the key was used with another fingerprint.
            StateConflict: one of `expects` does not hold.
            NameTaken: a row's name is another row's.
            NotFound: the base is not there.
            StoreRefused: the store cannot take it now; nothing was stored.
        """
        ...

    async def fold(self, stream: str, turn_id: str) -> int:
        """Put one `folded` in the place of each run of neighbouring answer chunks (`output.delta`) of a turn;
        returns how many chunks went. Numbers stay as they are.

        Only for a turn that has ended, and whose text a `turn.completed` or `output.partial` keeps. Chunks of
        reasoning and stderr, which nothing else keeps, stay.

        Raises:
            NotFound: there is no such stream.
        """
        ...

    async def truncate(self, stream: str, before: int) -> None:
        """Drop the events before the number `before` (at most the head's + 1); what was spoken stays.

        Raises:
            NotFound: there is no such stream.
        """
        ...

    async def aclose(self) -> None:
        """Finish what was asked for, wake who waits, and refuse (`StoreRefused`) what comes later."""
        ...


class Blobs(Protocol):
    """Binary content beside the log, by what it is: the same bytes are kept once. Who may read which is the
    catalog's."""

    async def keep(self, content: bytes) -> str:
        """Its id, of 64 hex digits; it is durable then.

        Raises:
            StoreRefused: it cannot be written; nothing is left of it.
        """
        ...

    async def read(self, id: str) -> bytes:
        """Raises:
        NotFound: it is not there (any more), or is no longer what was kept."""
        ...

    async def sweep(self, is_wanted: Callable[[str], Awaitable[bool]]) -> int:
        """Take away what nobody wants, and what was never written whole; how much that was. To be called
        while nothing is kept."""
        ...


def random_epoch() -> str:
    """An epoch that no other incarnation has."""
    return secrets.token_hex(16)


def check_position(head: Head, after: Position) -> Outcome:
    """Which of the ways a resume at `after` ends in."""
    if after.epoch != head.epoch:
        return "epoch_changed"
    if after.seq > head.head:
        return "ahead"
    return "truncated" if after.seq < head.earliest - 1 else "ok"


def require_position(head: Head, after: Position) -> None:
    """Raises:
    PositionLost: where `check_position` does not say ok."""
    outcome = check_position(head, after)
    if outcome != "ok":
        raise PositionLost(outcome, epoch=head.epoch, head=head.head, earliest=head.earliest)


def parse_cursor(cursor: str) -> Position:
    """Raises:
    MalformedCursor: the text is no cursor."""
    position = Position.parse(cursor)
    if position is None:
        raise MalformedCursor(cursor)
    return position


async def follow(
    log: Log, stream: str, after: Position, limit: int = PAGE
) -> AsyncIterator[Sequence[Record]]:
    """Everything behind `after`, in order, in batches: what is there, and then live, without end.

    Holds no data while it waits: a reader that is slow lags, and costs nothing. A batch is what was new
    when the reader came for it.

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
    """The answer to a subscriber (wire page, conventions)."""
    outcome = check_position(head, after)
    return {
        "outcome": outcome,
        "recovered": outcome == "ok",
        "epoch": head.epoch,
        "head": head.head,
        "earliest": head.earliest,
    }
