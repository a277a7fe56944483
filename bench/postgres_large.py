"""Search, analytics and the events of another node, over a database of 1,000,000 events. A part of
`bench.postgres`."""

from __future__ import annotations

import asyncio
import getpass
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import uvloop
from tests.postgres.cluster import Cluster

from bench.postgres_nodes import KEYS_SECONDS, reach
from bench.process import fetched, running_hub
from bench.table import Figure
from bench.turns import turn_events
from rhetor.domain.event import UsageReported
from rhetor.domain.session import Session
from rhetor.hub.catalog.sessions import session_row
from rhetor.hub.core.ids import wall_clock
from rhetor.store.base import Draft
from rhetor.store.postgres.store import PostgresStore

TURNS, SESSIONS, BATCH = 200_000, 1_000, 400  # five events per turn
ROUNDS = 11


def run(cluster: Cluster) -> list[Figure]:
    with cluster.database() as url:
        uvloop.run(_filled(url))
        cluster.sql("VACUUM ANALYZE", url.partition("?")[0].rpartition("/")[2])
        found = uvloop.run(_searched(url))
        with running_hub({"RHETOR_STORE": url}) as hub:
            time.sleep(KEYS_SECONDS)
            usage = [
                _timed(partial(fetched, hub.socket, f"/api/analytics/usage?group_by={by}"))
                for by in ("day", "model", "peer")
            ]
            reached = reach(url, hub.home, "s_1")
    return [
        *(_quick(f"search for {what} in 1,000,000 events", seconds) for what, seconds in found.items()),
        _quick("usage of 1,000,000 events by day, model or peer", max(usage)),
        reached,
    ]


def _quick(what: str, seconds: float) -> Figure:
    return Figure(what, f"{seconds * 1e3:.1f} ms", "≤500 ms", seconds <= 0.5)


async def _filled(url: str) -> None:
    store = await PostgresStore.open(url, clock=wall_clock, node="bench")
    now = wall_clock()
    owner = getpass.getuser()
    for number in range(SESSIONS):
        session = Session(f"s_{number}", f"peer{number % 7}", owner, now, now)
        await store.commit(session.id, [], rows=[session_row(session)])
    for first in range(0, TURNS, BATCH):
        await asyncio.gather(*(_turn(store, number, now) for number in range(first, first + BATCH)))
    await store.aclose()


async def _turn(store: PostgresStore, number: int, now: int) -> None:
    rare = "zebra" if number % 10_000 == 7 else "horse"
    question = f"question {number} about a {rare} in the garden"
    answer = f"an answer of some words about word{number % 5_000}"
    usage = UsageReported(f"provider/model{number % 12}", 100, 20, None, "0.001")
    payloads = turn_events(number, f"peer{number % 7}", question, answer, usage)
    at = now - (TURNS - number) * 1_000
    await store.commit(f"s_{number % SESSIONS}", [Draft(each, f"t_{number}", at=at) for each in payloads])


async def _searched(url: str) -> dict[str, float]:
    """Return the median seconds of searches for words that few, some and all messages have."""
    store = await PostgresStore.open(url, clock=wall_clock, node="bench")
    took = {}
    for what, words in {
        "a rare word": "zebra",
        "two words": "word77 answer",
        "a word of half of them": "answer",
    }.items():
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            assert await store.search(words)
            times.append(time.perf_counter() - began)
        took[what] = median(times)
    await store.aclose()
    return took


def _timed(ask: Callable[[], object]) -> float:
    ask()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        ask()
        times.append(time.perf_counter() - began)
    return median(times)
