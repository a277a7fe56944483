"""A process that generates a load of HTTP calls cheaply: raw bytes over connections that are kept alive.

python -m bench.load < plan > timings
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import cast

import msgspec
import uvloop

from bench.process import ROOT


class Plan(msgspec.Struct, frozen=True):
    """`at_once` connections send `request` `calls` times in total, to the Unix socket at the path `unix`, or
    else to `port` on loopback. The first chunk of an answer contains `marker`, and nothing before it does."""

    request: str
    marker: str
    calls: int
    at_once: int = 1
    unix: str | None = None
    port: int = 0


class Timings(msgspec.Struct):
    """Durations in seconds. `elapsed`: of the whole load; `first`: of each call until the marker; `whole`: of
    each call until the end of its answer."""

    elapsed: float = 0.0
    first: list[float] = []
    whole: list[float] = []


def post(
    path: str, body: dict[str, object], token: str = "", host: str = "localhost", *, close: bool = False
) -> str:
    """Return the text of a POST request. `close`: the server closes the connection after the answer."""
    content = msgspec.json.encode(body).decode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {token}\r\n" if token else ""
    head += "Connection: close\r\n" if close else ""
    return f"{head}Content-Length: {len(content)}\r\n\r\n{content}"


def put_load(plan: Plan) -> Timings:
    """Run a plan in a process of its own, and return its timings.

    Raises:
        RuntimeError: a call failed.
    """
    command = [sys.executable, "-m", "bench.load"]
    done = subprocess.run(
        command, cwd=ROOT, input=msgspec.json.encode(plan), capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return msgspec.json.decode(done.stdout, type=Timings)


class _Caller(asyncio.Protocol):
    """One connection. It makes one call after the other, until no calls are left."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._answer = b""
        self._began = 0.0
        self._first = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._call()

    def connection_lost(self, error: Exception | None) -> None:
        self._load.leave(None if not self._began else RuntimeError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._first and self._load.marker in self._answer:
            self._first = time.perf_counter() - self._began
        if _is_whole(self._answer):
            if not self._first:
                self._load.leave(RuntimeError(self._answer[:2000].decode()))
            self._load.timings.first.append(self._first)
            self._load.timings.whole.append(time.perf_counter() - self._began)
            self._call()

    def _call(self) -> None:
        self._answer, self._first, self._began = b"", 0.0, 0.0
        if self._load.take():
            self._began = time.perf_counter()
            self._transport.write(self._load.request)
        else:
            self._transport.close()


class _Load:
    """The state that all connections share."""

    def __init__(self, plan: Plan) -> None:
        self.request, self.marker = plan.request.encode(), plan.marker.encode()
        self.timings = Timings()
        self._left = plan.calls
        self._open = plan.at_once
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def leave(self, error: Exception | None) -> None:
        self._open -= 1
        if self._over.done():
            return
        if error is not None:
            self._over.set_exception(error)
        elif not self._open:
            self._over.set_result(None)

    async def over(self) -> None:
        await self._over


def _is_whole(answer: bytes) -> bool:
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    lines = head.lower().split(b"\r\n")
    if b"transfer-encoding: chunked" in lines:
        return body.endswith(b"\r\n0\r\n\r\n") or body == b"0\r\n\r\n"
    length = next((line for line in lines if line.startswith(b"content-length:")), b":0")
    return len(body) >= int(length.split(b":")[1])


async def _run(plan: Plan) -> Timings:
    loop = asyncio.get_running_loop()
    load = _Load(plan)
    started = time.perf_counter()
    for _ in range(plan.at_once):
        if plan.unix is not None:
            await loop.create_unix_connection(lambda: _Caller(load), plan.unix)
        else:
            await loop.create_connection(lambda: _Caller(load), "127.0.0.1", plan.port)
    await load.over()
    load.timings.elapsed = time.perf_counter() - started
    return load.timings


if __name__ == "__main__":
    found = uvloop.run(_run(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)))
    sys.stdout.buffer.write(msgspec.json.encode(found))
