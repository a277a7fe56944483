"""`/metrics`, as Prometheus reads it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rhetor.domain.event import OutputDelta, Position
from rhetor.domain.output import Done, Text
from rhetor.errors import ProviderDenied
from rhetor.hub.core.ids import wall_clock
from rhetor.store.base import Draft
from rhetor.store.sqlite.store import SqliteStore
from tests.rhetor.transports.open_clients import BEARER, open_client, session, terminal
from tests.served import Served, served, with_programs

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[4] / "docs" / "reference" / "metrics.md"
Sample = tuple[str, tuple[tuple[str, str], ...]]


async def scrape(home: Served) -> dict[Sample, float]:
    answer = await home.ask("GET", "/metrics")
    assert (answer.status, answer.headers["content-type"]) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
    )
    families = text_string_to_metric_families(answer.text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def of(samples: dict[Sample, float], name: str) -> dict[tuple[str, ...], float]:
    """Return the values of one metric by its label values, in the order of the label names."""
    return {tuple(v for _, v in labels): value for (n, labels), value in samples.items() if n == name}


async def test_turns_are_counted_by_peer_and_outcome(tmp_path: Path) -> None:
    refused = ProviderDenied("no", provider="scripted")
    async with served(tmp_path, [Text("a"), Done()], refused) as home:
        for peer in ("apollo", "apollo-ai", "athena", "nobody"):
            await home.ask("POST", f"/api/v2/ai/{peer}/message", {"content": "hi"})
        await home.ask("POST", "/api/v2/plans", {"line": "athena hi"})
        found = of(await scrape(home), "rhetor_turns_total")
        assert found == {("completed", "apollo"): 1, ("failed", "apollo"): 1, ("completed", "athena"): 2}


async def test_names_made_up_by_clients_are_not_labels(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for n in range(3):
            await home.ask("POST", "/api/ai/socket/groups", {"name": f"made{n}", "members": ["apollo"]})
            body = {"specialist_id": f"team:made{n}"}
            made = (await home.ask("POST", "/api/v2/sessions", body)).json["id"]
            await home.ask("POST", f"/api/v2/sessions/{made}/message", {"message": "hi"})
        found = of(await scrape(home), "rhetor_turns_total")
        assert found == {("completed", "other"): 3, ("completed", "apollo"): 3}


async def test_open_connections_bytes_and_errors_are_counted_by_api(tmp_path: Path) -> None:
    async with with_programs() as home, terminal(home):
        async with open_client(home, "sse"), open_client(home, "ws") as loop, open_client(home, "ws.attach"):
            before = await scrape(home)
            assert of(before, "rhetor_connections_open") == {("sse",): 1, ("ws",): 1, ("ws.attach",): 1}
            assert await loop.call("echo", message="x" * 1000) == "x" * 1000
            await home.ask_tcp("GET", "/no/such/path", BEARER)
            await home.ask_tcp("GET", "/api/v2/ai")
            await home.ask("GET", "/api/v2/ai/nobody")
            await home.ask("POST", "/api/v2/ai/apollo/message", {"content": 7})
            after = await scrape(home)
        for name in ("rhetor_received_bytes_total", "rhetor_sent_bytes_total"):
            grown = of(after, name)["ws",] - of(before, name)["ws",]
            assert 1000 < grown < 1200
        assert of(after, "rhetor_sent_bytes_total")["rest",] > of(before, "rhetor_sent_bytes_total")["rest",]
        codes = {"not_found": 1.0, "unauthenticated": 1.0, "unknown_peer": 1.0, "unprocessable": 1.0}
        assert of(after, "rhetor_errors_total") == {("rest", code): n for code, n in codes.items()}
        async with asyncio.timeout(60):
            while sum(of(await scrape(home), "rhetor_connections_open").values()):
                pass


async def test_commits_are_measured_with_the_store_that_makes_them(tmp_path: Path) -> None:
    async with _stored(tmp_path) as home:
        before = await scrape(home)
        followed = await session(home)  # its stream begins with an event
        await _append(home, followed, 500)
        after = await scrape(home)
        for name in ("rhetor_events_appended_total", "rhetor_commit_seconds_count"):
            assert _growth(before, after, name) == 501
        buckets = [v for (n, _), v in after.items() if n == "rhetor_commit_seconds_bucket"]
        assert buckets == sorted(buckets)
        assert buckets[-1] == of(after, "rhetor_commit_seconds_count")[()]
        assert _growth(before, after, "rhetor_commit_seconds_sum") > 0


def _growth(before: dict[Sample, float], after: dict[Sample, float], name: str) -> float:
    return of(after, name)[()] - of(before, name)[()]


@asynccontextmanager
async def _stored(folder: Path) -> AsyncIterator[Served]:
    store = await SqliteStore.open(folder / "hub.db", clock=wall_clock)
    try:
        async with served(folder, store=store) as home:
            yield home
    finally:
        await store.aclose()


async def _append(home: Served, stream: str, count: int) -> None:
    for n in range(count):
        await home.hub.state.store.commit(stream, [Draft(OutputDelta(str(n)), "t_1")])


async def test_lagging_followers_are_counted(tmp_path: Path) -> None:
    async with served(tmp_path) as home, open_client(home, "sse") as quick:
        assert of(await scrape(home), "rhetor_followers") == {(): 1}
        (follower,) = home.hub.state.broadcaster._followers
        await _append(home, quick.session, 20)
        head = await home.hub.state.store.head(quick.session)
        assert head is not None
        async with asyncio.timeout(60):
            while follower.cursor.seq != head.head:  # noqa: ASYNC110  # a reader's progress has no event
                await asyncio.sleep(0.01)
        assert of(await scrape(home), "rhetor_follower_lag_events") == {(): 0}
        behind = Position(head.epoch, head.head - 15)  # like a follower that waits for its client
        follower.cursor = replace(follower.cursor, after=behind)
        samples = await scrape(home)
        assert of(samples, "rhetor_follower_lag_events") == {(): 15}
        assert of(samples, "rhetor_followers_behind") == {(): 1}


async def test_metrics_of_the_process_and_of_running_work_are_reported() -> None:
    async with with_programs() as home, terminal(home):
        samples = await scrape(home)
        assert of(samples, "rhetor_programs_running") == {(): 1}
        assert of(samples, "rhetor_turns_running") == {(): 0}
        assert of(samples, "process_resident_memory_bytes")[()] > 20e6
        for name in (
            "process_open_fds",
            "rhetor_tasks",
            "process_cpu_seconds_total",
            "rhetor_uptime_seconds",
        ):
            assert of(samples, name)[()] > 0


async def test_nothing_made_up_by_a_client_becomes_a_label(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for made_up in ("made-up", "@made-up"):
            await home.ask("POST", f"/api/v2/ai/{made_up}/message", {"content": "hi", "from": "made-up"})
            await home.ask("GET", f"/{made_up}", headers={"user-agent": made_up})
        assert "made-up" not in (await home.ask("GET", "/metrics")).text


async def test_every_metric_is_documented(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        text = (await home.ask("GET", "/metrics")).text
    there = set(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    documented = re.findall(r"^\| `([a-z_]+)(?:\{.*\})?` \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    assert there == set(documented)
