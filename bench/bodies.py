"""How long another client waits while one client sends bodies of 8 MiB, full of small objects.

The sender is a separate process, and sends ten such bodies in a row. The other client sends a small request
every 2 ms on its own connection. Its latency includes the time during which the event loop is busy with a
large body. The hub rejects a body with too many values; the bodies "up to the limit" have as many as it
accepts, and blanks.
"""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import uvloop
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from bench.process import ROOT, RunningHub, running_hub
from bench.stats import milliseconds, percentile
from bench.table import Figure
from rhetor.codec.incoming_json import MOST_VALUES
from rhetor.transports.mcp.caller import MOST_VALUES as MCP_VALUES

BODY_BYTES = (8 << 20) - 4096
TIMES = 10
BETWEEN = 0.002
TARGET = 0.05
Sender = Callable[[int, str], None]


def body(head: str, unit: str, tail: str, most: int = 1 << 30) -> str:
    units = min((BODY_BYTES - len(head) - len(tail)) // (len(unit) + 1), most)
    return (head + ",".join([unit] * units) + tail).ljust(BODY_BYTES)


def _posts(path: str, content: str) -> Sender:
    def send(port: int, token: str) -> None:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        for _ in range(TIMES):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", path, content.encode(), headers)
            connection.getresponse().read()
            connection.close()

    return send


def _frames(path: str, *contents: str) -> Sender:
    def send(port: int, token: str) -> None:
        headers = {"authorization": f"Bearer {token}"}
        url = f"ws://127.0.0.1:{port}{path}"
        for _ in range(TIMES):
            with (
                suppress(ConnectionClosed),  # the message was rejected
                connect(url, additional_headers=headers, compression=None, max_size=None) as socket,
            ):
                for each in contents:
                    socket.send(each)
                    socket.recv(timeout=60)

    return send


def _small_frames(port: int, token: str) -> None:
    headers = {"authorization": f"Bearer {token}"}
    frames = Frame(Opcode.PING, b"").serialize(mask=True) * 50_000
    for _ in range(TIMES):
        with connect(f"ws://127.0.0.1:{port}/ws", additional_headers=headers, compression=None) as socket:
            socket.socket.sendall(frames)
            socket.send(CALL + '"echo"}')
            socket.recv(timeout=60)


MESSAGE, SESSIONS = "/api/v2/ai/apollo/message", "/api/v2/sessions"
TOOL = '{"name":"a","parameters":{"a":[' + ",".join(["{}"] * 20_000) + "]}}"
CALL = '{"jsonrpc":"2.0","id":1,"method":'
CLIENT = '{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}'
TOOL_CALL = CALL + '"tools/call","params":{"name":"list_peers","arguments":{"x":['
EVENT = '421["send",{"session_id":"s","content":"hi","x":['
MOST, MOST_MCP = MOST_VALUES // 2 - 100, MCP_VALUES // 2 - 100  # objects with one member
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
    "REST, up to the limit": _posts(MESSAGE, body('{"content":"hi","x":[', '{"a":1}', "]}", MOST)),
    "WebSocket, up to the limit": _frames("/ws", body(CALL + '"echo","params":[', '{"a":1}', "]}", MOST)),
    "WebSocket, 50,000 small frames": _small_frames,
    "Socket.IO": _frames("/socket.io/?EIO=4&transport=websocket", "40", body(EVENT, '{"a":1}', "]}]")),
    "Socket.IO, up to the limit": _frames(
        "/socket.io/?EIO=4&transport=websocket", "40", body(EVENT, '{"a":1}', "]}]", MOST)
    ),
    "MCP, 3 MiB": _posts("/mcp", body(TOOL_CALL, '{"a":1}', "]}}}")[: 3 << 20]),
    "MCP over a WebSocket, up to the limit": _frames(
        "/ws/mcp",
        f'{CALL}"initialize","params":{CLIENT}}}',
        body(TOOL_CALL, '{"a":1}', "]}}}", MOST_MCP).rstrip(),
    ),
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
