"""How fast a client receives a long session over server-sent events, from a hub that has it only on disk."""

from __future__ import annotations

import asyncio
import getpass
import socket
import tempfile
import time
from pathlib import Path

from bench.process import running_hub
from bench.table import Figure
from rhetor.domain.event import OutputDelta
from rhetor.domain.session import Session
from rhetor.hub.catalog.sessions import session_row
from rhetor.hub.core.ids import wall_clock
from rhetor.store.base import Draft
from rhetor.store.sqlite.store import SqliteStore

EVENTS = 100_000


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="aish-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        asyncio.run(_fill(home / "hub.db"))
        with running_hub(folder=folder) as hub:
            rate = max(_replay(hub.socket) for _ in range(3))
    return [Figure("100,000 stored events over SSE", f"{rate:,.0f}/s", "≥300,000/s", rate >= 300_000)]


async def _fill(path: Path) -> None:
    store = await SqliteStore.open(path, clock=wall_clock)
    now = wall_clock()
    session = Session("s_bench", "apollo", getpass.getuser(), now, now)
    await store.commit("s_bench", [], rows=[session_row(session)])
    for _ in range(EVENTS // 500):
        await store.commit("s_bench", [Draft(OutputDelta("some words "), "t_1")] * 500)
    await store.aclose()


def _replay(path: str) -> float:
    """Return the events per second, from sending the request until the client has the last event."""
    head = (
        "GET /api/v2/sessions/s_bench/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    )
    last, tail = f'"seq":{EVENTS},'.encode(), b""
    started = time.perf_counter()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(head.encode())
        while last not in tail:
            tail = tail[-1000:] + connection.recv(1 << 20)
    return EVENTS / (time.perf_counter() - started)
