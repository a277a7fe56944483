"""A list that many subscriptions show: what has changed is read and encoded once for all of them."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from time import perf_counter
from typing import Any, ClassVar, Generic, TypeVar

from msgspec import Raw, Struct

from rhetor.background import start
from rhetor.errors import RhetorError
from rhetor.hub.core.changes import Changes
from rhetor.hub.core.notifier import Notifier

LEAST_SECONDS = 0.1  # between two readings, so that a subscription has at most ten notifications per second
RETRY_SECONDS = 1.0
LINGER_SECONDS = 1.0  # for which a list is kept current after its last watcher has left
_REST = 9  # times as long as a reading takes, no other is made: at most a tenth of the time goes into it
MOST_ITEMS = 20_000  # of which a list remembers what it has; one that changed long ago is forgotten
T = TypeVar("T")
log = logging.getLogger(__name__)


class Entry(Struct, Generic[T], frozen=True):
    """What the list has of an item. `version`: of the list, when the item last changed. `value`: None if the
    item is not in the list any more."""

    version: int
    value: T | None


class Board(ABC, Generic[T]):
    """A list of items by id, which is current while somebody watches it. `version` grows with each change.
    `is_kept`: it is current. `reading` is held by whoever reads for it.

    A reader that has seen a version asks for the items that have changed since.
    """

    def __init__(self, name: str) -> None:
        self.version = 0
        self.is_kept = False
        self._name = name
        self._entries: dict[str, Entry[T]] = {}
        self._watchers = 0
        self._watching = ExitStack()
        self._task: asyncio.Task[None] | None = None
        self._notifier = Notifier()
        self.reading = asyncio.Lock()

    @property
    @abstractmethod
    def changes(self) -> Changes[Any]:
        """What tells that the list may have changed."""
        ...

    @abstractmethod
    async def read(self) -> None:
        """Put what has changed since the last call."""
        ...

    def enter(self, watching: ExitStack) -> None:
        """Begin to watch what the list is made of."""
        watching.enter_context(self.changes.watched())

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Keep the list current while the context is open. When it opens, the list is current.

        Raises:
            StoreRefused: the list cannot be read now.
        """
        self._watchers += 1
        if not self.is_kept:
            self.is_kept = True
            self.enter(self._watching)
        try:
            async with self.reading:
                if self._task is None:
                    await self.read()
                    self._task = start(self._follow(), f"follow {self._name}")
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:  # the next watcher may come at once
                asyncio.get_running_loop().call_later(LINGER_SECONDS, self._leave)

    @property
    def has_ended(self) -> bool:
        """Whether the list is not kept current any more, because of a bug that the log describes."""
        return self._task is not None and self._task.done()

    def since(self, version: int) -> Iterator[tuple[str, T | None]]:
        """Yield the items that have changed since a version, the last one first; None if it was removed."""
        for id in reversed(self._entries):
            entry = self._entries[id]
            if entry.version <= version:
                return
            yield id, entry.value

    def next(self) -> asyncio.Event:
        """Return the event that the next change of the list sets."""
        return self._notifier.next()

    def value_of(self, id: str) -> T | None:
        entry = self._entries.get(id)
        return entry.value if entry else None

    def put(self, items: Mapping[str, T | None]) -> None:
        """Take over items, of which those that are as before have not changed. None removes one."""
        changed = {id: value for id, value in items.items() if value != self.value_of(id)}
        if changed:
            self.version += 1
        for id, value in changed.items():
            self._entries.pop(id, None)
            self._entries[id] = Entry(self.version, value)
        while len(self._entries) > MOST_ITEMS:
            del self._entries[next(iter(self._entries))]

    @property
    def items(self) -> list[tuple[str, T]]:
        """The items of the list with their ids."""
        return [(id, entry.value) for id, entry in self._entries.items() if entry.value is not None]

    @property
    def ids(self) -> list[str]:
        """The ids of the items in the list."""
        return [id for id, entry in self._entries.items() if entry.value is not None]

    def _leave(self) -> None:
        if self.is_kept and not self._watchers:
            self.is_kept = False
            self._watching.close()
            self._entries.clear()
            if self._task is not None:
                self._task.cancel()
                self._task = None

    async def _follow(self) -> None:
        pause = LEAST_SECONDS
        moment = -1
        try:
            while True:
                changed = self.changes.next()
                if self.changes.now == moment:
                    await changed.wait()
                await asyncio.sleep(pause)
                moment = self.changes.now
                pause = await self._read()
        finally:
            self._notifier.notify()  # if this fails, the readers end, too

    async def _read(self) -> float:
        """Read once, and return the seconds until the next reading."""
        began, before = perf_counter(), self.version
        try:
            async with self.reading:
                await self.read()
        except RhetorError as error:
            log.warning("reading failed; retrying", extra={"list": self._name, "reason": error.detail})
            self.changes.note_all()
            return RETRY_SECONDS
        if self.version != before:
            self._notifier.notify()
        return max(LEAST_SECONDS, _REST * (perf_counter() - began))


class ListWatch(ABC, Generic[T]):
    """What one subscription shows of a board. `method`: of its notifications. `known`: the ids of the items
    that the client has."""

    method: ClassVar[str]

    def __init__(self) -> None:
        self.known: set[str] = set()
        self._board: Board[T] | None = None
        self._seen = 0

    @property
    def board(self) -> Board[T]:
        if self._board is None or not self._board.is_kept:
            self._board = self.find_board()
        return self._board

    @abstractmethod
    def find_board(self) -> Board[T]:
        """Return the board that all such subscriptions share now."""
        ...

    @abstractmethod
    async def read_first(self) -> dict[str, Any]:
        """Return the members of the result, and set `known`."""
        ...

    @abstractmethod
    def shown(self, id: str, value: T) -> bytes | None:
        """Return what the client sees of an item, as JSON; None if it does not see the item."""
        ...

    async def first(self) -> dict[str, Any]:
        """Return the result of the subscription: the whole list.

        Raises:
            StoreRefused: the list cannot be read now.
        """
        board = self.board
        async with board.watched():
            found = await self.read_first()
            self._seen = board.version
        return found

    async def follow(self, say: Callable[[list[Raw], list[str]], Awaitable[None]]) -> None:
        """Pass on what has changed since `first`, again and again.

        Raises:
            StoreRefused: the list cannot be read now.
        """
        is_same = self._board is not None and self._board.is_kept
        async with self.board.watched():
            board = self.board
            if not is_same:  # nobody has watched it for a while
                await self._say_all(board, say)
            while not board.has_ended:
                more = board.next()
                changed, removed = self._changes(board)
                if changed or removed:
                    await say(changed, removed)
                else:
                    await more.wait()
        raise RuntimeError(f"the list of {self.method} is not read any more")

    async def _say_all(self, board: Board[T], say: Callable[[list[Raw], list[str]], Awaitable[None]]) -> None:
        before = self.known
        (items, *_) = (await self.read_first()).values()
        self._seen = board.version
        await say(items, sorted(before - self.known))

    def _changes(self, board: Board[T]) -> tuple[list[Raw], list[str]]:
        """Return what the client must be told: items that it sees, and ids of those that it sees no more."""
        changed: list[Raw] = []
        removed: list[str] = []
        for id, value in board.since(self._seen):
            shown = None if value is None else self.shown(id, value)
            if shown is not None:
                changed.append(Raw(shown))
                self.known.add(id)
            elif id in self.known:
                removed.append(id)
                self.known.discard(id)
        self._seen = board.version
        return changed, removed
