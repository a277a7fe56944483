"""Schedules from the shell: what a user sees, and what happens while nobody is there."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.e2e.home import Machine

pytestmark = pytest.mark.long
NEXT = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
LINE = 'apollo "what is new?"'
# what is added, the exit code, and a part of what stderr says
REFUSED: list[tuple[list[str], int, str]] = [
    (["@daily", "git log | apollo"], 2, "git is a program, and the hub runs only peers"),
    (["@daily", "short"], 2, "short is an alias"),
    (["@daily", "apolo hi"], 3, "Error: Unknown CI or command: apolo"),
    (["@daily", "apollo hi > out.md"], 2, "`<` and `>` work only in the shell"),
    (["@daily", "history"], 2, "history is a command of the shell"),
    (["@daily", "apollo hi $NOT_SET_HERE"], 2, "the variable NOT_SET_HERE is not set"),
    (["0 25 * * *", "apollo hi"], 2, "bad hour"),
    (["@daily", "--zone", "Mars", "apollo hi"], 2, "unknown time zone 'Mars'"),
    (["@daily", "--overlap", "both", "apollo hi"], 2, "overlap"),
    (["@daily", "--zoom", "UTC", "apollo hi"], 2, "usage: aish schedule add"),
    (["@daily"], 2, "usage: aish schedule add"),
]


@pytest.fixture
def offline(machine: Machine) -> Machine:
    machine.environment |= {"RHETOR_MODELS__DEFAULT": "offline", "TZ": "UTC"}
    return machine


def test_a_schedule_is_added_shown_run_paused_and_removed_from_the_shell(
    offline: Machine, tmp_path: Path
) -> None:
    aish = offline.run
    assert aish("schedule", "list").stdout == "No schedules\n"
    added = aish("schedule", "add", "morning", "0 8 * * 1-5", LINE, cwd=tmp_path)
    assert added.returncode == 0, added.stderr
    assert re.fullmatch(
        rf"✓ Added the schedule morning: next run {NEXT}, answers in the session morning\n", added.stdout
    )
    assert "a shell started this hub" in added.stderr
    votes = aish("schedule", "add", "votes", "@daily", "--zone", "Asia/Tokyo", "apollo,athena << vote")
    assert votes.returncode == 0, votes.stderr
    listed = aish("schedule", "list").stdout.splitlines()
    assert listed[0].split() == ["NAME", "NEXT", "LAST", "TIMES", "LINE"]
    assert re.fullmatch(rf"morning +{NEXT} +- +0 8 \* \* 1-5  UTC +{re.escape(LINE)} *", listed[1])
    assert re.fullmatch(rf"votes +{NEXT} +- +@daily  Asia/Tokyo +apollo,athena << vote *", listed[2])
    ran = aish("schedule", "run", "votes")
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"\A\[From (Apollo|Athena)\]\n\n.*vote", ran.stdout)
    assert ran.stdout.count("[From ") == 2
    events = [json.loads(line) for line in aish("schedule", "run", "morning", "--json").stdout.splitlines()]
    assert events[-1]["type"] == "turn.completed"
    found = json.loads(aish("schedule", "show", "morning", "--json").stdout)
    assert (found["line"], found["cwd"], found["last_run"]["status"]) == (LINE, str(tmp_path), "completed")
    assert "completed" in aish("schedule", "show", "morning").stdout
    assert "## hub:schedule" in aish("session", "show", "morning").stdout
    assert aish("schedule", "pause", "votes").stdout == "✓ Paused the schedule votes\n"
    assert re.search(rf"^schedules 1 active, 1 paused, next {NEXT}; ", aish("status").stdout, re.M)
    assert re.fullmatch(
        rf"✓ Resumed the schedule votes: next run {NEXT}\n", aish("schedule", "resume", "votes").stdout
    )
    assert aish("schedule", "remove", "votes").stdout == "✓ Removed the schedule votes\n"
    missing = aish("schedule", "show", "votes")
    said = "aish: there is no schedule 'votes'\naish schedule list shows those that exist\n"
    assert (missing.returncode, missing.stderr) == (3, said)


def test_what_cannot_be_scheduled_is_said_with_an_exit_code_before_it_is_stored(offline: Machine) -> None:
    offline.run("alias", "create", "short", "apollo hi")
    for words, code, why in REFUSED:
        ran = offline.run("schedule", "add", "bad", *words)
        assert (ran.returncode, why in ran.stderr) == (code, True), (words, ran.stderr)
    assert offline.run("schedule", "list").stdout == "No schedules\n"
    _variables_and_words_become_a_line_that_the_hub_can_read(offline)


def _variables_and_words_become_a_line_that_the_hub_can_read(offline: Machine) -> None:
    variables = {"WHAT": 'a "b" | c'}
    offline.run("schedule", "add", "one", "@daily", "apollo \"say $WHAT\" 'and $WHAT'", variables=variables)
    offline.run("schedule", "add", "two", "@daily", "apollo", "a | b", "c")
    lines = [each["line"] for each in json.loads(offline.run("schedule", "list", "--json").stdout)]
    assert lines == ['apollo "say a \\"b\\" | c and \\$WHAT"', 'apollo "a | b" c']
    ran = offline.run("schedule", "run", "one")
    assert 'say a "b" | c and $WHAT' in ran.stdout


def test_a_killed_hub_runs_what_was_missed_once_and_status_says_that_none_runs(offline: Machine) -> None:
    offline.run("schedule", "add", "often", "* * * * *", "apollo hi")
    offline.run("schedule", "add", "paused", "@daily", "apollo hi")
    offline.run("schedule", "pause", "paused")
    offline.kill_hub()
    status = offline.run("status")
    assert (status.returncode, "1 waiting; they run only while a hub is running" in status.stdout) == (
        5,
        True,
    )
    assert json.loads(offline.run("status", "--json").stdout) == {"running": False, "schedules": 1}
    assert "1 waiting" in offline.run("doctor").stdout
    _let_time_pass(offline, minutes=90)
    offline.run("list")  # starts a hub
    for _ in range(200):
        found = json.loads(offline.run("schedule", "show", "often", "--json").stdout)
        if found["last_run"] and found["last_run"]["status"] == "completed":
            break
        time.sleep(0.05)
    assert datetime.fromisoformat(found["next_at"]) > datetime.now(UTC)
    session = json.loads(offline.run("session", "show", "often", "--json").stdout)
    assert [each["content"] for each in session["messages"]][:1] == ["apollo hi"]
    assert len(session["messages"]) == 2
    assert "schedule.run often" in offline.rhetor("audit", "show").stdout


def _let_time_pass(machine: Machine, minutes: int) -> None:
    """Let the stored next time be so long ago, as after a night without a hub."""
    database: sqlite3.Connection = machine.database()
    with database:
        for id, doc in database.execute("SELECT id, doc FROM rows WHERE kind = 'schedule'").fetchall():
            decoded = json.loads(doc)
            if decoded["due"] is not None:
                decoded["due"] -= minutes * 60_000
                decoded["counted"] -= minutes * 60_000
            changed = json.dumps(decoded).encode()
            database.execute("UPDATE rows SET doc = ? WHERE kind = 'schedule' AND id = ?", (changed, id))
    database.close()
