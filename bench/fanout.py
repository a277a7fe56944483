"""Events to many clients of one session, including the log, compared with a broadcast with Node's `ws`.

An event is a frame of 350 bytes. Node's server stores nothing and writes each event separately; the hub
writes all new events of a client at once. The benchmark alternates between the servers. The clients only read
the timestamps of the events. A message is one event to one client.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack

from bench.disk import disk_figure
from bench.fanout_sides import NODE, SOCKET, SSE, Side, node_side, our_side
from bench.peers import WS, Unavailable
from bench.process import cpu
from bench.stats import milliseconds, percentile
from bench.table import Figure

ROUNDS = 3
BURST = 1_000
# by number of clients: single events in a round, seconds between two of them, and the target for p99 in ms
SIZES = {100: (400, 0.008, 5.0), 1_000: (80, 0.05, 40.0)}
SINGLE_RATIO, BURST_RATIO = 1.6, 0.5
CONNECTION_KB = 25
RATE, RATE_SECONDS, RATE_LIMIT = 1_500, 5, 10.0
STALL_RATE, STALL_SECONDS, STALL_RATIO = 500, 4, 1.5


def run() -> list[Figure]:
    figures = [disk_figure(), *(figure for clients in SIZES for figure in _sized(clients))]
    return [*figures, *_sustained(), *_stalled()]


def _sized(clients: int) -> list[Figure]:
    skipped = []
    with ExitStack() as stack:
        sides = {name: stack.enter_context(our_side(name, clients)) for name in (SOCKET, SSE)}
        try:
            sides[NODE] = stack.enter_context(node_side(clients))
        except Unavailable as why:
            skipped.append(why.figure(f"{NODE}, {WS}"))
        for _ in range(ROUNDS):
            for side in sides.values():
                one_by_one(side, clients)
                burst(side, clients)
    return [*skipped, *_figures(clients, sides)]


def one_by_one(side: Side, clients: int) -> None:
    events, pause, _ = SIZES[clients]
    before = cpu(side.server.pid)
    side.prepare(events)
    for _ in range(events):
        side.send(1)
        time.sleep(pause)
    side.latencies += side.heard().latencies
    side.single_us.append((cpu(side.server.pid) - before) / (events * clients) * 1e6)


def burst(side: Side, clients: int) -> None:
    before = cpu(side.server.pid)
    side.prepare(BURST)
    side.send(BURST)
    messages = BURST * clients
    side.burst_rate.append(messages / side.heard().elapsed)
    side.burst_us.append((cpu(side.server.pid) - before) / messages * 1e6)


def _figures(clients: int, sides: Mapping[str, Side]) -> list[Figure]:
    one, burst = f"one event to {clients:,}", f"{BURST:,} events at once to {clients:,}"
    single = {name: side.single_us for name, side in sides.items()}
    at_once = {name: side.burst_us for name, side in sides.items()}
    return [
        *(_latency(one, name, side, SIZES[clients][2]) for name, side in sides.items()),
        *_cpu(one, single, SINGLE_RATIO),
        *_cpu(burst, at_once, BURST_RATIO),
        *(Figure(f"{burst}, {name}", f"{max(s.burst_rate):,.0f} messages/s") for name, s in sides.items()),
        *(_memory(clients, name, side) for name, side in sides.items()),
    ]


def _memory(clients: int, name: str, side: Side) -> Figure:
    what, each = f"memory per connection, {clients:,} clients, {name}", side.connection_kb
    if name == NODE or clients < 1000:  # with few clients, what the first one loads counts too
        return Figure(what, f"{each:.0f} KB")
    return Figure(what, f"{each:.0f} KB", f"≤{CONNECTION_KB} KB", each <= CONNECTION_KB)


def _latency(what: str, name: str, side: Side, limit: float) -> Figure:
    what, took = f"{what}, {name}, p50 · p99", milliseconds(side.latencies)
    if name == NODE:
        return Figure(what, took)
    return Figure(what, took, f"p99 <{limit:.0f} ms", percentile(side.latencies, 0.99) * 1e3 < limit)


def _cpu(what: str, spent: Mapping[str, list[float]], limit: float) -> list[Figure]:
    """Return the rows for the server's CPU time per message, from the best round of each server."""
    figures = []
    theirs = min(spent[NODE]) if NODE in spent else None
    for name, rounds in spent.items():
        label, ours = f"{what}, CPU time per message, {name}", min(rounds)
        if theirs is None or name == NODE:
            figures.append(Figure(label, f"{ours:.1f} µs"))
        else:
            ratio = ours / theirs
            figures.append(
                Figure(label, f"{ours:.1f} µs ({ratio:.2f}×)", f"≤{limit}× {NODE}", ratio <= limit)
            )
    return figures


def _sustained() -> list[Figure]:
    """Send 1,500 events per second to 100 clients. The measurement ends when every client has all of them."""
    what = f"100 clients × {RATE:,} events/s, nothing lost"
    figures = []
    for name in (SOCKET, SSE):
        with our_side(name, 100) as side:
            took = paced(side, RATE, RATE_SECONDS)
        holds = percentile(took, 0.99) * 1e3 < RATE_LIMIT
        figures.append(
            Figure(f"{what}, {name}, p50 · p99", milliseconds(took), f"p99 <{RATE_LIMIT:.0f} ms", holds)
        )
    try:
        with node_side(100) as side:
            figures.append(
                Figure(f"{what}, {NODE}, p50 · p99", milliseconds(paced(side, RATE, RATE_SECONDS)))
            )
    except Unavailable as why:
        figures.append(why.figure(f"{what}, {NODE}"))
    return figures


def _stalled() -> list[Figure]:
    """Measure the same clients before and after one of them stops reading, in two rounds."""
    figures = []
    for name in (SOCKET, SSE):
        before, after = list[float](), list[float]()
        for _ in range(2):
            with our_side(name, 100, stopping=1) as side:
                before += paced(side, STALL_RATE, STALL_SECONDS)
                after += paced(side, STALL_RATE, STALL_SECONDS, stopped=1)
        ratio = percentile(after, 0.99) / percentile(before, 0.99)
        measured = f"{milliseconds(after)} ({ratio:.2f}×)"
        what = f"100 clients × {STALL_RATE} events/s, one stops reading, {name}, p50 · p99"
        target = f"p99 ≤{STALL_RATIO}× of before"
        figures.append(Figure(what, measured, target, ratio <= STALL_RATIO))
    return figures


def paced(side: Side, rate: int, seconds: int, stopped: int = 0) -> list[float]:
    """Send events at a fixed rate. Return their latencies in seconds."""
    side.prepare(rate * seconds, stopped)
    side.send(rate * seconds, rate)
    return side.heard().latencies
