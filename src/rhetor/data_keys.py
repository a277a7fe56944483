"""Replaces the data keys of a running hub: new content has the new key at once, and what is stored is sealed
again in the background, in small steps.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from rhetor.domain.timestamps import timestamp
from rhetor.errors import RhetorError
from rhetor.hub.core.background import Background
from rhetor.sealed_files import SealedFiles
from rhetor.sealing.ring import Ring
from rhetor.store.base import Store
from rhetor.store.resealing import Place, Step

if TYPE_CHECKING:
    from rhetor.hub.state import State

    from .shared_keys import SharedKeys

log = logging.getLogger(__name__)


class AnyStore(Store, Protocol):
    """A store that seals values. `notices`: sentences for the user from its opening."""

    notices: list[str]

    async def sealed_with(self) -> set[bytes]:
        """Return the ids of the keys with which stored values are sealed."""
        ...

    async def renew(self, after: Place | None, retired: frozenset[bytes]) -> Step:
        """Seal some of the values again that are sealed with a retired key: the next ones after a place."""
        ...

    async def forget_keys(self, retired: frozenset[bytes]) -> None:
        """Note that no value is sealed with these keys any more."""
        ...


class DataKeys:
    """The keys with which one hub seals what it stores. `at_rest`: whether it seals all content."""

    def __init__(self, ring: Ring, store: AnyStore, files: SealedFiles, *, at_rest: bool) -> None:
        self._ring = ring
        self._store = store
        self._files = files
        self._at_rest = at_rest
        self._running = 0
        self._unreadable = 0
        self._one = asyncio.Lock()
        self.background: Background | None = None
        self._shared: SharedKeys | None = None

    def share(self, state: State) -> None:
        """Replace keys at all nodes of the database from now on."""
        from .shared_keys import SharedKeys  # most hubs have no other nodes

        self._shared = SharedKeys(self._ring, state, self._files.renew)

    async def described(self) -> dict[str, Any]:
        """Return the ids and dates of the keys, and which of them the database still needs; never a key.

        Raises:
            KeysUnavailable: the file of the keys cannot be read.
        """
        keys = await asyncio.to_thread(self._ring.listed)
        in_use = await self._store.sealed_with()
        shown = [
            {
                "id": key.id,
                "created_at": timestamp(key.created),
                "retired_at": None if key.retired is None else timestamp(key.retired),
                "in_use": key.key_id in in_use,
            }
            for key in keys
        ]
        return {
            "at_rest": self._at_rest,
            "renewing": self._running > 0,
            "unreadable": self._unreadable,
            "keys": shown,
        }

    async def rotate(self) -> str:
        """Seal new content with a new key from now on, and begin to seal the rest again. Return the key's id.

        Raises:
            KeysUnavailable: the keys cannot be read or written; nothing was changed.
        """
        if self._shared is not None:
            fresh = await self._shared.rotate()
        else:
            fresh = await asyncio.to_thread(self._ring.rotate)
        log.info("data key replaced", extra={"key": fresh.hex()})
        self._begin()
        return fresh.hex()

    async def resume(self) -> None:
        """Continue what an earlier hub has begun."""
        in_use = await self._store.sealed_with()
        if in_use and not in_use.isdisjoint(await asyncio.to_thread(self._ring.retired)):
            await self._renew()
        elif self._at_rest:
            await self._files.renew()

    def _begin(self) -> None:
        assert self.background is not None
        self.background.start(self._renew(), "seal again")

    async def _renew(self) -> None:
        self._running += 1
        try:
            async with self._one:
                await self._renew_database(frozenset(await asyncio.to_thread(self._ring.retired)))
                await self._files.renew()
        except RhetorError as error:  # the next start continues
            log.error("sealing again failed", extra={"reason": error.detail})
        finally:
            self._running -= 1

    async def _renew_database(self, retired: frozenset[bytes]) -> None:
        place: Place | None = None
        changed = unreadable = 0
        while True:
            begun = monotonic()
            step = await self._store.renew(place, retired)
            changed, unreadable, place = changed + step.changed, unreadable + step.broken, step.place
            if place is None:
                break
            await asyncio.sleep(monotonic() - begun)  # others get half of the writer's time
        self._unreadable = unreadable
        if not unreadable:
            await self._store.forget_keys(retired)
        log.info("database sealed again", extra={"values": changed, "unreadable": unreadable})
