"""Whoever is cancelled while a connection is new, or being given back, leaves none behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest

from rhetor.errors import NotFound
from rhetor.store.postgres.connection import Pool, connect
from rhetor.store.postgres.leases import Leases
from rhetor.store.postgres.store import PostgresStore
from rhetor.store.postgres.wake_ups import WakeUps
from tests.contracts.store_kit import chunk, ticking
from tests.postgres.cluster import Cluster
from tests.postgres.proxy import Proxy, proxied

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]
SECONDS = 30.0
OPEN = "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"


async def nothing() -> None:
    """Sweep nothing."""


def wake_ups(url: str) -> WakeUps:
    return WakeUps(url, "rhetor test", lambda streams, rows: None, lambda: None, nothing)


async def open_store(url: str) -> None:
    await PostgresStore.open(url, clock=ticking())


async def listen(url: str) -> None:
    await wake_ups(url).open()


async def set_timeout(url: str) -> None:
    await connect(url, "test", {"statement_timeout": "3000"})


async def take_lease(url: str) -> None:
    lease = Leases(url, "a", "a.example:8300")
    try:
        await lease.take()
    finally:
        await lease.aclose()


async def leave_transaction(url: str) -> None:
    pool = Pool(url, 1)
    try:
        async with pool.transaction():
            raise NotFound("session", "s_1")
    finally:
        await pool.aclose()


async def close_pool(url: str) -> None:
    pool = Pool(url, 2)
    async with pool.transaction(), pool.transaction():
        pass
    await pool.aclose()


@asynccontextmanager
async def none_is_left(postgres: Cluster, url: str) -> AsyncIterator[Proxy]:
    """Yield a proxy, through which nobody is connected at the end. An abandoned one raises a warning."""
    async with proxied(postgres) as proxy:
        yield proxy
        proxy.release()
        gc.collect()
        async with asyncio.timeout(SECONDS):
            while await connections(url):  # noqa: ASYNC110 (the server sends no event for that)
                await asyncio.sleep(0.02)


async def connections(url: str) -> list[str]:
    """Return the names of the connections to the database."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(f"{OPEN} AND pid <> pg_backend_pid()")
        return [name for (name,) in rows]
    finally:
        await connection.close()


async def cancelled_at(proxy: Proxy, said: bytes, work: Awaitable[None]) -> None:
    """Cancel the work after the server was sent these bytes, and before its answer arrives."""
    reached = proxy.hold_at(said)
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(SECONDS):
        await reached.wait()
    task.cancel()
    asyncio.get_running_loop().call_soon(proxy.release)
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (open_store, b"server_version_num"),
        (open_store, b"CREATE TABLE"),
        (open_store, b"LISTEN"),
        (listen, b"LISTEN"),
        (set_timeout, b"SET statement_timeout"),
        (take_lease, b"server_version_num"),
        (take_lease, b"CREATE TABLE"),
        (leave_transaction, b"ROLLBACK"),
        (close_pool, b"X\x00\x00\x00\x04"),
    ],
)
async def test_a_cancelled_task_leaves_no_connection(
    postgres: Cluster, postgres_url: str, work: Callable[[str], Awaitable[None]], said: bytes
) -> None:
    async with none_is_left(postgres, postgres_url) as proxy:
        await cancelled_at(proxy, said, work(proxy.url(postgres_url)))


async def test_wake_ups_that_are_closed_at_once_leave_no_connection(
    postgres: Cluster, postgres_url: str
) -> None:
    async with none_is_left(postgres, postgres_url) as proxy:
        found = wake_ups(proxy.url(postgres_url))
        await found.open()
        await found.aclose()  # before its tasks have begun


async def test_a_listener_that_is_closed_while_it_connects_again_leaves_no_connection(
    postgres: Cluster, postgres_url: str
) -> None:
    async with none_is_left(postgres, postgres_url) as proxy:
        found = wake_ups(proxy.url(postgres_url))
        await found.open()
        reached = proxy.hold_at(b"LISTEN")
        await proxy.cut_all()
        async with asyncio.timeout(SECONDS):
            await reached.wait()
        await found.aclose()


async def test_a_writer_that_is_cancelled_while_it_connects_again_leaves_no_connection(
    postgres: Cluster, postgres_url: str
) -> None:
    async with none_is_left(postgres, postgres_url) as proxy:
        store = await PostgresStore.open(proxy.url(postgres_url), clock=ticking())
        await proxy.cut_all()
        writing = asyncio.ensure_future(store.commit("s", [chunk("text", "t")]))
        await cancelled_at(proxy, b"SELECT commits", store.aclose())
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await store._wake_ups.aclose()
        await store._pool.aclose()
