"""`aish sessions …`, with a scripted hub."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aish.commands.times import age, parse_time
from aish.exits import Failure
from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import ScriptedHub, Shell, answer, problem

WORK: dict[str, Any] = {
    "id": "s_1",
    "name": "work",
    "specialist_id": "apollo",
    "state": "active",
    "started": True,
    "used_at": "2026-01-02T03:04:05.000Z",
    "created_at": "2026-01-01T00:00:00.000Z",
    "metadata": {"cwd": "/src", "imported": {"title": "why\x1b[2J\nis it slow?"}},
    "summary": {
        "first": "why\x1b[2J is it slow?",
        "messages": 2,
        "cost": "0.01234",
        "cost_is_complete": False,
    },
    "messages": [
        {"role": "user", "content": "why?", "timestamp": "2026-01-02T03:04:05.000Z"},
        {"role": "assistant", "content": "because", "timestamp": "2026-01-02T03:04:06.000Z"},
    ],
}
UNUSED = {**WORK, "id": "s_9", "name": "unused", "started": False}
OVER = {**WORK, "id": "s_0", "name": "old", "state": "stopped", "metadata": {}}


@pytest.fixture(autouse=True)
def known(hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/sessions?summary=true", answer({"sessions": [WORK, UNUSED, OVER]}))
    for state, found in (("active", [WORK, UNUSED]), ("paused", []), ("waiting", [])):
        hub.on(f"GET /api/v2/sessions?state={state}", answer({"sessions": found}))
        hub.on(f"GET /api/v2/sessions?state={state}&summary=true", answer({"sessions": found}))
    hub.on("GET /api/v2/sessions?name=work", answer({"sessions": [WORK]}))
    hub.on("GET /api/v2/sessions?name=none", answer({"sessions": []}))
    hub.on("GET /api/v2/ai/apollo", answer({"id": "apollo"}))


def test_list_shows_open_sessions_and_with_all_every_session(aish: Shell) -> None:
    shown = aish("sessions", "list").out.splitlines()
    days = (datetime.now(UTC) - datetime.fromisoformat(WORK["used_at"])).days
    assert " ".join(shown[0].split()) == "NAME TOOL STATE AGE MESSAGES COST ID FIRST WORDS"
    assert " ".join(shown[1].split()) == f"work apollo active {days} d 2 0.0123+ s_1 why is it slow?"
    assert len(shown) == 2
    assert [line.split()[0] for line in aish("session", "list", "--all").out.splitlines()[1:]] == [
        "work",
        "old",
    ]
    assert json.loads(aish("sessions", "list", "--json").out) == [WORK]


def test_unused_sessions_are_not_listed_and_the_last_used_one_comes_first(
    aish: Shell, hub: ScriptedHub
) -> None:
    nothing_known = {"first": "x" * 70, "messages": 1, "cost": None, "cost_is_complete": False}
    new = {**WORK, "id": "s_2", "name": "new", "state": "paused", "summary": nothing_known}
    later = {**new, "used_at": "2026-01-03T03:04:05.000Z"}
    for state, found in (("active", [WORK]), ("paused", [later, UNUSED]), ("waiting", [])):
        hub.on(f"GET /api/v2/sessions?tool=apollo&state={state}&summary=true", answer({"sessions": found}))
    lines = aish("sessions", "list", "--tool", "apollo").out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "new", "work"]
    assert lines[1].endswith(f"  unknown  s_2  {'x' * 59}…")


def test_a_new_session_is_in_the_current_folder_by_default(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("POST /api/v2/sessions", answer(WORK))
    assert aish("session", "create", "work", "--tool", "apollo").out == (
        "✓ Created session work with apollo (s_1)\n"
    )
    assert aish("session", "create", "work", "--tool=apollo", "--cwd", "/", "-s", "3").code == 0
    plain = {"specialist_id": "apollo", "name": "work", "cwd": str(aish.folder)}
    assert hub.bodies("POST /api/v2/sessions") == [plain, {**plain, "context_window": 3, "cwd": "/"}]


@pytest.mark.long
def test_resume_at_a_terminal_opens_a_conversation(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("POST /api/v2/sessions/s_1/resume", answer(WORK))
    hub.on("POST /api/v2/ai/apollo/message", problem(409, "peer_busy", "apollo is busy"))
    with at_terminal(aish, "session", "resume", "work") as terminal:
        terminal.wait_for("apollo> ")
        terminal.type("hello\n")
        terminal.wait_for("aish: apollo is busy\n")
        terminal.type("exit\n")
        assert terminal.wait_for_end() == 0
    assert hub.bodies("POST /api/v2/sessions/s_1/resume") == [{"standing": True, "cwd": str(aish.folder)}]
    (said,) = hub.bodies("POST /api/v2/ai/apollo/message")
    assert said["session_id"] == "s_1"


def test_show_prints_the_messages(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/sessions/s_1?messages=20", answer(WORK))
    assert aish("session", "show", "work").out.splitlines()[-7:] == [
        *("## You · 2026-01-02 03:04:05", "", "why?"),
        *("", "## apollo · 2026-01-02 03:04:06", "", "because"),
    ]


def test_an_unknown_session_exits_with_3(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/sessions/none?messages=0", problem(404, "not_found", "there is no session 'none'"))
    for words in (("show", "none"), ("delete", "none"), ("export", "none"), ("resume", "none")):
        ran = aish("session", *words)
        assert (ran.code, ran.err) == (
            3,
            "aish: no session has the name or id 'none'\naish sessions list --all shows names and ids\n",
        )


def test_import_reports_the_result_of_each_file(aish: Shell, hub: ScriptedHub) -> None:
    plain = {"session_id": None, "new": 0, "known": 0, "malformed": 0, "skipped": None, "error": None}
    files = [
        {**plain, "path": "/a.jsonl", "session_id": "s_1", "new": 3, "malformed": 1},
        {**plain, "path": "/b.jsonl", "error": "not a regular file"},
    ]
    report = {"dry_run": False, "files": files, "unchanged": 7, "more": True}
    hub.on("POST /api/v2/imports", answer(report))
    ran = aish("sessions", "import", "--tool", "apollo", "--since", "2026-01-02", "x.jsonl")
    assert (ran.code, ran.out) == (
        1,
        "NEW  KNOWN  LINES LOST  SESSION             FILE\n"
        "3    0      1           s_1                 /a.jsonl\n"
        "0    0      0           not a regular file  /b.jsonl\n"
        "✓ Imported 3 turns of 1 conversation\n"
        "There are more files than one run reads; run the command again\n",
    )
    (body,) = hub.bodies("POST /api/v2/imports")
    hub.replace("POST /api/v2/imports", answer({**report, "dry_run": True, "files": files[:1]}))
    tried = aish("sessions", "import", "--dry-run")
    assert (tried.code, "✓ Would import 3 turns of 1 conversation\n" in tried.out) == (0, True)
    assert hub.bodies("POST /api/v2/imports")[1] == {"paths": [], "dry_run": True}
    assert (body["tool"], body["paths"]) == ("apollo", [str(aish.folder / "x.jsonl")])
    assert datetime.fromisoformat(body["since"]).utcoffset() is not None


def test_a_time_is_an_age_or_a_date() -> None:
    now = datetime.now(UTC)
    for text, days in (("7d", 7.0), ("12h", 0.5), ("2w", 14.0)):
        assert abs((now - datetime.fromisoformat(parse_time(text))).total_seconds() - days * 86_400) < 60
    assert parse_time("2026-01-02T03:04:05+00:00") == "2026-01-02T03:04:05+00:00"
    for text in ("7x", "", "d", "yesterday"):
        with pytest.raises(Failure, match="invalid time"):
            parse_time(text)


def test_an_age_has_its_largest_unit() -> None:
    now = datetime.now(UTC)
    for seconds, shown in (
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (7200, "2 h"),
        (172_801, "2 d"),
        (-5, "0 s"),
    ):
        assert age((now - timedelta(seconds=seconds)).isoformat()) == shown
