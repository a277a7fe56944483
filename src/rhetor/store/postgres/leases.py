"""The leases of the nodes of a database. All times are those of the database's clock.

A node's lease ends by itself when the node stands still or dies. Then the lead takes the node over: it can
neither commit nor renew its lease any more, and its streams belong to the lead. The lead is the node that has
had its lease for the longest time. There is never a second one: the next one leads only after it has taken
over the earlier one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic

from msgspec import Struct

from rhetor.errors import FenceLost

from .connection import (
    ERRORS,
    IDLE_IN_TRANSACTION,
    Connection,
    close,
    closed_on_failure,
    connect,
    refusal,
    require_safe,
)
from .schema import migrate
from .statements import sql
from .write_connection import Fence

LEASE_SECONDS = 9.0
_TAKING_OVER = {
    "statement_timeout": "60000",  # there may be many streams
    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION),
}
log = logging.getLogger(__name__)
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('rhetor lease ' || current_schema()))"


class LiveLease(Struct, frozen=True):
    """A node whose lease has not ended. `address`: where other nodes reach it, as `HOST:PORT`. `fence`: of
    its life. `since`: from when it has had a lease, as Unix time in milliseconds. `seconds`: until its lease
    ends, if it does not renew it."""

    name: str
    address: str
    fence: int
    since: int
    seconds: float


class Renewed(Struct, frozen=True):
    """What a node finds when it has taken or renewed its lease. `leads`: whether it is the lead. `nodes`: the
    live ones, with itself. `ended`: whether there are leases that have ended, so that the lead takes over; a
    node that is the lead then is not yet one."""

    leads: bool
    nodes: Sequence[LiveLease]
    ended: bool = False


class TakenOver(Struct, frozen=True):
    """A node that was taken over. `fence`: of its life. `streams`: the sessions and plans that it owned."""

    name: str
    fence: int
    streams: Sequence[str]


class NodeRow(Struct, frozen=True):
    """A node that has served. `refused`: how many of its writes came too late. `seconds`: until its lease
    ends; negative if it has ended. `streams`: how many sessions and plans it owns."""

    name: str
    address: str
    seconds: float
    refused: int
    streams: int


class Leases:
    """The lease of a node, and what it learns about those of others. `name`: of this node; a later start with
    the same name takes its lease at once. `address`: where other nodes reach it."""

    def __init__(self, url: str, name: str, address: str, seconds: float = LEASE_SECONDS) -> None:
        self.name = name
        self.seconds = seconds
        self.fence: Fence | None = None
        self.commits = 0
        self.lost = asyncio.Event()  # another node has taken over
        self.ends = 0.0  # when the lease ends at the earliest, by the clock `monotonic` of this machine
        self._url = url
        self._address = address
        self._connection: Connection | None = None
        self._one = asyncio.Lock()  # it is used for one thing at a time

    async def take(self) -> Renewed:
        """Take the lease of this node.

        Raises:
            StoreRefused: the database cannot be used now.
        """
        began = monotonic()
        async with self._using() as connection:
            row = await connection.fetchrow(sql("take_lease"), self.name, self._address, self.seconds)
            id, number, self.commits = row
            self.fence, self.ends = Fence(id, number, self.seconds), began + self.seconds
            return await self._standing(connection)

    async def renew(self) -> Renewed:
        """Extend the lease. One that has ended is taken again, if no other node has taken over.

        Raises:
            FenceLost: another node has taken over.
            StoreRefused: the database cannot be used now; the lease ends if that lasts.
        """
        assert self.fence is not None
        began = monotonic()
        async with self._using() as connection:
            given = self.fence.node, self.fence.number, self.seconds
            if await connection.execute(sql("renew_lease"), *given) == "UPDATE 1":
                self.ends = began + self.seconds
                return await self._standing(connection)
        self.lost.set()
        raise FenceLost

    async def release(self) -> None:
        """Give the lease up, so that the lead takes over at once."""
        if self.fence is None or self.lost.is_set():
            return
        async with self._using() as connection:
            await connection.execute(sql("renew_lease"), self.fence.node, self.fence.number, 0.0)

    async def take_over(
        self, noted: Callable[[Sequence[str]], None] = lambda streams: None
    ) -> list[TakenOver]:
        """Fence off the nodes whose leases have ended, and become the owner of their streams. A node that
        commits at this moment is left for the next time. `noted` gets the streams of each node before they
        belong to this one.

        Raises:
            FenceLost: the lease of this node has ended.
            StoreRefused: the database cannot be used now; nothing was taken over.
        """
        async with self._changing() as connection:
            found = []
            for id, name, fence in await connection.fetch(sql("end_lives")):
                streams = await self._take_streams(connection, id)
                noted(streams)
                found.append(TakenOver(name, fence, streams))
        for each in found:
            log.warning("node taken over", extra={"node": each.name, "streams": len(each.streams)})
        return found

    async def claim(self) -> list[str]:
        """Become the owner of the sessions and plans that have none. Return their streams.

        Raises:
            FenceLost: the lease of this node has ended.
            StoreRefused: the database cannot be used now; nothing was claimed.
        """
        async with self._changing() as connection:
            assert self.fence is not None
            return [stream for (stream,) in await connection.fetch(sql("claim_streams"), self.fence.node)]

    async def nodes(self) -> list[NodeRow]:
        """Return the nodes that have served, the last one first.

        Raises:
            StoreRefused: the database cannot be used now.
        """
        async with self._using() as connection:
            return [NodeRow(*row) for row in await connection.fetch(sql("nodes"))]

    async def aclose(self) -> None:
        if self._connection is not None:
            await close(self._connection)

    @asynccontextmanager
    async def _using(self) -> AsyncIterator[Connection]:
        async with self._one:
            try:
                yield await self._connected()
            except ERRORS as error:
                if self._connection is not None:
                    self._connection.terminate()
                self._connection = None
                raise refusal(error) from error

    async def _standing(self, connection: Connection) -> Renewed:
        assert self.fence is not None
        rows = await connection.fetch(sql("standing_nodes"))
        live = [LiveLease(*each) for _, *each in rows if each[-1] > 0]
        leads = bool(rows) and rows[0][0] == self.fence.node
        is_next = bool(live) and live[0].name == self.name
        return Renewed(leads, live, ended=is_next and len(live) < len(rows))

    async def _take_streams(self, connection: Connection, node: int) -> list[str]:
        assert self.fence is not None
        found = await connection.fetch(sql("take_streams"), self.fence.node, node)
        return [stream for (stream,) in found]

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[Connection]:
        """Keep other nodes from taking over anything while the block runs. The block uses a separate
        connection, so that the lease can still be renewed."""
        assert self.fence is not None
        connection = await connect(self._url, "take over", _TAKING_OVER)
        try:
            async with connection.transaction():
                await connection.execute(_LOCK)
                if not await connection.fetchval(sql("has_lease"), self.fence.node, self.fence.number):
                    raise FenceLost
                yield connection
        except ERRORS as error:
            raise refusal(error) from error
        finally:
            await close(connection)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            connection = await connect(self._url, "lease", {"statement_timeout": "3000"})
            if self.fence is None:
                with closed_on_failure(connection):
                    await require_safe(self._url, connection)
                    await migrate(connection)
            self._connection = connection
        return self._connection
