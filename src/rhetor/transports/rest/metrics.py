"""`GET /metrics`: what the hub is doing and has done since it started, for Prometheus.

Other modules count; this one only names the metrics. Labels are APIs, codes, outcomes and the names of
configured peers. A text that a client sent never becomes a label.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from starlette.responses import Response

from rhetor.codec.exposition import CONTENT_TYPE, Family, counter, exposition, gauge, histogram, labelled
from rhetor.hub.state import State
from rhetor.transports.server.call import Call
from rhetor.transports.server.counters import OTHER, REST, Tally
from rhetor.transports.server.node import Node

PROC = Path("/proc/self")


async def metrics(call: Call) -> Response:
    """Return the metrics in Prometheus' text format."""
    behind = await lags(call.hub.state)
    families = [*_process(call.node), *_traffic(call.node), *_hub(call.hub.state), *_following(behind)]
    return Response(exposition(families), headers={"content-type": CONTENT_TYPE})


async def lags(state: State) -> list[int]:
    """Return how many events each follower of a stream is behind."""
    followed = list(state.broadcaster.followers())
    heads = {stream: await state.store.head(stream) for stream in dict(followed)}
    return [max(0, head.head - at) for stream, at in followed if (head := heads[stream]) is not None]


def _process(node: Node) -> Iterator[Family]:
    now, started = process(), node.started_at / 1000
    yield gauge("process_start_time_seconds", "When the hub started, as Unix time.", started)
    yield gauge("rhetor_uptime_seconds", "Seconds since the hub started.", max(0.0, time.time() - started))
    yield counter("process_cpu_seconds_total", "CPU time of the hub's process.", now.cpu)
    if now.resident is not None:
        yield gauge("process_resident_memory_bytes", "Resident memory of the hub's process.", now.resident)
    if now.descriptors is not None:
        yield gauge("process_open_fds", "Open file descriptors of the hub's process.", now.descriptors)
    yield gauge("rhetor_tasks", "Tasks in the hub's event loop.", len(asyncio.all_tasks()))


def _traffic(node: Node) -> Iterator[Family]:
    tally, is_open = node.tally, node.connections.by_api()
    apis = {*is_open, *tally.traffic} - {REST}
    yield labelled(
        "rhetor_connections_open",
        "gauge",
        "Open WebSockets and event streams.",
        (({"api": api}, is_open[api]) for api in sorted(apis)),
    )
    yield _by_code(
        "rhetor_connections_closed_total", "Connections that the hub closed, by reason.", tally.closed
    )
    yield _by_code("rhetor_errors_total", "Errors returned to clients.", tally.errors)
    yield from _bytes(tally)


def _by_code(name: str, help: str, counts: Counter[tuple[str, str]]) -> Family:
    values = (({"api": api, "code": code}, count) for (api, code), count in sorted(counts.items()))
    return labelled(name, "counter", help, values)


def _bytes(tally: Tally) -> Iterator[Family]:
    apis = sorted(tally.traffic.items())
    received = (({"api": api}, traffic.received) for api, traffic in apis)
    sent = (({"api": api}, traffic.sent) for api, traffic in apis)
    of = "bodies over HTTP, frames over WebSockets."
    yield labelled("rhetor_received_bytes_total", "counter", f"Bytes received: {of}", received)
    yield labelled("rhetor_sent_bytes_total", "counter", f"Bytes sent: {of}", sent)


def _hub(state: State) -> Iterator[Family]:
    turns = Counter[tuple[str, str]]()
    for (peer, outcome), count in state.peer_statistics.turns.items():
        turns[peer if state.peers.is_configured(peer) else OTHER, outcome] += count
    yield labelled(
        "rhetor_turns_total",
        "counter",
        "Turns that ended, by peer and outcome.",
        (({"peer": peer, "outcome": outcome}, count) for (peer, outcome), count in sorted(turns.items())),
    )
    yield gauge("rhetor_turns_running", "Running turns.", sum(1 for _ in state.running_turns()))
    yield gauge("rhetor_programs_running", "Running programs that are peers.", len(state.instances))
    yield gauge("rhetor_peers", "Known peers.", len(state.peers))
    commits = state.store.commit_stats
    yield counter("rhetor_events_appended_total", "Events committed to the log.", commits.events)
    yield histogram(
        "rhetor_commit_seconds",
        "How long callers waited until a commit was durable.",
        commits.bounds,
        commits.counts,
        commits.seconds,
    )


def _following(lags: list[int]) -> Iterator[Family]:
    yield gauge("rhetor_followers", "Subscribers that follow a stream.", len(lags))
    yield gauge(
        "rhetor_followers_behind",
        "Subscribers that have not yet received all events of their stream.",
        sum(map(bool, lags)),
    )
    yield gauge(
        "rhetor_follower_lag_events", "Events that the slowest subscriber is behind.", max(lags, default=0)
    )


class Process(Struct, frozen=True):
    """The resources that the hub's process uses. `resident`: bytes of memory; `cpu`: seconds in user and
    system mode; `descriptors`: how many are open. None if the system does not provide the number."""

    resident: int | None
    cpu: float
    descriptors: int | None


def process() -> Process:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Process(_resident(), used.ru_utime + used.ru_stime, _descriptors())


def _resident() -> int | None:
    try:
        pages = int((PROC / "statm").read_bytes().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _descriptors() -> int | None:
    """Return the number of open descriptors, without the one that listing them needs."""
    try:
        return len(os.listdir(PROC / "fd")) - 1  # noqa: PTH208  # names only
    except OSError:
        return None
