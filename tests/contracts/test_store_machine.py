"""Random operations on a store and on a model of plain lists: after each step, both must agree."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from rhetor.domain.event import OutputDelta, Payload, Position
from rhetor.errors import FenceLost, KeyReused, PositionLost, StateConflict
from rhetor.store.base import Committed, Draft, Key, Row, Store, follow
from tests.scale import scaled

from .store_kit import KINDS, answer, chunk, failure, open_store, partial, question, remove_schema
from .store_model import Book

T = TypeVar("T")
NAMES = st.sampled_from("abc")
PICK = st.integers(min_value=0, max_value=1 << 16)


class Follower:
    """A client: the events that it has seen, its position, and how it lost its stream, if it did."""

    def __init__(self, stream: str, epoch: str, after: int) -> None:
        self.stream = stream
        self.position = Position(epoch, after)
        self.seen: list[tuple[int, int, Payload]] = []
        self.lost = ""
        self.moved = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def run(self, store: Store) -> None:
        try:
            async for batch in follow(store, self.stream, self.position, limit=3):
                self.seen += [(r.event.prev, r.seq, r.event.payload) for r in batch]
                self.position = batch[-1].position
                self.moved.set()
        except PositionLost as lost:
            self.lost = lost.data["outcome"]
            self.moved.set()


class StoreMachine(RuleBasedStateMachine):
    kind = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="store-machine-"))
        self.lives = 1
        self.store = self.run(open_store(self.kind, self._life()))
        self.books: dict[str, list[Book]] = {}
        self.keys: list[tuple[Key, str, Committed, list[Draft]]] = []
        self.followers: list[Follower] = []
        self.turns: list[str] = []
        self.rows: dict[str, Row] = {}
        self.read: list[Row] = []

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        async def limited() -> T:
            async with asyncio.timeout(60):
                return await what

        return self.runner.run(limited())

    def teardown(self) -> None:
        for follower in self.followers:
            self._disconnect(follower)
        self.run(self.store.aclose())
        self.run(remove_schema(self.kind, self._life()))
        self.runner.close()
        shutil.rmtree(self.folder)

    # operations

    @rule(stream=NAMES, count=st.integers(0, 6), pick=PICK)
    def append(self, stream: str, count: int, pick: int) -> None:
        drafts = self._drafts(count, pick)
        self._committed(stream, drafts, self.run(self.store.commit(stream, drafts)))

    @rule(stream=NAMES, pick=PICK)
    def append_once(self, stream: str, pick: int) -> None:
        drafts = self._drafts(2, pick)
        key = Key("me", f"k{len(self.keys)}", "print", b"1")

        async def twice() -> list[Committed]:
            return await asyncio.gather(*(self.store.commit(stream, drafts, key=key) for _ in range(2)))

        first, second = self.run(twice())
        assert (first.replayed, second.replayed) == (False, True)
        self._committed(stream, drafts, first)
        self.keys.append((key, stream, second, drafts))

    @precondition(lambda self: self.keys)
    @rule(pick=PICK)
    def append_again(self, pick: int) -> None:
        key, stream, committed, drafts = self.keys[pick % len(self.keys)]
        assert self.run(self.store.commit(stream, drafts, key=key)) == committed
        with pytest.raises(KeyReused):
            self.run(self.store.commit(stream, drafts, key=Key("me", key.key, "another")))

    @rule(id=NAMES, stale=st.booleans(), pick=PICK)
    def write_back(self, id: str, stale: bool, pick: int) -> None:
        """Write back a row that was read now or earlier; this works only if it is still unchanged."""
        row = self.rows.get(id, Row("row", id, "new", b""))
        if stale and self.read:
            row = self.read[pick % len(self.read)]
        change = replace(row, doc=b"%d" % pick)
        write = self.store.commit("a", [], expects=[row.unchanged], rows=[change])
        if row.version == (self.rows[row.id].version if row.id in self.rows else 0):
            self._committed("a", [], self.run(write))
            self._written(change)
        else:
            with pytest.raises(StateConflict):
                self.run(write)

    @rule(id=NAMES, pick=PICK)
    def write_at_once(self, id: str, pick: int) -> None:
        """Let three writers write back the same row: the first one wins."""
        row = self.rows.get(id, Row("row", id, "new", b""))
        changes = [replace(row, doc=b"%d" % (pick + n)) for n in range(3)]

        async def race() -> list[Committed | BaseException]:
            commits = (self.store.commit("a", [], expects=[row.unchanged], rows=[c]) for c in changes)
            return await asyncio.gather(*commits, return_exceptions=True)

        first, *others = self.run(race())
        assert isinstance(first, Committed)
        self._committed("a", [], first)
        assert [type(other) for other in others] == [StateConflict, StateConflict]
        self._written(changes[0])

    @precondition(lambda self: self.rows)
    @rule(id=NAMES)
    def drop_row(self, id: str) -> None:
        self._committed("a", [], self.run(self.store.commit("a", [], drop=[("row", id)])))
        self.rows.pop(id, None)

    @precondition(lambda self: self.books)
    @rule(stream=NAMES, pick=PICK, far=st.floats(0, 1))
    def stand_on_another_position(self, stream: str, pick: int, far: float) -> None:
        """Fork if the stream is new, restore if it continues its own past."""
        choices = [(name, book) for name, books in self.books.items() for book in books]
        name, book = choices[pick % len(choices)]
        seq = round(far * book.head)
        drafts = self._drafts(pick % 3, pick)
        base = (name, Position(book.epoch, seq))
        committed = self.run(self.store.commit(stream, drafts, base=base))
        self.books.setdefault(stream, []).append(Book(committed.epoch, (book, seq)))
        self._committed(stream, drafts, committed)

    @precondition(lambda self: self.books)
    @rule(pick=PICK, far=st.floats(0, 1.2))
    def truncate(self, pick: int, far: float) -> None:
        stream, book = self._present(pick)
        before = round(far * book.head)
        self.run(self.store.truncate(stream, before))
        book.truncate(before)

    @precondition(lambda self: self.books and self.turns)
    @rule(pick=PICK)
    def fold(self, pick: int) -> None:
        stream, book = self._present(pick)
        turn = self.turns[pick % len(self.turns)]
        assert self.run(self.store.fold(stream, turn)) == book.fold(turn)

    @precondition(lambda self: self.books and len(self.followers) < 4)
    @rule(pick=PICK, far=st.floats(0, 1.1), live=st.booleans())
    def subscribe(self, pick: int, far: float, live: bool) -> None:
        stream, book = self._present(pick)
        follower = Follower(stream, book.epoch, round(far * book.head))
        self.followers.append(follower)
        if live:
            self._connect(follower)

    @precondition(lambda self: self.followers)
    @rule(pick=PICK)
    def drop_follower(self, pick: int) -> None:
        self._disconnect(self.followers[pick % len(self.followers)])

    @precondition(lambda self: self.followers)
    @rule(pick=PICK)
    def reconnect_follower(self, pick: int) -> None:
        follower = self.followers[pick % len(self.followers)]
        if follower.task is None:
            self._connect(follower)

    @precondition(lambda self: self.kind != "memory")
    @rule()
    def crash(self) -> None:
        """Crash: the next store has only what is on the disk at this moment."""
        connected = [follower for follower in self.followers if follower.task]
        for follower in connected:
            self._disconnect(follower)
        if self.kind.startswith("postgres"):
            self._take_over()
        else:
            self._copy_files()
        for follower in connected:
            self._connect(follower)

    def _take_over(self) -> None:
        """Open the database while the earlier store has it open, too; that one can write no more."""
        old, self.store = self.store, self.run(open_store(self.kind, self._life()))
        with pytest.raises(FenceLost):
            self.run(old.commit("a", []))
        self.run(old.aclose())

    def _copy_files(self) -> None:
        old = self._life()
        self.lives += 1
        for file in old.iterdir():
            if file.name in {"rhetor.db", "rhetor.db-wal", "keys.json", "master.key"}:
                shutil.copy(file, self._life() / file.name)
        self.run(self.store.aclose())
        self.store = self.run(open_store(self.kind, self._life()))

    # invariants

    @invariant()
    def heads_and_events_match_the_model(self) -> None:
        for stream, books in self.books.items():
            book = books[-1]
            head = self.run(self.store.head(stream))
            assert head is not None
            assert (head.epoch, head.head, head.earliest) == (book.epoch, book.head, book.earliest)
            after = Position(book.epoch, book.earliest - 1)
            page = self.run(self.store.page(stream, after, 10_000))
            assert [(r.prev, r.seq, r.event.payload) for r in page] == book.behind(after.seq)

    @invariant()
    def rows_match_the_model(self) -> None:
        found = self.run(self.store.find("row"))
        assert sorted(found, key=lambda row: row.id) == [self.rows[id] for id in sorted(self.rows)]

    @invariant()
    def messages_match_the_model(self) -> None:
        for stream, books in self.books.items():
            for answered, expected in ((False, books[-1].said()), (True, books[-1].answered())):
                for limit in (3, 1_000):
                    spoken = self.run(self.store.spoken(stream, limit, answered=answered))
                    assert [(s.turn_id, s.role, s.content) for s in spoken] == expected[-limit:]

    @invariant()
    def followers_are_at_the_head_or_have_an_error(self) -> None:
        for follower in self.followers:
            if follower.task is not None:
                self.run(self._until_settled(follower))
                if follower.lost:
                    self._disconnect(follower)
            seen = follower.seen
            for (_, before, _), (prev, _, _) in itertools.pairwise(seen):
                assert prev <= before  # smaller before a fold; larger would be a gap
            assert [seq for _, seq, _ in seen] == sorted({seq for _, seq, _ in seen})

    # ----

    async def _until_settled(self, follower: Follower) -> None:
        book = self.books[follower.stream][-1]
        while not follower.lost and follower.position != Position(book.epoch, book.head):
            await follower.moved.wait()
            follower.moved.clear()
        if follower.lost:
            same = follower.position.epoch == book.epoch
            assert follower.lost == (book.outcome(follower.position.seq) if same else "epoch_changed")

    def _connect(self, follower: Follower) -> None:
        follower.lost = ""
        follower.moved.clear()

        async def begin() -> None:
            follower.task = asyncio.create_task(follower.run(self.store), name="follower")

        self.run(begin())

    def _disconnect(self, follower: Follower) -> None:
        task, follower.task = follower.task, None

        async def end() -> None:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        self.run(end())

    def _committed(self, stream: str, drafts: list[Draft], committed: Committed) -> None:
        book = self.books.setdefault(stream, [Book(committed.epoch)])[-1]
        assert (committed.epoch, committed.first) == (book.epoch, book.head + 1)
        book.append(drafts)
        assert committed.last == book.head

    def _written(self, row: Row) -> None:
        """Assert that the row has a version that no row had before, except rows undone by a crash."""
        stored = self.run(self.store.get("row", row.id))
        assert stored is not None
        assert stored == replace(row, version=stored.version)
        assert stored.version > max((read.version for read in self.read), default=0)
        self.rows[row.id] = stored
        self.read.append(stored)

    def _present(self, pick: int) -> tuple[str, Book]:
        stream = sorted(self.books)[pick % len(self.books)]
        return stream, self.books[stream][-1]

    def _drafts(self, count: int, pick: int) -> list[Draft]:
        return [self._draft(pick >> n) for n in range(count)]

    def _draft(self, pick: int) -> Draft:
        if not self.turns or pick % 5 == 0:
            self.turns.append(f"t{len(self.turns)}")
            return question(f"q{len(self.turns)}", self.turns[-1])
        turn = self.turns[-1 - pick % min(2, len(self.turns))]
        ends = (answer("whole", turn), partial("part", turn), failure(turn))
        others = (Draft(OutputDelta("no turn")), *ends)
        return others[pick % 4] if pick % 3 == 0 else chunk(f"c{pick % 7}", turn)

    def _life(self) -> Path:
        folder = self.folder / str(self.lives)
        folder.mkdir(exist_ok=True)
        return folder


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_any_sequence_of_operations_agrees_with_the_model(kind: str) -> None:
    machine = type(f"{kind} machine", (StoreMachine,), {"kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=scaled(400, 4),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
