"""`aish usage`: a table for programs, and bar charts on a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import ScriptedHub, Shell, answer, problem

DAYS = "from=2026-11-01&to=2026-11-30"
ROUTE = f"GET /api/analytics/usage?group_by=peer&{DAYS}"
WORDS = ("usage", "--by", "peer", "--from", "2026-11-01", "--to=2026-11-30")


def row(key: str | None, tokens: int, cost: str | None, unpriced: int = 0, silent: int = 0) -> dict[str, Any]:
    return {
        "key": key,
        "turns": 4,
        "sessions": 2,
        "input_tokens": tokens,
        "output_tokens": tokens // 10,
        "cost": cost,
        "unpriced_turns": unpriced,
        "unreported_turns": silent,
    }


def found(*rows: dict[str, Any], **total: Any) -> bytes:
    return answer(
        {
            "group_by": "peer",
            "from": "2026-11-01",
            "to": "2026-11-30",
            "rows": rows,
            "total": total,
            "prices": {"source": "genai-prices", "version": "0.2.3", "date": "2026-11-09"},
        }
    )


USED = found(
    row("apollo", 12_000, "1.25", 1),
    row("codex", 6_000, None, 4),
    row("box", 0, None, 4, 4),
    **row(None, 18_000, "1.25", 9, 4),
)


def test_a_program_gets_all_figures_in_a_table(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(ROUTE, USED)
    assert aish(*WORDS).out == (
        "Usage by peer, 2026-11-01 to 2026-11-30 (UTC)\n"
        "\n"
        "PEER    TURNS  SESSIONS  INPUT  OUTPUT  COST     UNPRICED\n"
        "apollo  4      2         12000  1200    1.25     1\n"
        "codex   4      2         6000   600     unknown  4\n"
        "box     4      2         0      0       unknown  4\n"
        "total   4      2         18000  1800    1.25     9\n"
        "\n"
        "The price of 9 turns is unknown; 4 of these reported no tokens\n"
        "Prices: genai-prices 0.2.3, 2026-11-09\n"
    )


def test_a_terminal_shows_a_bar_for_each_group(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(ROUTE, USED)
    with at_terminal(aish, *WORDS) as terminal:
        assert terminal.wait_for_end() == 0
        assert terminal.screen == (
            "Usage by peer, 2026-11-01 to 2026-11-30 (UTC)\n"
            "\n"
            "                                                  tokens     cost  turns\n"
            "apollo  ████████████████████████████████████████  13,200   $1.25+      4\n"
            "codex   ████████████████████                       6,600  unknown      4\n"
            "box                                                    0        -      4\n"
            "total                                             19,800   $1.25+      4\n"
            "\n"
            "+ without 5 turns at unknown prices\n"
            "4 turns reported no tokens\n"
            "Prices: genai-prices 0.2.3, 2026-11-09\n"
        )


def test_a_narrow_terminal_shows_short_figures_and_no_line_is_too_long(aish: Shell, hub: ScriptedHub) -> None:
    long = row("a-peer-with-a-name-of-forty-characters-x", 123_456_789, "1234.5")
    hub.on(ROUTE, found(long, row("apollo", 10, "0.000123"), **row(None, 123_456_799, "1234.500123")))
    with at_terminal(aish, *WORDS, columns=40) as terminal:
        assert terminal.wait_for_end() == 0
        lines = terminal.screen.splitlines()
        assert max(map(len, lines)) <= 40
        assert lines[:2] == ["Usage by peer", "2026-11-01 to 2026-11-30 (UTC)"]
        assert lines[4] == "a-peer-with-a-na… ████   136M $1,234.50"
        assert lines[5].split() == ["apollo", "▏", "11", "$0.00012"]


def test_json_is_the_answer_of_the_hub(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(ROUTE, USED)
    assert json.loads(aish(*WORDS, "--json").out)["rows"][0] == row("apollo", 12_000, "1.25", 1)


def test_without_options_the_last_thirty_days_are_shown_by_day(aish: Shell, hub: ScriptedHub) -> None:
    assert aish("usage").code == 3
    asked = hub.requests[-1].path
    assert asked.startswith("/api/analytics/usage?group_by=day&")
    assert aish("usage", "--to", "2026-03-01").code == 3
    assert hub.requests[-1].path.endswith("?group_by=day&to=2026-03-01&from=2026-01-31")


def test_no_usage_is_said(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(ROUTE, found(**row(None, 0, None)))
    assert aish(*WORDS).out == "No usage, 2026-11-01 to 2026-11-30 (UTC)\n"


@pytest.mark.parametrize(
    "words",
    [
        *(["--colour"], ["--by"], ["--by", "colour"], ["day"], ["--json=1"], ["--from", "yesterday"]),
        *(["--from", "2026-02-30"], ["--to", "20261130"], ["--by", "--json"]),
    ],
)
def test_invalid_words_show_the_syntax(aish: Shell, words: list[str]) -> None:
    ran = aish("usage", *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("aish: usage: aish usage [--by day|peer|model|project|caller]")


def test_what_the_hub_rejects_is_wrong_usage(aish: Shell, hub: ScriptedHub) -> None:
    path = "/api/analytics/usage?group_by=day&from=2026-11-30&to=2026-11-01"
    hub.on(f"GET {path}", problem(422, "unprocessable", "query.from: must not be after `to`"))
    ran = aish("usage", "--from", "2026-11-30", "--to", "2026-11-01")
    assert (ran.code, ran.out) == (2, "")
