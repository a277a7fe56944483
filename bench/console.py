"""The web console in a headless Chromium: how soon it can be used, frames while a session with 50,000 events
is scrolled, the time from the commit of an event until its text is on the screen, and the memory of a page in
which 20 sessions are live.

The hub and the browser run on the same machine, and there is no graphics card.

    python -m bench console
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Page
from tests.at_end import AT_END
from tests.console.browser import chromium, console
from tests.console.first_view import first_view
from tests.console.measuring import (
    filled,
    now_store,
    scrolled,
    seconds_until_shown,
    with_live_sessions,
)
from tests.served import Served, served

from bench.table import Figure

OPENED = 20
EVENTS = 50_000
PIECES = 300
SESSIONS = 20
LIVE_SECONDS = 600.0
SCROLLED_SECONDS = 30.0
HANGING = 3600.0


def run() -> list[Figure]:
    with AT_END:
        return asyncio.run(_figures())


async def _figures() -> list[Figure]:
    return [await _first_view(), *await _scrolling(), await _latency(), await _memory()]


async def _first_view() -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        async with served(Path(folder), seconds=HANGING) as home, chromium() as browser:
            found = [(await first_view(browser, home)).seconds * 1000 for _ in range(OPENED)]
    middle, worst = statistics.median(found), max(found)
    what = "opening the console with an empty cache → a click is answered, p50 · worst"
    return Figure(what, f"{middle:.0f} · {worst:.0f} ms", "p50 ≤500 ms", middle <= 500)


@asynccontextmanager
async def _page() -> AsyncIterator[tuple[Served, Page]]:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            served(Path(folder), store=now_store(), seconds=HANGING) as home,
            console(home) as page,
        ):
            yield home, page


async def _scrolling() -> list[Figure]:
    async with _page() as (home, page):
        session = await filled(home, EVENTS)
        url = f"{home.node.console}/sessions/{session}"
        frames, slow, work = await scrolled(page, url, SCROLLED_SECONDS)
    what = f"scrolling in {EVENTS:,} events"
    return [
        Figure(f"frames per second, {what}", f"{frames:.0f}", "≥50", frames >= 50),
        Figure(f"time of a frame, p95, {what}", f"{slow:.0f} ms"),
        Figure(f"CPU time of the page's thread per frame, {what}", f"{work:.1f} ms", "≤14 ms", work <= 14),
    ]


async def _latency() -> Figure:
    async with _page() as (home, page):
        found = sorted(await seconds_until_shown(home, page, home.node.console, PIECES))
    p95 = found[int(len(found) * 0.95)] * 1000
    return Figure("commit of an event → text on the screen, p95", f"{p95:.0f} ms", "≤50 ms", p95 <= 50)


async def _memory() -> Figure:
    async with _page() as (home, page):
        taken = await with_live_sessions(home, page, SESSIONS, LIVE_SECONDS) / (1 << 20)
    what = f"heap of a page with {SESSIONS} live sessions after {LIVE_SECONDS / 60:.0f} minutes"
    return Figure(what, f"{taken:.0f} MiB", "≤100 MiB", taken <= 100)
