"""Gives a new data key to all nodes of a database before any of them seals with it.

The key goes through the database, wrapped by the master key, which all nodes have and the database has not.
Each node adds it to its own `keys.json` and says so; then all of them seal with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.errors import KeysUnavailable, RhetorError
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.core.commits import until_accepted
from rhetor.hub.nodes.mirrored import DATA_KEY
from rhetor.sealing.keys_file import Wrapped
from rhetor.sealing.ring import Ring
from rhetor.store.base import Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

GIVEN, CURRENT = "given", "current"  # states of the rows: nodes have the key; they seal with it
TAKEN = "data_key_taken"  # the kind of the rows with which nodes say so
LONGEST_WAIT = 15.0  # seconds, for all nodes to say so
LOOK_SECONDS = 0.05
log = logging.getLogger(__name__)


class SharedKeys:
    """The keys of one node of several. `switched` is called when another node has replaced the key, and this
    one seals with the new one."""

    def __init__(self, ring: Ring, state: State, switched: Callable[[], Awaitable[object]]) -> None:
        self._ring = ring
        self._state = state
        self._switched = switched
        self._one_at_a_time = asyncio.Lock()
        ring.is_shared = True
        state.mirrors.listen(DATA_KEY, self._heard)
        state.background.start(self._take_stored(), "data keys of other nodes")

    async def rotate(self) -> bytes:
        """Replace the key at all nodes; return the id of the new one.

        Raises:
            KeysUnavailable: the keys cannot be read or written, or a node does not take the new one; all
                nodes seal with the old one.
            StoreRefused: the database cannot be used now; all nodes seal with the old one.
        """
        store = self._state.store
        made = await asyncio.to_thread(self._ring.prepare)
        earlier = [*await store.find(DATA_KEY), *await store.find(TAKEN)]
        now = self._state.ids.now()
        row = Row(DATA_KEY, made.id, GIVEN, msgspec.json.encode(made), owner=self._state.nodes.own, at=now)
        drop = [(each.kind, each.id) for each in earlier if each.id != made.id]
        await store.commit(HUB_STREAM, [], rows=[row], drop=drop)
        if missing := await self._missing(made.id, GIVEN):
            raise KeysUnavailable(
                f"the node {missing} does not take the new key, so all nodes go on with the old one; "
                "see its log, and repeat the command"
            )
        await asyncio.to_thread(self._ring.switch, made.id)
        await store.commit(HUB_STREAM, [], rows=[replace(row, state=CURRENT)])
        if missing := await self._missing(made.id, CURRENT):
            log.warning("a node may still seal with the old data key", extra={"node": missing})
        return made.key_id

    async def _missing(self, key: str, state: str) -> str:
        """Wait until all live nodes have taken a key; return one that has not, or an empty text."""
        wanted = (GIVEN, CURRENT) if state == GIVEN else (CURRENT,)
        deadline = asyncio.get_running_loop().time() + LONGEST_WAIT
        while True:
            rows = await self._state.store.find(TAKEN, parent=key, state=wanted)
            missing = sorted(set(self._state.nodes.live) - {row.owner for row in rows})
            if not missing or asyncio.get_running_loop().time() > deadline:
                return missing[0] if missing else ""
            await asyncio.sleep(LOOK_SECONDS)

    def _heard(self, id: str, row: Row | None) -> None:
        if row is not None and row.owner != self._state.nodes.own:
            self._state.background.start(self._take(row), f"data key {id}")

    async def _take_stored(self) -> None:
        for row in await until_accepted(
            lambda: self._state.store.find(DATA_KEY), HUB_STREAM, lambda: self._state.closing
        ):
            self._heard(row.id, row)

    async def _take(self, row: Row) -> None:
        """Add another node's key to the file of this one, and seal with it if all nodes have it."""
        own = self._state.nodes.own
        async with self._one_at_a_time:
            try:
                key = msgspec.json.decode(row.doc, type=Wrapped)
                await asyncio.to_thread(self._ring.adopt, key)
                is_new = row.state == CURRENT and await asyncio.to_thread(self._ring.switch, row.id)
                done = Row(TAKEN, f"{row.id}/{own}", row.state, b"{}", owner=own, parent=row.id)
                await self._state.store.commit(HUB_STREAM, [], rows=[done])
            except RhetorError as error:
                log.error("a data key was not taken", extra={"key": row.id, "reason": error.detail})
                return
        if is_new:
            log.info("data key replaced by another node", extra={"key": row.id})
            await self._switched()
