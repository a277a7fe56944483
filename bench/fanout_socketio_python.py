"""A broadcast server with python-socketio's `emit`, for comparison with bench/fanout_hub.py.

It runs in an environment of its own, with the length of an event's text as its argument. It prints its port,
and reads from stdin how many events to send at once. It stores nothing.
"""

# mypy: ignore-errors
from __future__ import annotations

import asyncio
import os
import socket
import sys
import time

import uvicorn
import uvloop

import socketio

NEVER = 3600  # seconds; the followers do not answer pings
STDIN = 0


async def _serve(text: str) -> None:
    server = socketio.AsyncServer(async_mode="asgi", ping_interval=NEVER, ping_timeout=NEVER)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    options = {"log_level": "warning", "ws_per_message_deflate": False, "ws_ping_interval": None}
    serving = uvicorn.Server(uvicorn.Config(socketio.ASGIApp(server), **options))
    loop, tasks = asyncio.get_running_loop(), set()

    async def emit(count: int) -> None:
        for _ in range(count):
            event = {"type": "output.delta", "data": {"text": f"|{time.perf_counter_ns():020d}|{text}"}}
            await server.emit("event", event)

    def told() -> None:
        for line in os.read(STDIN, 4096).splitlines():
            tasks.add(loop.create_task(emit(int(line))))

    loop.add_reader(STDIN, told)
    loop.call_later(1.0, lambda: print(listener.getsockname()[1], flush=True))
    await serving.serve([listener])


if __name__ == "__main__":
    uvloop.run(_serve("x" * int(sys.argv[1])))
