"""The clusters and the proxy that the tests of PostgreSQL use."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from . import keeper
from .cluster import VERSIONS, Cluster, binaries, run, running, shared
from .proxy import Proxy, Side, proxied

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]
SECONDS = 60.0
BORROWER = """
import sys
from tests.postgres.cluster import shared
print(shared({version!r}).folder, flush=True)
sys.stdin.read()
"""


def test_each_test_gets_an_empty_database_which_is_dropped(postgres: Cluster) -> None:
    with postgres.database() as first, postgres.database() as second:
        postgres.sql("CREATE TABLE t()", _name(first))
        assert postgres.sql("SELECT count(*) FROM pg_tables WHERE tablename = 't'", _name(second)) == "0"
        names = {_name(first), _name(second)}
        assert names <= _databases(postgres)
    assert not names & _databases(postgres)


def test_the_server_has_the_version_and_does_not_run_as_root(postgres: Cluster) -> None:
    assert postgres.sql("SHOW server_version").split(".")[0] in VERSIONS
    pid = keeper.postmaster(postgres.data)
    assert pid is not None
    assert Path(f"/proc/{pid}").stat().st_uid != 0
    assert postgres.sql("SHOW listen_addresses") == ""


@pytest.mark.parametrize("version", VERSIONS)
def test_a_durable_cluster_flushes_and_keeps_its_data_when_it_is_killed(version: str) -> None:
    with running(version) as cluster:
        assert cluster.sql("SHOW fsync; SHOW synchronous_commit") == "on\non"
        cluster.sql("CREATE TABLE t AS SELECT 42 AS n")
        cluster.kill()
        cluster.start()
        assert cluster.sql("SELECT n FROM t") == "42"
    assert not cluster.folder.exists()


@pytest.mark.parametrize("version", VERSIONS[:1])
def test_a_cluster_ends_when_its_test_run_is_killed(version: str) -> None:
    binaries(version)
    borrower = [sys.executable, "-c", BORROWER.format(version=version)]
    with subprocess.Popen(borrower, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        server = keeper.postmaster(folder / "data")
        assert server is not None
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + SECONDS
    while folder.exists() or keeper.is_running(server):
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("side", "count", "is_committed"),
    [("request", 0, False), ("request", 3, False), ("answer", 0, True), ("answer", 2, True)],
)
async def test_the_proxy_cuts_a_connection_in_the_middle_of_a_commit(
    postgres: Cluster, side: Side, count: int, is_committed: bool
) -> None:
    with postgres.database() as url:
        postgres.sql("CREATE TABLE t(n int)", _name(url))
        async with proxied(postgres) as proxy:
            done = proxy.cut_at(b"COMMIT", side, count)
            status = await _psql(postgres, proxy, url, "BEGIN", "INSERT INTO t VALUES (1)", "COMMIT")
            assert status == 2  # the connection was lost
            assert done.is_set()
            assert postgres.sql("SELECT count(*) FROM t", _name(url)) == str(int(is_committed))
        assert proxy.connections == 1


async def test_the_proxy_holds_what_it_gets_refuses_and_cuts_all(postgres: Cluster) -> None:
    async with proxied(postgres) as proxy:
        proxy.hold()
        asking = asyncio.create_task(_psql(postgres, proxy, postgres.url(), "SELECT 1"))
        await asyncio.sleep(0.2)
        assert not asking.done()
        proxy.release()
        assert await asking == 0
        sleeping = asyncio.create_task(_psql(postgres, proxy, postgres.url(), "SELECT pg_sleep(60)"))
        await asyncio.to_thread(_wait_for_query, postgres, "SELECT pg_sleep(60)")
        await proxy.cut_all()
        assert await sleeping == 2
        proxy.refuses = True
        assert await _psql(postgres, proxy, postgres.url(), "SELECT 1") == 2


async def _psql(cluster: Cluster, proxy: Proxy, url: str, *statements: str) -> int:
    """Execute the statements through the proxy. The status is 2 if the connection is lost."""
    commands = [word for statement in statements for word in ("-c", statement)]
    process = await asyncio.create_subprocess_exec(
        cluster.binaries / "psql",
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        *commands,
        proxy.url(url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"]},
    )
    return await process.wait()


def _wait_for_query(cluster: Cluster, query: str) -> None:
    until = time.monotonic() + SECONDS
    while cluster.sql(f"SELECT count(*) FROM pg_stat_activity WHERE query = '{query}'") != "1":
        assert time.monotonic() < until


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def _databases(cluster: Cluster) -> set[str]:
    return set(cluster.sql("SELECT datname FROM pg_database").split())


def test_a_shared_cluster_is_started_once(postgres: Cluster) -> None:
    version = run(postgres.binaries / "postgres", "--version").split()[2].split(".")[0]
    began = keeper.postmaster(postgres.data)
    assert shared(version) == postgres
    assert keeper.postmaster(postgres.data) == began
