"""The store on PostgreSQL, on a cluster of its own that flushes what it commits.

    python -m bench postgres                     (`make test-postgres` installs PostgreSQL 18)
    python -m bench.postgres [append] [replay] [large] [takeover]         some of the parts

Appends of one node and of three, replay, events of another node, search and analytics over 1,000,000 events,
and how soon another node has taken over. Appends are sent on schedule, as in `bench.append`, to 20 sessions
of each node. Nodes are processes, each with a lease. The cluster has the settings that the documentation
recommends. It has written some segments of its log before, as a cluster that is in use: a new segment is
filled with zeros, and all commits wait for that.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import uvloop
from tests.postgres.cluster import Cluster, running

from bench import postgres_large, postgres_nodes
from bench.append import REPLAYED, paced, replayed
from bench.disk import disk_figure
from bench.stats import milliseconds, percentile
from bench.table import Figure, table
from rhetor.hub.core.ids import wall_clock
from rhetor.serving import collect_seldom
from rhetor.store.postgres.leases import Leases
from rhetor.store.postgres.store import PostgresStore

VERSION = "18"
# as docs/topics/log.md recommends
RECOMMENDED = {
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "min_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
}
WRITTEN = 24  # segments of 16 MiB
SECONDS = 10.0
LEASE = 120.0  # seconds: longer than a part takes
STARTING = 4.0  # seconds in which all nodes have started
RATE, NODES, NODE_RATE = 10_000, 3, 3_000
T = TypeVar("T")


def run(*parts: str) -> list[Figure]:
    collect_seldom()
    with _cluster() as cluster:
        figures = [disk_figure(str(cluster.folder))]
        for part in parts or PARTS:
            figures += PARTS[part](cluster)
        return figures


@contextmanager
def _cluster() -> Iterator[Cluster]:
    """Start a cluster with the recommended settings, which has been in use."""
    with running(VERSION) as cluster:
        for name, value in RECOMMENDED.items():
            cluster.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        cluster.stop()
        cluster.start()
        for _ in range(WRITTEN):
            cluster.sql(
                "SELECT pg_logical_emit_message(false, 'bench', repeat('x', 15 << 20)), pg_switch_wal()"
            )
        cluster.sql("CHECKPOINT")
        yield cluster


def _append(cluster: Cluster) -> list[Figure]:
    with cluster.database() as url:
        one = _appended(url, 1, RATE)
    with cluster.database() as url:
        three = _appended(url, NODES, NODE_RATE)
    return [
        _appends(f"append at {RATE:,}/s from one node, p50 · p99", one),
        _appends(f"append at {NODES} × {NODE_RATE:,}/s, p50 · p99", three),
    ]


def _appends(what: str, took: Sequence[float]) -> Figure:
    return Figure(what, milliseconds(took), "p99 <5 ms", percentile(took, 0.99) < 0.005)


def _appended(url: str, nodes: int, rate: int) -> list[float]:
    """Append at this rate from each of the nodes at the same time, and return how long each append took."""
    begins = time.time() + STARTING
    with ProcessPoolExecutor(nodes, multiprocessing.get_context("spawn")) as pool:
        started = [pool.submit(_measured, url, f"node{number}", rate, begins) for number in range(nodes)]
        return [seconds for each in started for seconds in each.result()]


def _measured(url: str, node: str, rate: int, begins: float) -> list[float]:
    """Append to sessions of this node at this rate. `begins`: when, as Unix time."""
    collect_seldom()
    return uvloop.run(_with_node(url, partial(_paced, rate=rate, node=node, begins=begins), node))


async def _paced(store: PostgresStore, rate: int, node: str, begins: float) -> list[float]:
    await paced(store, rate=100, seconds=max(0.0, begins - time.time()), prefix=f"s_{node}")  # sessions begin
    return await paced(store, rate=rate, seconds=SECONDS, prefix=f"s_{node}")


async def _with_node(url: str, measure: Callable[[PostgresStore], Awaitable[T]], node: str = "node") -> T:
    lease = Leases(url, node, "127.0.0.1:1", LEASE)
    await lease.take()
    store = await PostgresStore.open(url, clock=wall_clock, node=node, lease=lease)
    try:
        return await measure(store)
    finally:
        await store.aclose()
        await lease.aclose()


def _replay(cluster: Cluster) -> list[Figure]:
    with cluster.database() as url:
        rate = uvloop.run(_with_node(url, replayed))
    return [Figure(f"replay of {REPLAYED:,} events", f"{rate:,.0f} events/s", "≥300,000/s", rate >= 300_000)]


PARTS: dict[str, Callable[[Cluster], list[Figure]]] = {
    "append": _append,
    "replay": _replay,
    "large": postgres_large.run,
    "takeover": postgres_nodes.run,
}

if __name__ == "__main__":
    sys.stdout.write(table(run(*sys.argv[1:])) + "\n")
