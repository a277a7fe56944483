"""The broadcast of `fanout` with and without TLS, and what a handshake costs the hub.

The clients decrypt what they receive, in one process, so the latencies contain their work, too.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from contextlib import ExitStack

from bench.fanout import BURST, ROUNDS, burst, one_by_one
from bench.fanout_sides import SOCKET, SOCKET_TLS, SSE, SSE_TLS, Side, our_side
from bench.process import cpu
from bench.stats import milliseconds
from bench.table import Figure

SIZES = (100, 1_000)
HANDSHAKES = 300
PLAIN = {SOCKET_TLS: SOCKET, SSE_TLS: SSE}


def run() -> list[Figure]:
    return [*(figure for clients in SIZES for figure in _sized(clients)), _handshake()]


def _sized(clients: int) -> list[Figure]:
    with ExitStack() as stack:
        names = (SOCKET, SOCKET_TLS, SSE, SSE_TLS)
        sides = {name: stack.enter_context(our_side(name, clients)) for name in names}
        for _ in range(ROUNDS):
            for side in sides.values():
                one_by_one(side, clients)
                burst(side, clients)
    return _figures(clients, sides)


def _figures(clients: int, sides: Mapping[str, Side]) -> list[Figure]:
    one, many = f"one event to {clients:,}", f"{BURST:,} events at once to {clients:,}"
    single = {name: min(side.single_us) for name, side in sides.items()}
    at_once = {name: min(side.burst_us) for name, side in sides.items()}
    return [
        *(Figure(f"{one}, {name}, p50 · p99", milliseconds(side.latencies)) for name, side in sides.items()),
        *_cpu(one, single),
        *_cpu(many, at_once),
        *(Figure(f"{many}, {name}", f"{max(s.burst_rate):,.0f} messages/s") for name, s in sides.items()),
        *(
            Figure(f"memory per connection, {clients:,} clients, {name}", f"{side.connection_kb:.0f} KB")
            for name, side in sides.items()
        ),
    ]


def _cpu(what: str, spent: Mapping[str, float]) -> list[Figure]:
    """Return the rows for the hub's CPU time per message, from its best round."""
    figures = []
    for name, ours in spent.items():
        ratio = f" ({ours / spent[PLAIN[name]]:.2f}×)" if name in PLAIN else ""
        figures.append(Figure(f"{what}, CPU time per message, {name}", f"{ours:.1f} µs{ratio}"))
    return figures


def _handshake() -> Figure:
    """Return what one connection costs the hub, with a certificate of `rhetor cert create` (P-256)."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    with our_side(SOCKET_TLS, 1) as side:
        before = cpu(side.server.pid)
        for _ in range(HANDSHAKES):
            with (
                socket.create_connection(("127.0.0.1", side.port)) as plain,
                trust.wrap_socket(plain) as connection,
            ):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % side.port)
                connection.recv(4096)
        spent = (cpu(side.server.pid) - before) / HANDSHAKES
    return Figure("a handshake and one request, CPU time of the hub", f"{spent * 1e3:.2f} ms")
