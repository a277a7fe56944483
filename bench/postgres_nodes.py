"""Several hubs on one database: how soon an event of one reaches a client of another, and how soon a node
that was killed is taken over. Parts of `bench.postgres`."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvloop
from tests.postgres.cluster import Cluster

from bench.process import fetched, running_hub
from bench.stats import milliseconds, percentile
from bench.table import Figure
from rhetor.domain.event import OutputDelta
from rhetor.hub.core.ids import wall_clock
from rhetor.sealing.ring import Ring
from rhetor.store.base import Draft
from rhetor.store.postgres.store import PostgresStore

OTHERS = 500  # events of another node
PAUSE = 0.01  # seconds between them
TAKE_OVER_SECONDS = 60.0
KEYS_SECONDS = 1.0  # after its start, in which a hub makes its keys


def run(cluster: Cluster) -> list[Figure]:
    with cluster.database() as url:
        return [_take_over(url)]


def reach(url: str, home: Path, stream: str) -> Figure:
    """Append events as another node, in a process of its own, to a session that a client follows."""
    path = f"/api/v2/sessions/{stream}/events"
    took: list[float] = []
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool, _connected(home) as connection:
        head = json.loads(fetched(home / "hub.sock", f"/api/v2/sessions/{stream}"))["cursor"]
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
            f"Last-Event-ID: {head}\r\n\r\n".encode()
        )
        lines = connection.makefile("rb")
        assert b" 200 " in lines.readline()
        appending = pool.submit(_append, url, str(home), stream)
        while len(took) < OTHERS:
            line = lines.readline()
            assert line, "the hub closed the connection"
            if b'"sent at ' in line:
                began = int(line.partition(b'"sent at ')[2].partition(b'"')[0])
                took.append((time.monotonic_ns() - began) / 1e9)
        appending.result()
    return Figure(
        "an event of another node, from its append to a client's connection, p50 · p99",
        milliseconds(took),
        "p99 ≤10 ms",
        percentile(took, 0.99) <= 0.010,
    )


def _append(url: str, home: str, stream: str) -> None:
    """Append events that say when they were sent, by the clock that all processes of the machine share."""
    uvloop.run(_sent(url, Path(home), stream))


async def _sent(url: str, home: Path, stream: str) -> None:
    store = await PostgresStore.open(url, clock=wall_clock, node="bench", ring=Ring(home))
    await store.commit(stream, [Draft(OutputDelta("the first one"), "t_other")])
    for _ in range(OTHERS):
        await asyncio.sleep(PAUSE)
        await store.commit(stream, [Draft(OutputDelta(f"sent at {time.monotonic_ns()}"), "t_other")])
    await store.aclose()


def _take_over(url: str) -> Figure:
    """Kill a node, and return how long it takes until another one changes a session of it."""
    with ExitStack() as stack:
        first = stack.enter_context(running_hub({"RHETOR_STORE": url}))
        time.sleep(KEYS_SECONDS)
        second = stack.enter_context(running_hub({"RHETOR_STORE": url}, first)).home
        made = _asked(first.home, "POST", "/api/v2/sessions", {"specialist_id": "apollo"})
        session = json.loads(made)["id"]
        os.kill(first.pid, signal.SIGKILL)
        began = time.monotonic()
        while True:
            try:
                _asked(second, "POST", f"/api/v2/sessions/{session}/save", {"name": "kept"})
                break
            except OSError:
                assert time.monotonic() - began < TAKE_OVER_SECONDS
                time.sleep(0.05)
    seconds = time.monotonic() - began
    what = "after kill -9 of a node, another one changes a session that was its own"
    return Figure(what, f"{seconds:.1f} s", "≤15 s", seconds <= 15)


@contextmanager
def _connected(home: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(home / "hub.sock"))
        yield connection


def _asked(home: Path, method: str, path: str, body: object = None) -> bytes:
    """Return the body of the answer, which must be a success.

    Raises:
        OSError: there is no answer, or it is an error.
    """
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    answer = b""
    with _connected(home) as connection:
        connection.settimeout(TAKE_OVER_SECONDS)
        connection.sendall(head.encode() + data)
        while piece := connection.recv(1 << 20):
            answer += piece
    status, _, rest = answer.partition(b"\r\n")
    if b" 20" not in status:
        raise OSError(answer[:500])
    return rest.partition(b"\r\n\r\n")[2]
