"""Events to 100 Socket.IO clients of one session, including the log, compared with Node's socket.io and with
python-socketio's `emit`, which store nothing. A message is one event to one client."""

from __future__ import annotations

from contextlib import ExitStack

from bench.disk import disk_figure
from bench.fanout import RATE, RATE_LIMIT, ROUNDS, burst, one_by_one, paced
from bench.fanout_sides import (
    NODE_SOCKETIO,
    PYTHON_SOCKETIO,
    SOCKETIO,
    Side,
    node_socketio_side,
    our_side,
    python_socketio_side,
)
from bench.peers import Unavailable
from bench.stats import milliseconds, percentile
from bench.table import Figure

CLIENTS, SECONDS = 100, 10
# by server and kind of sending: the target for the hub's CPU time per message, relative to that server's
RATIOS = {
    (NODE_SOCKETIO, "one by one"): 1.0,
    (NODE_SOCKETIO, "in a burst"): 0.3,
    (PYTHON_SOCKETIO, "in a burst"): 0.2,
}


def run() -> list[Figure]:
    figures = [disk_figure()]
    with ExitStack() as stack:
        sides = {SOCKETIO: stack.enter_context(our_side(SOCKETIO, CLIENTS))}
        for name, start in ((NODE_SOCKETIO, node_socketio_side), (PYTHON_SOCKETIO, python_socketio_side)):
            try:
                sides[name] = stack.enter_context(start(CLIENTS))
            except Unavailable as why:
                figures.append(why.figure(name))
        for _ in range(ROUNDS):
            for side in sides.values():
                one_by_one(side, CLIENTS)
                burst(side, CLIENTS)
        for name, side in sides.items():
            figures += _spent(name, side, sides[SOCKETIO])
    return [*figures, _sustained()]


def _spent(name: str, side: Side, ours: Side) -> list[Figure]:
    figures = []
    for kind, theirs, mine in (
        ("one by one", side.single_us, ours.single_us),
        ("in a burst", side.burst_us, ours.burst_us),
    ):
        what, spent = f"CPU time per message {kind}, {name}", f"{min(theirs):.1f} µs"
        limit, ratio = RATIOS.get((name, kind)), min(mine) / min(theirs)
        measured = spent if side is ours else f"{spent} (the hub: {ratio:.2f}×)"
        if limit is None:
            figures.append(Figure(what, measured))
        else:
            figures.append(Figure(what, measured, f"the hub's ≤{limit}×", ratio <= limit))
    return figures


def _sustained() -> Figure:
    """Send 1,500 events per second. The measurement ends when every client has all of them."""
    with our_side(SOCKETIO, CLIENTS) as side:
        took = paced(side, RATE, SECONDS)
    what = f"{CLIENTS} clients × {RATE:,} events/s for {SECONDS} s, nothing lost, p50 · p99"
    holds = percentile(took, 0.99) * 1e3 < RATE_LIMIT
    return Figure(what, milliseconds(took), f"p99 <{RATE_LIMIT:.0f} ms", holds)
