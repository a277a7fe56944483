"""How long the first chunk of an answer takes from the provider to a client, for each API.

The provider holds back its first chunk until the client knows that its message was accepted. The measurement
starts when the provider sends the chunk and ends when the client receives its bytes over the Unix socket. It
includes the commit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import uvloop
from tests.provider import ProviderServer, Script

from bench.disk import disk_figure
from bench.load import post
from bench.process import RunningHub, openai_variables, running_hub
from bench.stats import milliseconds, percentile
from bench.table import Figure
from bench.websocket_client import JsonRpc

CALLS, WARM = 300, 20
BESIDE, PACE = 8, 0.02
MARKER = b"first words"
Reading = Callable[[], Awaitable[None]]


def run() -> list[Figure]:
    return [disk_figure(), *uvloop.run(_run())]


async def _run() -> list[Figure]:
    figures: list[Figure] = []
    async with ProviderServer() as provider:
        with running_hub(openai_variables(provider.url)) as hub:
            for name, api in APIS.items():
                await _timed(provider, hub, api, WARM)
                alone = await _timed(provider, hub, api, CALLS)
                figures += _figures(f"first chunk → {name}", alone)
            for name, api in APIS.items():
                busy = await _beside_others(provider, hub, api)
                figures += _figures(f"… during {BESIDE} answers of {1 / PACE:.0f} chunks/s, {name}", busy)
    return figures


def _figures(what: str, took: list[float]) -> list[Figure]:
    middle, worst = percentile(took, 0.5), max(took)
    return [
        Figure(f"{what}, p50 · p99", milliseconds(took), "p50 <10 ms", middle < 0.01),
        Figure(f"{what}, worst of {len(took)}", f"{worst * 1e3:.1f} ms", "<200 ms", worst < 0.2),
    ]


async def _timed(provider: ProviderServer, hub: RunningHub, api: Api, calls: int) -> list[float]:
    """Send messages one after the other. Return how long each first chunk took, in seconds."""
    return [await _first_chunk(provider, hub, api, f"gate {time.monotonic_ns()}") for _ in range(calls)]


async def _beside_others(provider: ProviderServer, hub: RunningHub, api: Api) -> list[float]:
    """Measure as `_timed` while other answers are streamed, each to a client of its own."""
    other = Script(chunks=("words ",) * 100_000, delay=PACE)
    provider.script(*[other] * BESIDE)
    async with asyncio.TaskGroup() as tasks:
        others = [tasks.create_task(_read_on(hub), name="reader") for _ in range(BESIDE)]
        await asyncio.sleep(0.5)  # until all of them have begun
        took = await _timed(provider, hub, api, CALLS)
        for task in others:
            task.cancel()
    return took


async def _read_on(hub: RunningHub) -> None:
    reader, writer = await _ask(hub)
    try:
        while await reader.read(1 << 16):
            pass
    finally:
        writer.close()


async def _first_chunk(provider: ProviderServer, hub: RunningHub, api: Api, gate: str) -> float:
    """Return the seconds from the provider's sending of the first chunk until the client has its bytes.

    The provider sends the rest of the answer only afterwards.
    """
    provider.script(Script(chunks=(MARKER.decode(), " and more"), hold={0: gate, 1: f"{gate} end"}))
    first, end = await api(hub)
    await provider.gate(gate).reached()
    began = time.perf_counter()
    provider.gate(gate).release()
    await first()
    took = time.perf_counter() - began
    provider.gate(f"{gate} end").release()
    await end()
    return took


async def _ask(hub: RunningHub) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(hub.socket)
    writer.write(post("/api/v2/ai/apollo/stream", {"content": "go"}, close=True).encode())
    return reader, writer


Api = Callable[[RunningHub], Awaitable[tuple[Reading, Reading]]]


async def _sse(hub: RunningHub) -> tuple[Reading, Reading]:
    """Send a message, and wait until it is accepted. Return two functions: one reads up to the first chunk,
    the other one reads the rest."""
    reader, writer = await _ask(hub)
    await reader.readuntil(b"\r\n\r\n")

    async def first() -> None:
        await reader.readuntil(MARKER)

    async def end() -> None:
        await reader.read()
        writer.close()

    return first, end


async def _peer(hub: RunningHub) -> tuple[Reading, Reading]:
    socket = await JsonRpc.connect(hub.socket, "/ws/ai/apollo")
    await socket.ask("stream", message="go")
    return _reading(socket, b'"stream.complete"')


async def _loop(hub: RunningHub) -> tuple[Reading, Reading]:
    socket = await JsonRpc.connect(hub.socket, "/ws")
    session = (await socket.ask("startSession", userId="bench", sessionParams={"peer": "apollo"}))[
        "sessionId"
    ]
    await socket.ask("sendUserMessage", sessionId=session, message="go")
    return _reading(socket, b'"isFinal":true')


def _reading(socket: JsonRpc, last: bytes) -> tuple[Reading, Reading]:
    async def first() -> None:
        await socket.until(MARKER)

    async def end() -> None:
        await socket.until(last)
        await socket.aclose()

    return first, end


APIS: dict[str, Api] = {"SSE": _sse, "/ws/ai": _peer, "/ws": _loop}
