"""What encryption at rest costs: the same work with and without it, alternately, in one run.

The CPU time of a chunk is that of the hub, from the provider, which sends 1,000 chunks per second, to one
client, including the log. Each figure is the median over the rounds; the ratio is the median of the rounds'
ratios.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TypeVar

import uvloop
from tests.provider.process import ProviderProcess
from tests.provider.script import Script

from bench.append import CHUNK, replayed, saturated
from bench.chunk import ask
from bench.process import cpu, openai_variables, running_hub
from bench.table import Figure
from rhetor.domain.event import MessageAccepted
from rhetor.sealing.envelope import cipher_of, seal, unseal
from rhetor.sealing.ring import Ring
from rhetor.serving import collect_seldom
from rhetor.store.base import Draft
from rhetor.store.encoding import encode
from rhetor.store.sqlite.store import SqliteStore

CHUNKS, ROUNDS, STORE_ROUNDS = 2_000, 12, 5
MESSAGES, SEALS = 20_000, 100_000
T = TypeVar("T")


def run() -> list[Figure]:
    figures = [_chunks(), _value()]
    collect_seldom()
    with tempfile.TemporaryDirectory(prefix=".encryption-", dir=Path.cwd()) as place:
        figures.append(_beside("appends, 500 callers", saturated, place))
        figures.append(_beside("reading the log from disk, page by page", replayed, place))
        figures += uvloop.run(_converted(Path(place)))
    return figures


def _chunks() -> Figure:
    with ExitStack() as stack:
        provider = stack.enter_context(ProviderProcess("--port", "0"))
        provider.script(default=Script(chunks=("words ",) * CHUNKS, delay=0.001))
        variables = openai_variables(provider.url)
        hubs = [
            stack.enter_context(running_hub({**variables, "RHETOR_ENCRYPTION__AT_REST": at_rest}))
            for at_rest in ("false", "true")
        ]
        for hub in hubs:
            ask(hub)
        rounds = []
        for number in range(ROUNDS):
            spent = [0.0, 0.0]
            for which in (0, 1) if number % 2 else (1, 0):
                before = cpu(hubs[which].pid)
                ask(hubs[which])
                spent[which] = (cpu(hubs[which].pid) - before) / CHUNKS * 1e6
            rounds.append(spent)
    plain, sealed = (median(column) for column in zip(*rounds, strict=True))
    more = median(sealed / plain for plain, sealed in rounds) - 1
    shown = f"{sealed:.0f} µs; {plain:.0f} without ({more:+.1%})"
    return Figure("CPU time per chunk, provider → one client", shown, "≤5 % more", more <= 0.05)


def _value() -> Figure:
    cipher, content, about = (
        cipher_of(bytes(32)),
        encode(CHUNK.payload),
        b"events.data\0" + b"0" * 32 + b"\0001",
    )
    begun = time.process_time()
    for _ in range(SEALS):
        sealed = seal(cipher, b"abcd", content, about)
    middle = time.process_time()
    for _ in range(SEALS):
        unseal(cipher, sealed, about)
    sealing, opening = (
        (end - start) / SEALS * 1e6 for start, end in ((begun, middle), (middle, time.process_time()))
    )
    return Figure(f"sealing · opening a value of {len(content)} bytes", f"{sealing:.1f} · {opening:.1f} µs")


def _beside(what: str, measure: Callable[[SqliteStore], Awaitable[float]], place: str) -> Figure:
    rounds = []
    for number in range(STORE_ROUNDS):
        found = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):
            found[which] = uvloop.run(_with_store(place, measure, at_rest=bool(which)))
        rounds.append(found)
    plain, sealed = (median(column) for column in zip(*rounds, strict=True))
    ratio = median(sealed / plain for plain, sealed in rounds)
    return Figure(what, f"{sealed:,.0f} events/s; {plain:,.0f} without ({ratio:.2f}×)")


async def _with_store(place: str, measure: Callable[[SqliteStore], Awaitable[T]], *, at_rest: bool) -> T:
    with tempfile.TemporaryDirectory(dir=place) as folder:
        store = await _opened(Path(folder), at_rest=at_rest)
        try:
            return await measure(store)
        finally:
            await store.aclose()


async def _opened(folder: Path, *, at_rest: bool) -> SqliteStore:
    ring = Ring(folder)
    return await SqliteStore.open(folder / "db", clock=_now, ring=ring, at_rest=at_rest)


def _now() -> int:
    return time.time_ns() // 1_000_000


async def _converted(folder: Path) -> list[Figure]:
    """Measure the start after encryption was switched on, a rotation, and the first search."""
    store = await _opened(folder, at_rest=False)
    for first in range(0, MESSAGES, 500):
        said = [
            MessageAccepted("m", "user", f"message {n} about nothing much") for n in range(first, first + 500)
        ]
        await store.commit("s", [Draft(message, f"t{n}") for n, message in enumerate(said, first)])
    await store.aclose()
    begun = time.perf_counter()
    store = await _opened(folder, at_rest=True)
    started = time.perf_counter() - begun
    seconds = []
    for _ in range(2):
        begun = time.perf_counter()
        await store.search("message 4711")
        seconds.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    ring = Ring(folder)
    await asyncio.to_thread(ring.rotate)
    retired, step = frozenset(ring.retired()), await store.renew(None, frozenset(ring.retired()))
    while step.place is not None:
        step = await store.renew(step.place, retired)
    renewed = time.perf_counter() - begun
    await store.aclose()
    values = 2 * MESSAGES  # the events, and the messages in them
    return [
        Figure(f"first start after it was switched on, {values:,} values", f"{started:.1f} s"),
        Figure(f"sealing {values:,} values again after a rotation", f"{renewed:.1f} s"),
        Figure(f"first · second search in {MESSAGES:,} messages", f"{seconds[0]:.2f} · {seconds[1]:.3f} s"),
    ]
