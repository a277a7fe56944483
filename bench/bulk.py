"""A bulk request of ten messages over REST, in parallel and sequentially. Each answer takes 0.2 s."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from tests.provider.process import ProviderProcess
from tests.provider.script import Script

from bench.process import openai_variables, running_hub
from bench.table import Figure

OPERATIONS, DELAY = 10, 0.2


def run() -> list[Figure]:
    with ProviderProcess("--port", "0") as provider, running_hub(openai_variables(provider.url)) as hub:
        provider.script(default=Script(chunks=("fine",), first_delay=DELAY))
        _bulk(hub.socket, {"max_parallel": 10})
        parallel = min(_bulk(hub.socket, {"max_parallel": 10}) for _ in range(5))
        sequential = _bulk(hub.socket, {"execution": "sequential"})
    limit = 1.1 * DELAY + 0.005
    return [
        Figure(
            f"{OPERATIONS} messages of {DELAY} s each, in parallel",
            f"{parallel:.3f} s",
            "≤0.25 s",
            parallel <= 0.25,
        ),
        Figure(
            f"… with the stricter target of 1.1 × {DELAY} s + 5 ms",
            f"{parallel:.3f} s",
            f"≤{limit:.3f} s",
            parallel <= limit,
        ),
        Figure(
            "… compared with the same messages sequentially",
            f"{parallel / sequential:.2f}×",
            "≤0.15×",
            parallel / sequential <= 0.15,
        ),
    ]


def _bulk(path: str, options: dict[str, Any]) -> float:
    """Send one request. Return the seconds until its whole response has arrived."""
    operations = [{"id": f"o{n}", "ai": "apollo", "message": "go"} for n in range(OPERATIONS)]
    body = json.dumps({"operations": operations, **options}).encode()
    head = "POST /api/v2/bulk HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    started = time.perf_counter()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(head.encode() + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.count(b'"success"') == OPERATIONS, answer
    return time.perf_counter() - started
