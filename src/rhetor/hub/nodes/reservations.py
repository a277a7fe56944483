"""What each node has reserved in the budgets: a row for each, which the others count.

A node writes its row before it begins a call, and then reads the rows of the others. So of two calls that
begin at two nodes at the same time, at least one finds the other's reservation.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from rhetor.errors import RhetorError
from rhetor.hub.catalog.budgets import RESERVED
from rhetor.hub.core.backlog import Backlog
from rhetor.hub.core.commits import until_accepted
from rhetor.store.base import Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

REST = 0.05  # seconds, between two writings that nobody waits for
LONGEST_WAIT = 10.0  # seconds, until the row is written
RETRY = 0.2  # seconds
MAX_NODES = 1_000
log = logging.getLogger(__name__)


class SharedReservations:
    """The reservations of this node in its row, and those of the others in the budgets of `state`. `run` must
    run as long as the hub does."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._budgets = state.budgets
        self._changed = asyncio.Event()
        self._waited_for = asyncio.Event()
        self._changes = Backlog()
        self._written: bytes | None = None

    async def begin(self) -> None:
        """Count what other nodes have reserved, and tell them from now on. Nothing is reserved here yet.

        Raises:
            StoreRefused: the database cannot be used now.
        """
        self._budgets.reserved, self._budgets.confirm = self._note, self._confirm
        self._state.nodes.on_change(self._forget_lost)
        if await self._state.store.get(RESERVED, self._state.nodes.own) is not None:
            await self._write()  # it is of an earlier hub
        await self._read()
        self._forget_lost()

    async def run(self) -> None:
        """Write what is reserved when it changes, for as long as the hub runs."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            number = self._changes.number
            try:
                if self._state.nodes.live or self._written is not None:
                    await self._write()
            except RhetorError as error:
                log.info("writing reservations failed", extra={"reason": error.detail})
                self._changed.set()
                await asyncio.sleep(RETRY)
                continue
            self._changes.done(number)
            with suppress(TimeoutError):
                async with asyncio.timeout(REST):
                    await self._waited_for.wait()
            self._waited_for.clear()

    async def _confirm(self) -> bool:
        """Store what is reserved here, and read what is reserved elsewhere. Return False if there is no other
        node."""
        if not self._state.nodes.live:
            return False
        self._waited_for.set()
        self._changed.set()
        await self._changes.until_done(LONGEST_WAIT)  # if it takes longer, what is known must do
        await until_accepted(self._read, f"budgets:{self._state.nodes.own}", lambda: self._state.closing)
        await self._state.mirrors.caught_up()  # what is not reserved there any more was spent
        return True

    def _note(self) -> None:
        self._changes.add()
        self._changed.set()

    async def _read(self) -> None:
        for row in await self._state.store.find(RESERVED, limit=MAX_NODES):
            mirror(self._state, row.id, row)

    async def _write(self) -> None:
        own = self._state.nodes.own
        doc = msgspec.json.encode(self._budgets.reservations)
        if doc != self._written:
            row = Row(RESERVED, own, "kept", doc, at=self._state.ids.now())
            await self._state.store.commit(f"budgets:{own}", [], rows=[row])
            self._written = doc

    def _forget_lost(self) -> None:
        """Count no more what nodes have reserved that are lost: their turns ended with them."""
        self._budgets.keep_nodes(self._state.nodes.live)


def mirror(state: State, node: str, row: Row | None) -> None:
    """Use the row of another node as it is stored. None: it was dropped."""
    if node != state.nodes.own:
        state.budgets.mirror(RESERVED, node, row)
