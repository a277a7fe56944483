"""One event to many clients that follow one session, log included, beside a bare broadcast on Node's `ws`.

Ours is server-sent events over TCP for now; the other one is WebSockets, keeps nothing, and sends each event
by itself, where ours writes all that is new to a client in one piece. Both are asked in turn, by clients that
only look for the events' stamps. A message is one event to one client. The hub runs without its limits of
connections, which are 20 a minute and 100 at once.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import msgspec

from bench.disk import disk_figure
from bench.followers import Followers, Heard
from bench.peers import WS, Unavailable, node_peer
from bench.process import ROOT, clean_environment, cpu, resident
from bench.stats import milliseconds, percentile
from bench.table import Figure

ROUNDS = 3
BURST = 1_000
# by clients: events one by one in a round, seconds between two, and the limit of p99 in ms
SIZES = {100: (200, 0.01, 5.0), 1_000: (50, 0.06, 40.0)}
OURS, THEIRS = "hub, SSE", "ws (Node)"
SINGLE_RATIO, BURST_RATIO = 1.6, 0.5


@dataclass(slots=True)
class Side:
    """A server with its followers, and what was measured there so far."""

    server: subprocess.Popen[bytes]
    clients: subprocess.Popen[bytes]
    connection_kb: float
    latencies: list[float] = field(default_factory=list)
    single_us: list[float] = field(default_factory=list)
    burst_us: list[float] = field(default_factory=list)
    burst_rate: list[float] = field(default_factory=list)


def run() -> list[Figure]:
    return [disk_figure(), *(figure for clients in SIZES for figure in _with(clients))]


def _with(clients: int) -> list[Figure]:
    skipped = []
    with ExitStack() as stack:
        sides = {OURS: stack.enter_context(_ours(clients))}
        try:
            sides[THEIRS] = stack.enter_context(_theirs(clients))
        except Unavailable as why:
            skipped.append(why.figure(f"{THEIRS}, {WS}"))
        for _ in range(ROUNDS):
            for side in sides.values():
                _one_by_one(side, clients)
                _burst(side, clients)
    return [*skipped, *_figures(clients, sides)]


def _one_by_one(side: Side, clients: int) -> None:
    events, pause, _ = SIZES[clients]
    before = cpu(side.server.pid)
    _prepare(side, events)
    for _ in range(events):
        _tell(side.server, 1)
        time.sleep(pause)
    side.latencies += _heard(side).latencies
    side.single_us.append((cpu(side.server.pid) - before) / (events * clients) * 1e6)


def _burst(side: Side, clients: int) -> None:
    before = cpu(side.server.pid)
    _prepare(side, BURST)
    _tell(side.server, BURST)
    messages = BURST * clients
    side.burst_rate.append(messages / _heard(side).elapsed)
    side.burst_us.append((cpu(side.server.pid) - before) / messages * 1e6)


def _figures(clients: int, sides: dict[str, Side]) -> list[Figure]:
    ours, theirs = sides[OURS], sides.get(THEIRS)
    limit = SIZES[clients][2]
    holds = percentile(ours.latencies, 0.99) * 1e3 < limit
    one, burst = f"one event to {clients:,}", f"{BURST:,} events at once to {clients:,}"
    figures = [
        Figure(f"{one}, {OURS}, p50 · p99", milliseconds(ours.latencies), f"p99 <{limit:.0f} ms", holds),
        *([Figure(f"{one}, {THEIRS}, p50 · p99", milliseconds(theirs.latencies))] if theirs else []),
        *_cpu(one, ours.single_us, theirs.single_us if theirs else [], SINGLE_RATIO),
        *_cpu(burst, ours.burst_us, theirs.burst_us if theirs else [], BURST_RATIO),
    ]
    for name, side in sides.items():
        figures.append(Figure(f"{burst}, {name}", f"{max(side.burst_rate):,.0f} messages/s"))
    memory = " · ".join(f"{side.connection_kb:.0f} KB" for side in sides.values())
    return [*figures, Figure(f"a connection, of {clients:,}: {' · '.join(sides)}", memory)]


def _cpu(what: str, ours: list[float], theirs: list[float], limit: float) -> list[Figure]:
    """CPU of the server a message: the best round of each."""
    name = f"{what}, CPU a message"
    if not theirs:
        return [Figure(f"{name}, {OURS}", f"{min(ours):.1f} µs")]
    ratio = min(ours) / min(theirs)
    figure = Figure(
        f"{name}, {OURS}", f"{min(ours):.1f} µs ({ratio:.2f}×)", f"≤{limit}× {THEIRS}", ratio <= limit
    )
    return [figure, Figure(f"{name}, {THEIRS}", f"{min(theirs):.1f} µs")]


@contextmanager
def _ours(clients: int) -> Iterator[Side]:
    with tempfile.TemporaryDirectory(prefix="aish-bench-") as folder:
        command = [sys.executable, "-m", "bench.fanout_hub", f"{folder}/home"]
        with _running(command, folder) as server:
            port, token, session = _line(server).split()
            request = f"GET /api/v2/sessions/{session}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            request += f"Authorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n"
            with _followed(server, Followers(int(port), request, clients)) as side:
                yield side


@contextmanager
def _theirs(clients: int) -> Iterator[Side]:
    folder = node_peer("ws", WS)
    command = ["node", str(ROOT / "bench/fanout_ws.cjs"), str(folder)]
    with _running(command, str(folder)) as server:
        port = int(_line(server))
        request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        request += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        with _followed(server, Followers(port, request, clients)) as side:
            yield side


@contextmanager
def _followed(server: subprocess.Popen[bytes], plan: Followers) -> Iterator[Side]:
    before = resident(server.pid)
    command = [sys.executable, "-m", "bench.followers", msgspec.json.encode(plan).decode()]
    with _running(command, str(ROOT)) as clients:
        _line(clients)
        yield Side(server, clients, (resident(server.pid) - before) / plan.count)


@contextmanager
def _running(command: list[str], folder: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is told what to do on its stdin, and ends with that."""
    with subprocess.Popen(
        command, cwd=ROOT, env=clean_environment(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _prepare(side: Side, events: int) -> None:
    _tell(side.clients, events)
    _line(side.clients)


def _heard(side: Side) -> Heard:
    return msgspec.json.decode(_line(side.clients), type=Heard)


def _tell(process: subprocess.Popen[bytes], count: int) -> None:
    assert process.stdin is not None
    process.stdin.write(b"%d\n" % count)
    process.stdin.flush()


def _line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().decode().strip()
    if not line:
        raise RuntimeError(f"{process.args!r} ended")
    return line
