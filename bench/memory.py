"""Resident memory of the hub: without sessions, and per session that waits for its next message.

Sessions of the interactive loop share connections, up to 100 sessions per connection.
"""

from __future__ import annotations

import uvloop

from bench.load import Plan, post, put_load
from bench.process import RunningHub, resident, running_hub
from bench.table import Figure
from bench.websocket_client import JsonRpc

STEPS = (10, 100, 1_000)
WARM, AT_ONCE = 30, 5
ON_A_CONNECTION = 100
LIMIT_KB = 30.0


def run() -> list[Figure]:
    with running_hub() as hub:
        idle = resident(hub.pid)
        _open(hub, WARM)  # the first sessions load code and fill caches, which later ones share
        before, opened = resident(hub.pid), 0
        each: dict[int, float] = {}
        for step in STEPS:
            _open(hub, step - opened)
            opened = step
            each[step] = (resident(hub.pid) - before) / step
    first = Figure("the hub without sessions", f"{idle / 1024:.0f} MB", "≤52 MB", idle / 1024 <= 52)
    return [
        first,
        *(_figure("per waiting session", step, kilobytes) for step, kilobytes in each.items()),
        *(_figure("… of the interactive loop", step, kb) for step, kb in uvloop.run(_in_the_loop()).items()),
    ]


async def _in_the_loop() -> dict[int, float]:
    """Return the kilobytes per session of the interactive loop, by the number of sessions."""
    with running_hub() as hub:
        sockets = [await _connect(hub, WARM)]
        before, opened = resident(hub.pid), 0
        each: dict[int, float] = {}
        for step in STEPS:
            while opened < step:
                count = min(ON_A_CONNECTION, step - opened)
                sockets.append(await _connect(hub, count))
                opened += count
            each[step] = (resident(hub.pid) - before) / step
        for socket in sockets:
            await socket.aclose()
    return each


async def _connect(hub: RunningHub, count: int) -> JsonRpc:
    """Open a connection, and start `count` sessions on it."""
    socket = await JsonRpc.connect(hub.socket, "/ws")
    for _ in range(count):
        await socket.ask("startSession", userId="bench", sessionParams={"peer": "apollo"})
    return socket


def _figure(name: str, sessions: int, each: float) -> Figure:
    what = f"{name}, {sessions:,} sessions"
    if sessions < 100:  # with so few sessions, a single page of memory changes the result
        return Figure(what, f"{each:.1f} KB")
    return Figure(what, f"{each:.1f} KB", f"≤{LIMIT_KB:.0f} KB", each <= LIMIT_KB)


def _open(hub: RunningHub, count: int) -> None:
    request = post("/api/v2/sessions", {"specialist_id": "apollo"})
    put_load(Plan(request, "created_at", count, AT_ONCE, unix=hub.socket))
