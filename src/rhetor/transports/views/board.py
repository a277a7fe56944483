"""A list that many subscriptions show: what has changed is read and encoded once for all of them."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import ExitStack, asynccontextmanager
from time import thread_time
from typing import Any, ClassVar, Generic, TypeVar

from msgspec import Raw

from rhetor.background import start
from rhetor.errors import RhetorError
from rhetor.hub.core.changes import Changes

LEAST_SECONDS = 0.1  # between two readings, so that a subscription has at most ten notifications per second
RETRY_SECONDS = 1.0
LINGER_SECONDS = 1.0  # for which a list is kept current after its last watcher has left
_REST = 9  # times the CPU time of a reading, no other is made: at most a tenth of a core goes into it
MOST_ITEMS = 20_000  # of which a list remembers what it has; one that changed long ago is forgotten
T = TypeVar("T")
log = logging.getLogger(__name__)


class Board(ABC, Generic[T]):
    """A list of items by id, which is current while somebody watches it. `is_kept`: it is current. `reading`
    is held by whoever reads for it.

    A change is noted for each audience of the item, so that a reader is woken only by changes of items that
    it sees, or saw before.
    """

    def __init__(self, name: str) -> None:
        self.is_kept = False
        self._name = name
        self._items: dict[str, T | None] = {}  # None: it was removed
        self._logs: dict[str, Changes[None]] = {}
        self._watchers = 0
        self._watching = ExitStack()
        self._task: asyncio.Task[None] | None = None
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

    @abstractmethod
    def audiences(self, item: T) -> Collection[str]:
        """Return who is told of changes of an item."""
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

    def log(self, audience: str) -> Changes[None]:
        """Return the ids of items that have changed for an audience."""
        if audience not in self._logs:
            self._logs[audience] = log = Changes[None]()
            self._watching.enter_context(log.watched())
        return self._logs[audience]

    def since(self, audience: str, moment: int) -> list[tuple[str, T | None]] | None:
        """Return the items that have changed for an audience since a moment of its log, with None for those
        that were removed; None if not all of them are known any more."""
        ids = self.log(audience).since(moment)
        if ids is None or not self._items.keys() >= ids.keys():
            return None
        return [(id, self._items[id]) for id in ids]

    def value_of(self, id: str) -> T | None:
        return self._items.get(id)

    def put(self, items: Mapping[str, T | None]) -> None:
        """Take over items, of which those that are as before have not changed. None removes one."""
        for id, value in items.items():
            before = self._items.pop(id, None)
            self._items[id] = value
            if value != before:
                self._note(id, before, value)
        while len(self._items) > MOST_ITEMS:
            del self._items[next(iter(self._items))]

    def _note(self, id: str, *values: T | None) -> None:
        for audience in {each for value in values if value is not None for each in self.audiences(value)}:
            if (log := self._logs.get(audience)) is not None:
                log.note(id, None)

    def add(self, items: Mapping[str, T]) -> None:
        """Take over items that were not in the list, and that nobody needs to be told of."""
        self._items = {**items, **self._items}

    @property
    def items(self) -> list[tuple[str, T]]:
        """The items of the list with their ids."""
        return [(id, value) for id, value in self._items.items() if value is not None]

    @property
    def ids(self) -> list[str]:
        """The ids of the items in the list."""
        return [id for id, value in self._items.items() if value is not None]

    def _leave(self) -> None:
        if self.is_kept and not self._watchers:
            self.is_kept = False
            self._watching.close()
            self._items, self._logs = {}, {}
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
            for log in self._logs.values():  # if this fails, the readers end, too
                log.note_all()

    async def _read(self) -> float:
        """Read once, and return the seconds until the next reading."""
        began = thread_time()
        try:
            async with self.reading:
                await self.read()
        except RhetorError as error:
            log.warning("reading failed; retrying", extra={"list": self._name, "reason": error.detail})
            self.changes.note_all()
            return RETRY_SECONDS
        return max(LEAST_SECONDS, _REST * (thread_time() - began))


Say = Callable[[list[Raw], list[str]], Awaitable[None]]


class ListWatch(ABC, Generic[T]):
    """What one subscription shows of a board. `method`: of its notifications. `audience`: to which it
    belongs. `known`: the ids of the items that the client has."""

    method: ClassVar[str]

    def __init__(self, audience: str) -> None:
        self.known: set[str] = set()
        self._audience = audience
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
        """Return the members of the result, of which the first one is the list, and set `known`."""
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
        async with self.board.watched():
            return await self._read_first(self.board)

    async def follow(self, say: Say) -> None:
        """Pass on what has changed since `first`, again and again.

        Raises:
            StoreRefused: the list cannot be read now.
        """
        is_same = self._board is not None and self._board.is_kept
        board = self.board
        async with board.watched():
            if not is_same:  # nobody has watched it for a while
                await self._say_all(board, say)
            while not board.has_ended:
                more = board.log(self._audience).next()
                if not await self._say_changes(board, say):
                    await more.wait()
        raise RuntimeError(f"the list of {self.method} is not read any more")

    async def _read_first(self, board: Board[T]) -> dict[str, Any]:
        seen = board.log(self._audience).now
        found = await self.read_first()
        self._seen = seen
        return found

    async def _say_all(self, board: Board[T], say: Say) -> None:
        before = self.known
        items, *_ = (await self._read_first(board)).values()
        await say(items, sorted(before - self.known))

    async def _say_changes(self, board: Board[T], say: Say) -> bool:
        """Say what the client must be told; return whether there was anything."""
        seen = board.log(self._audience).now
        found = board.since(self._audience, self._seen)
        if found is None:  # too much has changed at once
            await self._say_all(board, say)
            return True
        self._seen = seen
        changed, removed = self._split(found)
        if changed or removed:
            await say(changed, removed)
        return bool(changed or removed)

    def _split(self, found: Collection[tuple[str, T | None]]) -> tuple[list[Raw], list[str]]:
        """Return the items that the client sees, and the ids of those that it sees no more."""
        changed: list[Raw] = []
        removed: list[str] = []
        for id, value in found:
            shown = None if value is None else self.shown(id, value)
            if shown is not None:
                changed.append(Raw(shown))
                self.known.add(id)
            elif id in self.known:
                removed.append(id)
                self.known.discard(id)
        return changed, removed
