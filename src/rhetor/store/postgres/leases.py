"""The lease of the node that serves. All times are those of the database's clock.

One node serves at a time. Its lease ends by itself when the node stands still or dies; then another node
takes it. A node that was fenced off in this way can neither commit nor renew its lease any more.
"""

from __future__ import annotations

import asyncio

from msgspec import Struct

from rhetor.errors import FenceLost

from .connection import ERRORS, Connection, close, connect, refusal, require_safe
from .schema import migrate
from .statements import sql
from .writer import Fence

LEASE_SECONDS = 9.0
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('rhetor lease ' || current_schema()))"


class Serving(Struct, frozen=True):
    """Another node that serves. `address`: where it accepts connections, as `HOST:PORT`. `seconds`: until its
    lease ends, if it does not renew it."""

    name: str
    address: str
    seconds: float


class NodeRow(Struct, frozen=True):
    """A node that has served. `refused`: how many of its writes came too late. `seconds`: until its lease
    ends; negative if it has ended."""

    name: str
    address: str
    seconds: float
    refused: int


class Leases:
    """The leases in a database. `name`: of this node; a later start with the same name takes its lease at
    once. `address`: where other nodes reach it."""

    def __init__(self, url: str, name: str, address: str, seconds: float = LEASE_SECONDS) -> None:
        self.name = name
        self.seconds = seconds
        self.fence: Fence | None = None
        self.commits = 0
        self.lost = asyncio.Event()  # another node has the lease
        self._url = url
        self._address = address
        self._connection: Connection | None = None

    async def take(self) -> Serving | None:
        """Take the lease, or return the node that has it.

        Raises:
            StoreRefused: the database cannot be used now.
        """
        try:
            connection = await self._connected()
            async with connection.transaction():
                await connection.execute(_LOCK)
                other = await connection.fetchrow(sql("serving_node"), self.name)
                if other is not None:
                    return Serving(*other)
                await connection.execute(sql("fence_off"), self.name)
                row = await connection.fetchrow(sql("take_lease"), self.name, self._address, self.seconds)
                id, number, self.commits = row
        except ERRORS as error:
            raise self._lost(error) from error
        self.fence = Fence(id, number)
        return None

    async def renew(self) -> None:
        """Extend the lease.

        Raises:
            FenceLost: another node has it.
            StoreRefused: the database cannot be used now; the lease ends if that lasts.
        """
        if not await self._change("renew_lease", self.seconds):
            self.lost.set()
            raise FenceLost

    async def release(self) -> None:
        """Give the lease up, so that another node can take it at once."""
        if self.fence is not None and not self.lost.is_set():
            await self._change("renew_lease", 0.0)

    async def nodes(self) -> list[NodeRow]:
        """Return the nodes that have served, the last one first.

        Raises:
            StoreRefused: the database cannot be used now.
        """
        try:
            connection = await self._connected()
            return [NodeRow(*row) for row in await connection.fetch(sql("nodes"))]
        except ERRORS as error:
            raise self._lost(error) from error

    async def keys(self) -> set[bytes]:
        """Return the ids of the keys that a node must have to serve.

        Raises:
            StoreRefused: the database cannot be used now.
        """
        try:
            connection = await self._connected()
            return {key for (key,) in await connection.fetch(sql("seals"))}
        except ERRORS as error:
            raise self._lost(error) from error

    async def aclose(self) -> None:
        if self._connection is not None:
            await close(self._connection)

    async def _change(self, statement: str, seconds: float) -> bool:
        assert self.fence is not None
        try:
            connection = await self._connected()
            done = await connection.execute(sql(statement), self.fence.node, self.fence.number, seconds)
        except ERRORS as error:
            raise self._lost(error) from error
        return bool(done == "UPDATE 1")

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            connection = await connect(self._url, "lease", {"statement_timeout": "3000"})
            if self.fence is None:
                await require_safe(self._url, connection)
                await migrate(connection)
            self._connection = connection
        return self._connection

    def _lost(self, error: BaseException) -> Exception:
        if self._connection is not None:
            self._connection.terminate()
        self._connection = None
        return refusal(error)
