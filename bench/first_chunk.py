"""How long a provider's first chunk takes to a client that reads server-sent events over the Unix socket.

The provider holds its first chunk until the client has its answer's head, and then lets it go: what is
measured is from there to the client's bytes, the commit in between included.
"""

from __future__ import annotations

import asyncio
import time

import uvloop
from tests.provider import ProviderServer, Script

from bench.disk import disk_figure
from bench.load import post
from bench.process import RunningHub, openai_variables, running_hub
from bench.stats import milliseconds, percentile
from bench.table import Figure

CALLS, WARM = 300, 20
BESIDE, PACE = 8, 0.02
MARKER = b"first words"


def run() -> list[Figure]:
    return [disk_figure(), *uvloop.run(_run())]


async def _run() -> list[Figure]:
    async with ProviderServer() as provider:
        with running_hub(openai_variables(provider.url)) as hub:
            await _timed(provider, hub, WARM)
            alone = await _timed(provider, hub, CALLS)
            busy = await _beside_others(provider, hub)
    return [
        *_figures("a provider's first chunk → SSE", alone),
        *_figures(f"… beside {BESIDE} answers of {1 / PACE:.0f} chunks/s", busy),
    ]


def _figures(what: str, took: list[float]) -> list[Figure]:
    middle, worst = percentile(took, 0.5), max(took)
    return [
        Figure(f"{what}, p50 · p99", milliseconds(took), "p50 <10 ms", middle < 0.01),
        Figure(f"{what}, worst of {len(took)}", f"{worst * 1e3:.1f} ms", "<200 ms", worst < 0.2),
    ]


async def _timed(provider: ProviderServer, hub: RunningHub, calls: int) -> list[float]:
    """Seconds, of so many calls one after the other."""
    return [await _first_chunk(provider, hub, f"gate {time.monotonic_ns()}") for _ in range(calls)]


async def _beside_others(provider: ProviderServer, hub: RunningHub) -> list[float]:
    """The same while other answers stream, each to a client of its own."""
    other = Script(chunks=("words ",) * 100_000, delay=PACE)
    provider.script(*[other] * BESIDE)
    async with asyncio.TaskGroup() as tasks:
        others = [tasks.create_task(_read_on(hub), name="reader") for _ in range(BESIDE)]
        await asyncio.sleep(0.5)  # for all of them to have begun
        took = await _timed(provider, hub, CALLS)
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


async def _first_chunk(provider: ProviderServer, hub: RunningHub, gate: str) -> float:
    """Seconds from the provider's letting go to the client's bytes; more comes only after that."""
    provider.script(Script(chunks=(MARKER.decode(), " and more"), hold={0: gate, 1: f"{gate} end"}))
    reader, writer = await _ask(hub)
    await reader.readuntil(b"\r\n\r\n")
    await provider.gate(gate).reached()
    began = time.perf_counter()
    provider.gate(gate).release()
    await reader.readuntil(MARKER)
    took = time.perf_counter() - began
    provider.gate(f"{gate} end").release()
    await reader.read()
    writer.close()
    return took


async def _ask(hub: RunningHub) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(hub.socket)
    writer.write(post("/api/v2/ai/apollo/stream", {"content": "go"}, close=True).encode())
    return reader, writer
