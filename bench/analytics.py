"""How fast a hub says what turns used, over a log of 100,000 events, and whether the sums are right.

The log has 20,000 turns of 5 events, over 90 days: half of them in sessions for one message, the others in
1,000 sessions. The figures are compared with sums that SQLite computes from the events themselves. The log is
written without the hub's own sums, which the last row counts.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import random
import sqlite3
import statistics
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.process import fetched, running_hub
from bench.table import Figure
from bench.turns import turn_events
from rhetor.domain.event import UsageReported
from rhetor.domain.session import Session
from rhetor.domain.usage_report import GROUPINGS
from rhetor.hub.catalog.sessions import session_row
from rhetor.hub.catalog.usage_of_log import fold_log
from rhetor.hub.core.ids import wall_clock
from rhetor.store.base import Draft, Row
from rhetor.store.sqlite.store import SqliteStore

TURNS, KEPT, BATCH = 20_000, 1_000, 200
DAY = 86_400_000
ROUNDS = 11
GROUP = {
    "day": "date(e.at / 1000, 'unixepoch')",
    "peer": "json_extract(CAST(r.doc AS TEXT), '$.peer')",
    "model": "json_extract(CAST(e.data AS TEXT), '$.model')",
    "project": "json_extract(CAST(r.doc AS TEXT), '$.project_id')",
    "caller": "r.owner",
}


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="aish-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        asyncio.run(_fill(home / "hub.db"))
        counted = asyncio.run(_count(home / "hub.db"))
        with running_hub(folder=folder):
            times = {by: [_timed(home, by) for _ in range(ROUNDS)] for by in GROUPINGS}
            wrong = [by for by in GROUPINGS if not _is_right(home, by)]
    figures = [
        Figure(
            f"usage by {by}: first · median of {ROUNDS - 1}",
            f"{each[0] * 1e3:.1f} · {statistics.median(each[1:]) * 1e3:.1f} ms",
            "≤300 ms",
            max(each) <= 0.3,
        )
        for by, each in times.items()
    ]
    return [
        *figures,
        Figure("groups whose tokens or cost differ from SQL", ", ".join(wrong) or "none", "none", not wrong),
        Figure("counting the whole log once, after an upgrade", f"{counted:.2f} s"),
    ]


async def _fill(path: Path) -> None:
    draw, store = random.Random(1), await SqliteStore.open(path, clock=wall_clock)
    begin = wall_clock() - 90 * DAY
    for first in range(0, TURNS, BATCH):
        await asyncio.gather(*(_turn(store, draw, n, begin) for n in range(first, first + BATCH)))
    await store.aclose()


async def _turn(store: SqliteStore, draw: random.Random, number: int, begin: int) -> None:
    once = number % 2 == 0
    id = f"s_once{number}" if once else f"s_kept{number % (2 * KEPT)}"
    owner = getpass.getuser() if number % 4 < 3 else "ann"
    place = 0 if once else number % (2 * KEPT)
    peer, project = f"peer{place % 7}", f"project{place % 5}" if place % 3 else None
    at = begin + number * 90 * DAY // TURNS
    session = Session(id, peer, owner if once else getpass.getuser(), at, at, once=once, project_id=project)
    cost = None if draw.random() < 0.2 else f"0.{draw.randrange(10**7):07}"
    kind = draw.randrange(12) if draw.random() < 0.1 else place % 12
    model, used = f"provider/model{kind}", (draw.randrange(20_000), draw.randrange(2_000))
    usage = UsageReported(model, *used, None, cost)
    payloads = turn_events(number, peer, "a question of some words", "an answer " * 20, usage)
    rows: list[Row] = [session_row(session)]
    await store.commit(id, [Draft(p, f"t_{number}", at=at) for p in payloads], rows=rows)


async def _count(path: Path) -> float:
    """Return how long it takes to count the log, in seconds."""
    store = await SqliteStore.open(path, clock=wall_clock)
    started = time.perf_counter()
    await fold_log(store, wall_clock())
    seconds = time.perf_counter() - started
    await store.aclose()
    return seconds


def _timed(home: Path, by: str) -> float:
    started = time.perf_counter()
    _usage(home, by)
    return time.perf_counter() - started


def _usage(home: Path, by: str) -> Any:
    return json.loads(fetched(home / "hub.sock", f"/api/analytics/usage?group_by={by}"))


def _is_right(home: Path, by: str) -> bool:
    """Whether tokens and costs are those that SQLite finds in the events."""
    connection = sqlite3.connect(home / "hub.db")
    found = connection.execute(f"""
        SELECT {GROUP[by]}, json_extract(CAST(e.data AS TEXT), '$.input_tokens'),
            json_extract(CAST(e.data AS TEXT), '$.output_tokens'),
            json_extract(CAST(e.data AS TEXT), '$.cost')
        FROM events e JOIN incarnations i ON i.id = e.inc
        JOIN rows r ON r.kind = 'session' AND r.id = i.stream
        WHERE e.type = 'usage.reported'
    """).fetchall()
    connection.close()
    sums: dict[str | None, list[Any]] = {}
    for key, taken, given, cost in found:
        group = sums.setdefault(key, [0, 0, Decimal(0)])
        group[0], group[1], group[2] = group[0] + taken, group[1] + given, group[2] + Decimal(cost or 0)
    rows = _usage(home, by)["rows"]
    ours = {r["key"]: [r["input_tokens"], r["output_tokens"], Decimal(r["cost"] or 0)] for r in rows}
    return ours == sums
