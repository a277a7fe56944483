"""Binary content in the database, which every node reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rhetor.errors import NotFound, StoreRefused
from rhetor.sealing.envelope import ID_END, is_sealed
from rhetor.sealing.ring import Ring
from rhetor.store.blobs import ID, id_of, opened, place_of

from .connection import Pool
from .statements import sql

MOST_BYTES = 16 << 20
LEAST_AGE = 3_600_000  # milliseconds; a younger blob may be of a commit that another node has not made yet


class PostgresBlobs:
    """The blobs of all nodes, as `Blobs` says. `ring`: opens sealed blobs; with `sealed`, it seals new ones.
    `clock`: returns Unix time in milliseconds."""

    def __init__(self, pool: Pool, ring: Ring | None, *, sealed: bool, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._ring = ring
        self._sealing = ring if sealed else None
        self._clock = clock

    async def keep(self, content: bytes) -> str:
        """Store the content durably and return its id.

        Raises:
            StoreRefused: it cannot be written, or is larger than 16 MiB; nothing was stored.
        """
        if len(content) > MOST_BYTES:
            hint = "send it in parts, or send its path"
            raise StoreRefused(f"the database takes at most {MOST_BYTES} bytes of binary content", hint=hint)
        id, stored = await asyncio.to_thread(self._stored, content)
        key = stored[1:ID_END] if self._sealing is not None else None
        await self._pool.fetch(sql("keep_blob"), id, stored, self._clock(), key)
        return id

    async def read(self, id: str) -> bytes:
        if ID.fullmatch(id) and (rows := await self._pool.fetch(sql("blob"), id)):
            return await asyncio.to_thread(opened, id, rows[0][0], self._ring)
        raise NotFound("blob", id)

    async def sweep(self, is_wanted: Callable[[str], Awaitable[bool]]) -> int:
        gone = 0
        for (id,) in await self._pool.fetch(sql("old_blobs"), self._clock() - LEAST_AGE):
            if not await is_wanted(id):
                await self.remove(id)
                gone += 1
        return gone

    async def remove(self, id: str) -> None:
        if ID.fullmatch(id):
            await self._pool.fetch(sql("remove_blob"), id)

    def _stored(self, content: bytes) -> tuple[str, bytes]:
        id = id_of(content, self._sealing)
        return id, content if self._sealing is None else self._sealing.seal(content, place_of(id))


def is_sealed_blob(id: str, stored: bytes) -> bool:
    """Whether a blob is stored sealed: the content of a plain one may begin in the same way."""
    return is_sealed(stored) and id_of(stored, None) != id
