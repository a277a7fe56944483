"""The store on PostgreSQL, on a cluster of its own that flushes what it commits.

    python -m bench postgres        (`make test-postgres` installs PostgreSQL 18)

Appends of one node and of three, replay, events of another node, search and analytics over 1,000,000 events,
and how soon another node takes over. Appends are sent on schedule, as in `bench.append`. Nodes are processes.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import uvloop
from tests.postgres.cluster import Cluster, shared

from bench.append import REPLAYED, paced, replayed
from bench.disk import disk_figure
from bench.process import BIN, PROFILE, clean_environment, fetched
from bench.stats import milliseconds, percentile
from bench.table import Figure
from rhetor.app import collect_seldom
from rhetor.domain.event import (
    MessageAccepted,
    OutputDelta,
    Payload,
    TurnCompleted,
    TurnStarted,
    UsageReported,
)
from rhetor.domain.session import Session
from rhetor.hub.catalog.sessions import session_row
from rhetor.hub.core.ids import wall_clock
from rhetor.sealing.ring import Ring
from rhetor.store.base import Draft
from rhetor.store.postgres.store import PostgresStore

VERSION = "18"
SECONDS = 10.0
RATE, NODES, NODE_RATE = 10_000, 3, 3_000
TURNS, SESSIONS, BATCH = 200_000, 1_000, 100  # five events per turn
OTHERS = 500  # events of another node
PAUSE = 0.01  # between them
ROUNDS = 11
TAKE_OVER_SECONDS = 60.0
T = TypeVar("T")


def run() -> list[Figure]:
    collect_seldom()
    cluster = shared(VERSION, durable=True)
    figures = [disk_figure(str(cluster.folder.parent))]
    with cluster.database() as url:
        figures += [_one_node(url), _three_nodes(url)]
        read = uvloop.run(_with_store(url, replayed))
        figures.append(
            Figure(f"replay of {REPLAYED:,} events", f"{read:,.0f} events/s", "≥300,000/s", read >= 300_000)
        )
    figures += _large(cluster)
    with cluster.database() as url:
        figures.append(_take_over(url))
    return figures


def _one_node(url: str) -> Figure:
    return _appends(f"append at {RATE:,}/s from one node, p50 · p99", _measured(url, "one", RATE))


def _three_nodes(url: str) -> Figure:
    with ProcessPoolExecutor(NODES, multiprocessing.get_context("spawn")) as pool:
        started = [pool.submit(_measured, url, f"node{number}", NODE_RATE) for number in range(NODES)]
        took = [seconds for each in started for seconds in each.result()]
    return _appends(f"append at {NODES} × {NODE_RATE:,}/s, p50 · p99", took)


def _appends(what: str, took: Sequence[float]) -> Figure:
    return Figure(what, milliseconds(took), "p99 <5 ms", percentile(took, 0.99) < 0.005)


def _measured(url: str, node: str, rate: int) -> list[float]:
    """Append at this rate, each node to streams of its own, and return how long each append took."""
    collect_seldom()
    return uvloop.run(_with_store(url, partial(paced, rate=rate, seconds=SECONDS, prefix=node), node))


async def _with_store(
    url: str,
    measure: Callable[[PostgresStore], Awaitable[T]],
    node: str = "bench",
    ring: Ring | None = None,
) -> T:
    store = await PostgresStore.open(url, clock=wall_clock, node=node, ring=ring)
    try:
        return await measure(store)
    finally:
        await store.aclose()


def _large(cluster: Cluster) -> list[Figure]:
    """Measure over 1,000,000 events, with a hub that has them."""
    with cluster.database() as url:
        uvloop.run(_with_store(url, _fill))
        cluster.sql("VACUUM ANALYZE", url.partition("?")[0].rpartition("/")[2])
        found = uvloop.run(_with_store(url, _searches))
        with hub(url) as home:
            usage = [
                _timed(partial(_ask, home, f"/api/analytics/usage?group_by={by}"))
                for by in ("day", "model", "peer")
            ]
            live = uvloop.run(_with_store(url, partial(_reach, home), ring=Ring(home)))
    return [
        *(_quick(f"search for {what} in 1,000,000 events", seconds) for what, seconds in found.items()),
        _quick("usage of 1,000,000 events by day, model or peer", max(usage)),
        Figure(
            "an event of another node, from its append to a client's connection, p50 · p99",
            milliseconds(live),
            "p99 <10 ms",
            percentile(live, 0.99) < 0.010,
        ),
    ]


def _quick(what: str, seconds: float) -> Figure:
    return Figure(what, f"{seconds * 1e3:.1f} ms", "≤500 ms", seconds <= 0.5)


async def _fill(store: PostgresStore) -> None:
    now = wall_clock()
    owner = getpass.getuser()
    for number in range(SESSIONS):
        session = Session(f"s_{number}", f"peer{number % 7}", owner, now, now)
        await store.commit(session.id, [], rows=[session_row(session)])
    for first in range(0, TURNS, BATCH):
        await asyncio.gather(*(_turn(store, number, now) for number in range(first, first + BATCH)))


async def _turn(store: PostgresStore, number: int, now: int) -> None:
    rare = "zebra" if number % 10_000 == 7 else "horse"
    payloads: list[Payload] = [
        MessageAccepted(f"m_{number}", "user", f"question {number} about a {rare} in the garden"),
        TurnStarted(f"peer{number % 7}"),
        OutputDelta("an answer of some words "),
        UsageReported(f"provider/model{number % 12}", 100, 20, None, "0.001"),
        TurnCompleted(
            f"m_{number}", f"an answer of some words about word{number % 5_000}", "stop", None, "0.001", 1.0
        ),
    ]
    at = now - (TURNS - number) * 1_000
    await store.commit(f"s_{number % SESSIONS}", [Draft(each, f"t_{number}", at=at) for each in payloads])


async def _searches(store: PostgresStore) -> dict[str, float]:
    """Return the median seconds of searches for words that few, some and all messages have."""
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
    return took


async def _reach(home: Path, store: PostgresStore) -> list[float]:
    """Append events as another node, and return how long each took until a client of the hub had it."""
    stream, took = "s_1", []
    reader, writer = await asyncio.open_unix_connection(str(home / "hub.sock"))
    head = await store.head(stream)
    assert head is not None
    writer.write(
        f"GET /api/v2/sessions/{stream}/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
        f"Last-Event-ID: {head.epoch}:{head.head}\r\n\r\n".encode()
    )
    answer = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in answer.split(b"\r\n")[0], answer
    await asyncio.sleep(1.0)
    for number in range(OTHERS):
        mark = f"mark{number}x"
        began = time.perf_counter()
        await store.commit(stream, [Draft(OutputDelta(mark), "t_other")])
        while mark.encode() not in (line := await reader.readline()):
            assert line, "the hub closed the connection"
        took.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE)
    writer.close()
    return took


def _take_over(url: str) -> Figure:
    """Kill the node that serves, and return how long it takes until another one does."""
    with hub(url) as first, hub(url, first) as second:
        os.kill(int((first / "hub.pid").read_text()), signal.SIGKILL)
        began = time.monotonic()
        while True:
            try:
                _ask(second, "/healthz")
                break
            except OSError:
                assert time.monotonic() - began < TAKE_OVER_SECONDS
                time.sleep(0.05)
    seconds = time.monotonic() - began
    return Figure(
        "another node serves after kill -9 of the one that did", f"{seconds:.1f} s", "≤15 s", seconds <= 15
    )


@contextmanager
def hub(url: str, serving: Path | None = None) -> Iterator[Path]:
    """Start a hub on the database, and yield its state folder when it serves. `serving`: the folder of one
    that does; then this one stands by, with that one's keys."""
    with tempfile.TemporaryDirectory(prefix="aish-bench-") as folder:
        environment = {**clean_environment(folder), **PROFILE, "RHETOR_STORE": url}
        if serving is not None:
            (Path(folder) / "home").mkdir(mode=0o700)
            for name in ("keys.json", "master.key"):
                shutil.copy(serving / name, Path(folder) / "home" / name)
        command = [f"{BIN}/rhetor", "serve", "--port", "0"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert ("stands by" in said) is (serving is not None), said
            time.sleep(1.0)  # it makes its keys when it has started
            try:
                yield Path(folder) / "home"
            finally:
                process.terminate()


def _timed(ask: Callable[[], object]) -> float:
    ask()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        ask()
        times.append(time.perf_counter() - began)
    return median(times)


def _ask(home: Path, path: str) -> object:
    body = fetched(home / "hub.sock", path)
    return json.loads(body) if body.startswith(b"{") else body
