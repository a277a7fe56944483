"""`/api/analytics`: what turns used, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.output import Done, Text, Usage
from rhetor.hub.core.ids import Ids
from tests.served import TOKEN, Served, served

pytestmark = pytest.mark.anyio

PRICED = [Text("a"), Usage("x/m", 10, 2, cost="0.10"), Done()]
UNPRICED = [Text("a"), Usage("y,n", 50, 1), Done()]
SILENT = [Text("a"), Done()]
PRICES = {"source": "genai-prices", "version": "1", "date": "2026-09-28"}
MONTH_MS = 31 * 86_400_000


async def used(home: Served) -> None:
    """Three turns in November 2023, and one in December."""
    time = [1_700_000_000_000]
    home.hub.state.ids = Ids(lambda: time[0])
    for peer in ("apollo", "athena", "apollo", "apollo"):
        await home.ask("POST", f"/api/v2/ai/{peer}/message", {"content": "hi"})
        time[0] += 86_400_000 if peer == "apollo" else MONTH_MS - 86_400_000


async def test_usage_is_grouped_and_unknown_prices_are_counted(tmp_path: Path) -> None:
    async with served(tmp_path, PRICED, UNPRICED, PRICED, SILENT) as home:
        await used(home)
        answer = (await home.ask("GET", "/api/analytics/costs?group_by=peer")).json
        apollo = {
            "key": "apollo",
            "turns": 3,
            "sessions": 3,
            "input_tokens": 20,
            "output_tokens": 4,
            "cost": "0.20",
            "unpriced_turns": 1,
            "unreported_turns": 1,
        }
        athena = {
            "key": "athena",
            "turns": 1,
            "sessions": 1,
            "input_tokens": 50,
            "output_tokens": 1,
            "cost": None,
            "unpriced_turns": 1,
            "unreported_turns": 0,
        }
        assert answer == {
            "group_by": "peer",
            "from": None,
            "to": None,
            "rows": [apollo, athena],
            "total": {
                "turns": 4,
                "sessions": 4,
                "input_tokens": 70,
                "output_tokens": 5,
                "cost": "0.20",
                "unpriced_turns": 2,
                "unreported_turns": 1,
            },
            "prices": PRICES,
        }
        answer = (await home.ask("GET", "/api/analytics/usage?group_by=peer")).json
        assert answer["rows"] == [athena, apollo]
        answer = (await home.ask("GET", "/api/analytics/sessions?group_by=model")).json
        assert [(row["key"], row["sessions"]) for row in answer["rows"]] == [
            ("x/m", 2),
            (None, 1),
            ("y,n", 1),
        ]
        answer = (await home.ask("GET", "/api/analytics/usage?group_by=project")).json
        assert [row["key"] for row in answer["rows"]] == [None]


async def test_the_first_and_the_last_day_are_included(tmp_path: Path) -> None:
    async with served(tmp_path, PRICED, UNPRICED, PRICED, SILENT) as home:
        await used(home)
        days = [row["key"] for row in (await home.ask("GET", "/api/analytics/usage")).json["rows"]]
        assert days == ["2023-11-14", "2023-11-15", "2023-12-15", "2023-12-16"]
        for query, expected in (
            ("from=2023-11-15", days[1:]),
            ("to=2023-11-15", days[:2]),
            ("from=2023-11-15&to=2023-12-15", days[1:3]),
            ("from=2023-11-14&to=2023-11-14", days[:1]),
            ("from=2024-01-01", []),
        ):
            answer = (await home.ask("GET", f"/api/analytics/usage?{query}")).json
            assert [row["key"] for row in answer["rows"]] == expected, query
            assert answer["total"]["turns"] == len(expected)


INVALID = (
    *("group_by=colour", "group_by=", "from=yesterday", "from=2023-02-30", "to=2023-11-14T00:00:00Z"),
    *("from=", "from=2023-11-15&to=2023-11-14", "to=2023-1-1", "from=２０２３-11-14", "to=2023-11-14%0A"),
)


async def test_an_invalid_query_is_rejected(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for query in INVALID:
            for name in ("usage", "costs", "sessions"):
                answer = await home.ask("GET", f"/api/analytics/{name}?{query}")
                assert (answer.status, answer.json["code"]) == (422, "unprocessable"), (query, answer.text)


async def test_usage_is_sent_as_csv_if_the_client_asks_for_it(tmp_path: Path) -> None:
    async with served(tmp_path, PRICED, UNPRICED, PRICED, SILENT) as home:
        await used(home)
        path = "/api/analytics/usage?group_by=model"
        answer = await home.ask("GET", path, headers={"accept": "text/csv"})
        assert answer.headers["content-type"].partition(";")[0] == "text/csv"
        rows: list[Any] = list(csv.DictReader(io.StringIO(answer.text)))
        expected = (await home.ask("GET", path)).json["rows"]
        assert rows == [{k: "" if v is None else str(v) for k, v in row.items()} for row in expected]
        assert rows[0]["key"] == "y,n"


async def test_each_group_has_its_days_if_the_client_asks_for_them(tmp_path: Path) -> None:
    async with served(tmp_path, PRICED, UNPRICED, PRICED, SILENT) as home:
        await used(home)
        path = "/api/analytics/costs?group_by=peer&by_day=true"
        answer = (await home.ask("GET", path)).json
        apollo, athena = answer["rows"]
        summed = ("turns", "sessions", "input_tokens", "output_tokens", "unpriced_turns", "unreported_turns")
        for row in (apollo, athena):
            assert {name: sum(day[name] for day in row["days"]) for name in summed} == {
                name: row[name] for name in summed
            }
        assert [(day["day"], day["turns"], day["cost"]) for day in apollo["days"]] == [
            ("2023-11-14", 1, "0.10"),
            ("2023-12-15", 1, "0.10"),
            ("2023-12-16", 1, None),
        ]
        assert [(day["day"], day["cost"]) for day in athena["days"]] == [("2023-11-15", None)]
        sent = await home.ask("GET", path, headers={"accept": "text/csv"})
        rows = list(csv.DictReader(io.StringIO(sent.text)))
        assert [(row["key"], row["day"], row["cost"]) for row in rows] == [
            ("apollo", "2023-11-14", "0.10"),
            ("apollo", "2023-12-15", "0.10"),
            ("apollo", "2023-12-16", ""),
            ("athena", "2023-11-15", ""),
        ]


async def test_a_token_shows_its_own_usage_only(tmp_path: Path) -> None:
    async with served(tmp_path, PRICED, UNPRICED) as home:
        await home.ask("POST", "/api/v2/ai/apollo/message", {"content": "hi"})
        headers = {"authorization": f"Bearer {TOKEN}"}
        answer = await home.ask_tcp("GET", "/api/analytics/usage?group_by=caller", headers)
        assert answer.status == 200, answer.text
        own = answer.json["total"]["turns"]
        await home.ask_tcp("POST", "/api/v2/ai/apollo/message", headers, json={"content": "hi"})
        answer = await home.ask_tcp("GET", "/api/analytics/usage?group_by=caller", headers)
        assert answer.json["total"]["turns"] == own + 1
        assert len(answer.json["rows"]) == 1
        assert (await home.ask_tcp("GET", "/api/analytics/usage")).status == 401
