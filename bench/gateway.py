"""A call of a model through the hub, compared with a plain aiohttp proxy and with LiteLLM's proxy.

All of them use the same scripted provider, and the benchmark alternates between them. The time that each adds
is its time to the first chunk (or to the whole answer), minus that of a call directly to the provider. The
hub stores its answers durably in the log; the proxies store nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from contextlib import ExitStack

from tests.provider.process import ProviderProcess

from bench import litellm
from bench.disk import disk_figure
from bench.load import Plan, Timings, post, put_load
from bench.peers import LITELLM, Unavailable
from bench.process import RunningHub, openai_variables, resident, running_hub
from bench.raw_proxy import running_raw_proxy
from bench.stats import percentile
from bench.table import Figure

ROUNDS, CALLS = 5, 60
AT_ONCE, MANY = 16, 320
CHUNKS = 4
MARKER = "xxxxxxxx"
DIRECT, RAW, HUB, UNIX, PROXY = (
    "directly to the provider",
    "a plain aiohttp proxy",
    "the hub, TCP",
    "the hub, Unix socket",
    "LiteLLM's proxy",
)
GO: list[dict[str, str]] = [{"role": "user", "content": "go"}]
# the hub's APIs in the form of vendors, over TCP: the path, and the body of a request that is not streamed
DIALECTS: dict[str, tuple[str, dict[str, object]]] = {
    "the hub, chat completions": ("/v1/chat/completions", {"model": "apollo", "messages": GO}),
    "the hub, responses": ("/v1/responses", {"model": "apollo", "input": "go"}),
    "the hub, messages": ("/v1/messages", {"model": "apollo", "max_tokens": 100, "messages": GO}),
}
# the targets for added time (at most) and calls per second (at least), relative to each of the other proxies
ADDED = {RAW: 3.5, PROXY: 0.25}
RATE = {RAW: 0.18, PROXY: 6.0}
FIRST = {RAW: 4.0}  # of the APIs in the form of vendors, for the time to the first chunk
Ways = dict[str, tuple[Plan, Plan]]


def run() -> list[Figure]:
    with ExitStack() as stack:
        provider = stack.enter_context(ProviderProcess("--chunks", str(CHUNKS)))
        hub = stack.enter_context(running_hub(openai_variables(provider.url)))
        raw = stack.enter_context(running_raw_proxy(provider.url))
        direct = _chat(int(provider.url.rsplit(":", 1)[1]), "k")
        ways = {DIRECT: direct, RAW: _chat(raw.port, "k"), **_hub_ways(hub)}
        pids = {RAW: raw.pid, HUB: hub.pid}
        skipped = []
        try:
            proxy = stack.enter_context(litellm.running_proxy(provider.url))
            ways[PROXY], pids[PROXY] = _chat(proxy.port, litellm.KEY), proxy.pid
        except Unavailable as why:
            skipped.append(why.figure(f"{PROXY} ({LITELLM})"))
        _warm(ways)
        figures = [*_one_at_a_time(ways), *_at_once(ways)]
        memory = " · ".join(f"{resident(pid) / 1024:.0f} MB" for pid in pids.values())
    return [disk_figure(), *skipped, *figures, Figure(f"memory after that: {' · '.join(pids)}", memory)]


def _hub_ways(hub: RunningHub) -> Ways:
    body: dict[str, object] = {"content": "go"}
    host = f"127.0.0.1:{hub.port}"
    stream, whole = (
        Plan(post(f"/api/v2/ai/apollo/{what}", body, hub.token, host), MARKER, CALLS, port=hub.port)
        for what in ("stream", "message")
    )
    local, local_whole = (
        Plan(post(f"/api/v2/ai/apollo/{what}", body), MARKER, CALLS, unix=hub.socket)
        for what in ("stream", "message")
    )
    dialects = {way: _both(path, body, hub.port, hub.token, host) for way, (path, body) in DIALECTS.items()}
    return {HUB: (stream, whole), UNIX: (local, local_whole), **dialects}


def _chat(port: int, key: str) -> tuple[Plan, Plan]:
    return _both("/v1/chat/completions", {"model": "scripted", "messages": GO}, port, key)


def _both(
    path: str, body: dict[str, object], port: int, key: str, host: str = "localhost"
) -> tuple[Plan, Plan]:
    """Return the plans for streamed and for whole answers."""
    stream, whole = (
        Plan(post(path, {**body, "stream": streamed}, key, host), MARKER, CALLS, port=port)
        for streamed in (True, False)
    )
    return stream, whole


def _warm(ways: Ways) -> None:
    for stream, whole in ways.values():
        for plan in (stream, whole):
            put_load(replace_calls(plan, 2 * AT_ONCE, AT_ONCE))


def _one_at_a_time(ways: Ways) -> list[Figure]:
    """Return the rows for the time to the first chunk and to the whole answer, less that of a direct call."""
    first: dict[str, list[float]] = {way: [] for way in ways}
    whole: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, (stream, message) in ways.items():
            first[way] += put_load(stream).first
            whole[way] += put_load(message).whole
    return [*_added("first chunk", first, FIRST), *_added("whole answer", whole, {})]


def _added(what: str, took: dict[str, list[float]], limits: dict[str, float]) -> list[Figure]:
    """Return the rows for the time that each way adds. `limits`: the targets of the vendors' APIs."""
    p50 = {way: percentile(found, 0.5) for way, found in took.items()}
    p99 = {way: percentile(found, 0.99) for way, found in took.items()}
    base, worst = p50.pop(DIRECT), p99.pop(DIRECT)
    added = {way: seconds - base for way, seconds in p50.items()}
    figures = [Figure(f"{what}, {DIRECT}, p50 · p99", f"{base * 1e3:.2f} · {worst * 1e3:.2f} ms")]
    for way, seconds in added.items():
        measured = f"{seconds * 1e3:.2f} · {(p99[way] - worst) * 1e3:.2f} ms"
        wanted = limits if way in DIALECTS else ADDED
        figures += _compared(f"{what}, added by {way}, p50 · p99", measured, way, added, wanted)
    return figures


def _at_once(ways: Ways) -> list[Figure]:
    """Return the rows for calls per second with 16 callers at once: the median of several rounds."""
    figures = []
    for number, kind in enumerate(("streamed", "whole")):
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, plans in ways.items():
                calls = MANY if way != PROXY else MANY // 4
                rates[way].append(_rate(put_load(replace_calls(plans[number], calls, AT_ONCE))))
        figures += _rates(f"calls/s, {AT_ONCE} at once, {kind}", rates)
    return figures


def _rates(what: str, rates: dict[str, list[float]]) -> list[Figure]:
    typical = {way: statistics.median(found) for way, found in rates.items()}
    figures = []
    for way, rate in typical.items():
        wanted = {} if way in DIALECTS else RATE
        figures += _compared(f"{what}, {way}", f"{rate:,.0f}/s", way, typical, wanted)
    return figures


def _compared(
    what: str, measured: str, way: str, values: Mapping[str, float], limits: Mapping[str, float]
) -> list[Figure]:
    """Return one row for a proxy. For the hub, return one row for each proxy with which it is compared."""
    others = [other for other in limits if other in values] if way in (HUB, UNIX, *DIALECTS) else []
    figures = [] if others else [Figure(what, measured)]
    for other in others:
        ratio, limit = values[way] / values[other], limits[other]
        sign, holds = ("≥", ratio >= limit) if limits is RATE else ("≤", ratio <= limit)
        figures.append(
            Figure(f"{what}, relative to {other}", f"{measured} ({ratio:.2f}×)", f"{sign}{limit:g}×", holds)
        )
    return figures


def _rate(timings: Timings) -> float:
    return len(timings.whole) / timings.elapsed


def replace_calls(plan: Plan, calls: int, at_once: int) -> Plan:
    """Return the same plan with another number of calls."""
    return Plan(plan.request, plan.marker, calls, at_once, plan.unix, plan.port)
