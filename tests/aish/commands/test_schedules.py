"""`aish schedule`: how schedules look on terminals of all widths, and in the zone of the person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import ScriptedHub, Shell, answer

pytestmark = pytest.mark.long
LINE = 'apollo "what is new in the log?" | athena "in one sentence"'


def schedule(**fields: Any) -> dict[str, Any]:
    return {
        "id": "c_1",
        "name": "morning",
        "owner": "me",
        "cron": "0 8 * * 1-5",
        "timezone": "Europe/Berlin",
        "line": LINE,
        "overlap": "skip",
        "state": "active",
        "session": "morning",
        "session_id": "s_1",
        "cwd": None,
        "next_at": "2026-12-01T07:00:00.000Z",
        "last_due": {"due_at": "2026-11-30T07:00:00.000Z", "skipped": None},
        "last_run": {"turn_id": "t_1", "status": "completed", "at": "2026-11-30T07:00:00.100Z"},
        "created_at": "2026-11-01T07:00:00.000Z",
        **fields,
    }


SKIPPED = schedule(
    name="often", last_due={"due_at": "2026-11-30T07:01:00.000Z", "skipped": "overlap"}, line="apollo hi"
)
PAUSED = schedule(name="old", state="paused", next_at=None, last_due=None, last_run=None, line="a\x1b[31m\nb")


@pytest.mark.parametrize(("columns", "rows"), [(40, 15), (80, 24), (200, 50)])
def test_a_list_fits_on_the_terminal(aish: Shell, hub: ScriptedHub, columns: int, rows: int) -> None:
    hub.on("GET /api/v2/schedules", answer({"schedules": [schedule(), SKIPPED, PAUSED]}))
    aish.environment["TZ"] = "Asia/Tokyo"
    with at_terminal(aish, "schedule", "list", columns=columns, rows=rows) as terminal:
        assert terminal.wait_for_end() == 0
        lines = terminal.screen.splitlines()
    assert max(map(len, lines)) <= columns
    assert not any("\x1b" in line for line in lines)
    if columns < 200:
        assert lines[:5] == [
            "morning",
            "  next  2026-12-01 16:00 JST",
            "  last  2026-11-30 16:00 completed",
            "  times 0 8 * * 1-5  Europe/Berlin",
            '  line  apollo "what is new in the lo…',
        ]
        assert "last 2026-11-30 16:01 skipped: overlap" in " ".join(" ".join(lines).split())
    else:
        assert [line.split()[0] for line in lines] == ["NAME", "morning", "often", "old"]
        assert lines[3].split()[:3] == ["old", "paused", "-"]


def test_what_is_added_is_sent_as_it_was_meant(aish: Shell, hub: ScriptedHub, tmp_path: Path) -> None:
    hub.on("POST /api/v2/schedules", answer(schedule()))
    hub.on("GET /api/v2/status", answer({"schedules": {"starts_again": True}}))
    aish.environment["WHO"] = "it's |"
    for words in (
        ["morning", "0 8 * * *", LINE],
        ["--overlap=queue", "morning", "@daily", "--zone", "UTC", "--session", "log", "apollo", "a|b", "$x"],
        ["morning", "@daily", "--", "apollo -s=diary \"for $WHO\" '$WHO'"],
        ["morning", "@daily", "a,b << $WHO"],
    ):
        added = aish("schedule", "add", *words)
        assert (added.code, added.err) == (0, "")
        assert added.out.startswith("✓ Added the schedule morning: next run 2026-12-01 ")
    sent = hub.bodies("POST /api/v2/schedules")
    assert all(body.pop("cwd") and body.pop("name") == "morning" for body in sent)
    assert sent == [
        {"cron": "0 8 * * *", "line": LINE},
        {
            "overlap": "queue",
            "timezone": "UTC",
            "session": "log",
            "cron": "@daily",
            "line": 'apollo "a|b" "\\$x"',
        },
        {"cron": "@daily", "line": 'apollo --session-id="diary" "for it\'s | \\$WHO"'},
        {"cron": "@daily", "line": 'a,b << "it\'s |"'},
    ]
