"""Keeps what a hub has in memory as the other nodes of its database change it.

A notification names the rows that another node has changed. They are read together, and each is used as it is
stored then. What was missed, because a connection was lost, is found by sums over the rows of each kind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rhetor.errors import KeysUnavailable, RhetorError, SealBroken
from rhetor.hub.core.backlog import Backlog
from rhetor.store.base import Place, Row, RowSum, SharedRows

from .mirrored import KINDS, Kind

if TYPE_CHECKING:
    from rhetor.hub.state import State

SETTLED = 1.0  # seconds, after which a use case has put what it has committed
SWEEP = 5.0  # seconds
LONGEST_WAIT = 1.0  # seconds, until what was heard is applied
RETRY = 0.2  # seconds
BATCH = 500  # rows that are read, or used without a pause, at a time
log = logging.getLogger(__name__)


class Mirrors:
    """What one hub has in memory of the rows in `shared`. It is told of all changes, and `run` applies them.

    A use case changes what is in memory after its commit. So a row that this node has written is not used if
    it was read before, and is read again a second later.
    """

    def __init__(self, state: State, shared: SharedRows, kinds: Mapping[str, Kind] = KINDS) -> None:
        self._state = state
        self._shared = shared
        self._kinds = kinds
        self._loop = asyncio.get_running_loop()
        self._heard: dict[Place, None] = {}
        self._again: set[str] = set()  # the kinds of which all rows are to be read
        self._written: dict[Place, float] = {}  # by this node, and when, by the clock of the loop
        self._sums: Mapping[str, RowSum] = {}
        self._touched: set[str] = set()  # the kinds that have changed since the sums were read
        self._filled = asyncio.Event()
        self._changes = Backlog()
        self._notes: list[set[Place]] = []
        self._listeners: dict[str, Callable[[str, Row | None], None]] = {}

    async def begin(self) -> None:
        """Watch from now on. Call it before anything is loaded.

        Raises:
            StoreRefused: the database cannot be read now.
        """
        self._shared.watch(self._kinds, self)
        self._sums = await self._shared.row_sums(self._summed)

    async def run(self) -> None:
        """Apply what is heard, for as long as the hub runs. Call it when everything is loaded."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            number = self._changes.number
            kinds, self._again = sorted(self._again), set()
            places, self._heard = list(self._heard), {}
            if not await self._apply(kinds, places):
                self._again |= set(kinds)
                self._hear(places)
                self._filled.set()
                await asyncio.sleep(RETRY)
                continue
            self._changes.done(number)

    async def _apply(self, kinds: Sequence[str], places: Sequence[Place]) -> bool:
        """Read rows, and use them; return False if that is to be repeated."""
        try:
            for kind in kinds:
                await self._read_all(kind)
            for at in range(0, len(places), BATCH):
                await self._read(places[at : at + BATCH])
        except RhetorError as error:
            log.warning("reading changed rows failed", extra={"reason": error.detail})
            return False
        except Exception:  # a bug must not end what keeps the memory current
            log.exception("reading changed rows failed")
            return False
        return True

    async def sweep(self) -> None:
        """Look now and then for what was missed, for as long as the hub runs."""
        while True:
            await asyncio.sleep(SWEEP)
            nodes = self._state.nodes
            if nodes.own and not nodes.live:
                continue  # nobody else changes anything
            touched, self._touched = self._touched, set()
            try:
                sums = await self._shared.row_sums(self._summed)
            except RhetorError as error:
                log.info("looking for changed rows failed", extra={"reason": error.detail})
                self._touched |= touched
                continue
            # equal sums do not tell of a change that was heard, and another that was not and has undone it
            same = {kind for kind in self._summed if sums.get(kind) == self._sums.get(kind)} - touched
            self._read_again([kind for kind in self._kept if kind not in same])
            self._sums = sums
            self._wake()

    async def fetch(self, places: Sequence[Place]) -> None:
        """Use these rows as they are stored now.

        Raises:
            StoreRefused: the database cannot be read now.
        """
        await self._read([place for place in places if place[0] in self._kinds])

    async def caught_up(self) -> None:
        """Wait until everything is applied that was heard so far, but at most `LONGEST_WAIT`."""
        await self._changes.until_done(LONGEST_WAIT)

    def listen(self, kind: str, listener: Callable[[str, Row | None], None]) -> None:
        """Call `listener` with the id of each row of this kind that another node writes, and with the row;
        None if it was dropped. There is one for each kind."""
        self._listeners[kind] = listener

    @contextmanager
    def noting(self) -> Iterator[set[Place]]:
        """Yield a set to which the rows are added that this node changes while the context is open."""
        noted: set[Place] = set()
        self._notes.append(noted)
        try:
            yield noted
        finally:
            self._notes.remove(noted)

    # RowWatcher

    def elsewhere(self, streams: Sequence[str], places: Sequence[Place]) -> None:
        if self._state.live.is_watched:
            self._state.live.changed_elsewhere(streams)
        self._touched.update(kind for kind, _ in places)
        if unnamed := [kind for kind, id in places if not id]:
            self._state.live.missed()
            self._read_again(unnamed)
        self._hear([place for place in places if place[1]])

    def here(self, places: Sequence[Place]) -> None:
        now = self._loop.time()
        self._touched.update(kind for kind, _ in places)
        for place in places:
            self._written.pop(place, None)
            self._written[place] = now
        while self._written[first := next(iter(self._written))] <= now - SETTLED:
            del self._written[first]
        for noted in self._notes:
            noted.update(places)

    def missed(self) -> None:
        self._state.live.missed()
        self._read_again(self._kept)
        self._wake()

    # ----

    @property
    def _kept(self) -> list[str]:
        """The kinds of which something is in memory."""
        return [name for name, kind in self._kinds.items() if kind.ids is not None]

    @property
    def _summed(self) -> list[str]:
        return [name for name in self._kept if self._kinds[name].is_summed]

    def _wake(self) -> None:
        """Let those look again who wait for rows that are not in memory."""
        for kind in self._kinds.values():
            if kind.ids is None and kind.wake is not None:
                kind.wake(self._state)

    def _hear(self, places: Sequence[Place]) -> None:
        if places:
            self._heard.update(dict.fromkeys(places))
            self._changes.add()
            self._filled.set()

    def _read_again(self, kinds: Iterable[str]) -> None:
        if found := {kind for kind in kinds if kind in self._kinds}:
            self._again |= found
            self._changes.add()
            self._filled.set()

    async def _read(self, places: Sequence[Place]) -> None:
        """Read rows, and use them."""
        began = self._loop.time()
        needed = [(kind, id) for kind, id in places if self._kinds[kind].is_needed(self._state)]
        try:
            rows = await self._shared.rows_at(needed) if needed else ()
        except (SealBroken, KeysUnavailable) as error:
            if len(needed) > 1:
                for place in needed:
                    await self._read([place])
                return
            log.error("a changed row cannot be opened", extra={"row": needed[0], "reason": error.detail})
            return
        found = {(row.kind, row.id): row for row in rows}
        for place in needed:
            self._use(place, found.get(place), began)
        for kind in {kind for kind, _ in places}:
            if (wake := self._kinds[kind].wake) is not None:
                wake(self._state)

    async def _read_all(self, name: str) -> None:
        """Read all rows of a kind, and use them; those that are in memory and do not exist were dropped."""
        kind, began = self._kinds[name], self._loop.time()
        if kind.ids is not None:
            try:
                rows = {row.id: row for row in await kind.rows(self._state, name)}
            except (SealBroken, KeysUnavailable) as error:  # they stay as they are in memory
                log.error("changed rows cannot be opened", extra={"kind": name, "reason": error.detail})
                return
            for number, id in enumerate({**dict.fromkeys(kind.ids(self._state)), **rows}):
                self._use((name, id), rows.get(id), began)
                if number % BATCH == BATCH - 1:
                    await asyncio.sleep(0)
        if kind.wake is not None:
            kind.wake(self._state)

    def _use(self, place: Place, row: Row | None, began: float) -> None:
        """Use a row that was read since `began`."""
        written = self._written.get(place)
        if written is not None and written >= began - SETTLED:
            self._loop.call_later(SETTLED, self._hear, [place])  # its use case may not have put it yet
            if written >= began:
                return
        name, id = place
        try:
            self._kinds[name].use(self._state, name, id, row)
            self._state.live.mirror(name, id, row)
            if (listener := self._listeners.get(name)) is not None:
                listener(id, row)
        except RhetorError as error:
            log.warning("changed row not used", extra={"kind": name, "id": id, "reason": error.detail})
        except Exception:  # a row that a later release has written must not end the others
            log.exception("using a changed row failed", extra={"kind": name, "id": id})
