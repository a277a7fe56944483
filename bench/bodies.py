"""How long another client waits while one client sends bodies of 8 MiB, full of small objects.

The sender is a process of its own and sends ten such bodies in a row. The other client sends a small request
every 2 ms on its own connection. Its latency includes the time during which the event loop is busy with a
large body.
"""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop
from websockets.sync.client import connect

from bench.process import ROOT, RunningHub, running_hub
from bench.stats import milliseconds, percentile
from bench.table import Figure

BODY_BYTES = (8 << 20) - 4096
TIMES = 10
BETWEEN = 0.002
TARGET = 0.05
Sender = Callable[[int, str], None]


def body(head: str, unit: str, tail: str) -> str:
    return head + ",".join([unit] * ((BODY_BYTES - len(head)) // (len(unit) + 1))) + tail


def _posts(path: str, content: str) -> Sender:
    def send(port: int, token: str) -> None:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        for _ in range(TIMES):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", path, content.encode(), headers)
            connection.getresponse().read()
            connection.close()

    return send


def _frames(path: str, content: str) -> Sender:
    def send(port: int, token: str) -> None:
        headers = {"authorization": f"Bearer {token}"}
        url = f"ws://127.0.0.1:{port}{path}"
        for _ in range(TIMES):
            with connect(url, additional_headers=headers, compression=None, max_size=None) as socket:
                socket.send(content)
                socket.recv(timeout=60)

    return send


MESSAGE, SESSIONS = "/api/v2/ai/apollo/message", "/api/v2/sessions"
TOOL = '{"name":"a","parameters":{"a":[' + ",".join(["{}"] * 20_000) + "]}}"
CALL = '{"jsonrpc":"2.0","id":1,"method":'
SENDERS = {
    "REST, unknown members": _posts(MESSAGE, body('{"content":"hi","x":[', '{"a":1}', "]}")),
    "REST, a member of the wrong type": _posts(MESSAGE, body('{"content":[', '{"a":1}', "]}")),
    "REST, any JSON object": _posts(
        SESSIONS, body('{"specialist_id":"apollo","metadata":{"x":[', '{"a":1}', "]}}")
    ),
    "REST, tools": _posts(SESSIONS, body('{"specialist_id":"apollo","tools":[', TOOL, "]}")),
    "REST, a plan of many steps": _posts("/api/v2/plans", body('{"steps":[', '{"id":"a","ai":"b"}', "]}")),
    "REST, bulk": _posts(
        "/api/v2/bulk", body('{"operations":[{"id":"a","ai":"b","depends_on":[', '"a"', "]}]}")
    ),
    "WebSocket, unknown members": _frames(
        "/ws/ai/apollo", body(CALL + '"chat","params":{"x":[', '{"a":1}', "]}}")
    ),
    "WebSocket, any JSON value": _frames("/ws", body(CALL + '"echo","params":[', '{"a":1}', "]}")),
    "WebSocket, a batch": _frames("/ws", body("[", CALL + '"echo"}', "]")),
    "WebSocket, a named socket": _frames("/ws/socket/rhetor", body('{"type":"write","x":[', '{"a":1}', "]}")),
}


def run() -> list[Figure]:
    return uvloop.run(_run())


async def _run() -> list[Figure]:
    with running_hub() as hub:
        alone = await _asking(hub, asyncio.sleep(2))
        figures = [Figure("a small request alone, p50 · p99", milliseconds(alone))]
        for name in SENDERS:
            waits = await _asking(hub, asyncio.to_thread(_send, name, hub))
            worst = percentile(waits, 0.99)
            what = f"… during {TIMES} × 8 MiB: {name}, p50 · p99 · worst"
            measured = f"{milliseconds(waits)} · {max(waits) * 1e3:.0f} ms"
            figures.append(Figure(what, measured, "p99 <50 ms", worst < TARGET))
    return figures


def _send(name: str, hub: RunningHub) -> None:
    command = [sys.executable, "-m", "bench.bodies", name, str(hub.port), hub.token]
    subprocess.run(command, cwd=ROOT, check=True)


async def _asking(hub: RunningHub, meanwhile: Coroutine[Any, Any, None]) -> list[float]:
    """Send small requests until `meanwhile` is done. Return how long each took, in seconds."""
    work = asyncio.create_task(meanwhile)
    reader, writer = await asyncio.open_unix_connection(hub.socket)
    waits = []
    while not work.done():
        began = time.perf_counter()
        writer.write(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await reader.readuntil(b'{"status":"ready"}')
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(BETWEEN)
    writer.close()
    await work
    return waits


if __name__ == "__main__":  # the sender
    SENDERS[sys.argv[1]](int(sys.argv[2]), sys.argv[3])
