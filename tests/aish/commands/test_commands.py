"""Commands of the shell, with a scripted hub or without one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from aish.cli import main
from aish.commands import COMMANDS
from tests.aish.scripted import Ran, ScriptedHub, Shell, answer, problem

STATUS = {
    "version": "0.1.0",
    "pid": 77,
    "started_at": "2026-01-01T00:00:00.000Z",
    "home": "/h",
    "sockets": ["unix:/h/hub.sock", "http://127.0.0.1:8300"],
    "url": "http://127.0.0.1:8300",
    "peers": 2,
    "sessions": 1,
    "running": 0,
    "provider": {"name": "local", "model": "m", "base_url": "http://127.0.0.1:11434/v1"},
}


def peer(id: str, kind: str, **more: Any) -> dict[str, Any]:
    plain = {"id": id, "name": id.title(), "kind": kind, "description": f"{id} does", "status": "idle"}
    nothing: dict[str, Any] = {
        "port": None,
        "pid": None,
        "capabilities": {"scores": {}},
        "sessions": 0,
        "forwards": [],
    }
    return {**plain, **nothing, **more}


PEERS = {
    "peers": [
        peer("shell", "terminal", pid=42, forwards=["jill"]),
        peer("apollo", "specialist", description="analyst\x1b[2J"),
    ]
}


def test_list_shows_peers_by_kind(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/ai", answer(PEERS))
    assert aish("list").out == (
        "NAME    TYPE      STATUS  AT      DESCRIPTION\n"
        "apollo  greek     idle            analyst\n"
        "shell   terminal  idle    pid 42  shell does → jill\n"
    )
    assert [line.split()[0] for line in aish("list", "type", "terminal").out.splitlines()] == [
        "NAME",
        "shell",
    ]
    assert aish("list", "type", "tool").out == "No peers\n"


def test_history_and_search_leave_out_the_lines_around_the_answers_of_other_peers(
    aish: Shell, hub: ScriptedHub
) -> None:
    fence = "--- 0123456789abcdef ---"
    text = f"[From Athena]\n{fence}\ntwo levels\n{fence}\n\nreview --- this"
    common = {"at": "2026-11-30T09:00:00.000Z", "ai": "apollo"}
    found = {"message": text, "response": "ok", "model": None, **common}
    hub.on("GET /api/v2/history?limit=20", answer({"history": [found]}))
    hit = {"role": "user", "excerpt": text, "highlights": [[text.index("levels"), 6]], **common}
    hub.on("GET /api/v2/search?q=levels", answer({"hits": [hit]}))
    shown = "[From Athena] two levels review --- this"
    assert f"  > {shown}\n" in aish("history").out
    assert aish("search", "levels").out == f"2026-11-30 09:00:00  you to apollo\n  {shown}\n"


def test_a_missing_program_is_shown_as_not_installed(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/ai", answer({"peers": [peer("codex", "tool", status="missing")]}))
    assert aish("list").out.splitlines()[1] == "codex  tool  not installed      codex does"


@pytest.mark.parametrize("words", [("list",), ("-c", "list")])
def test_an_unexpected_error_is_one_sentence_and_logged_with_its_traceback(
    aish: Shell, hub: ScriptedHub, home: Path, words: tuple[str, ...]
) -> None:
    hub.on("GET /api/v2/ai", answer({"peers": [{"id": "apollo", "kind": None}, {}]}))
    ran = aish(*words)
    log = home / "aish.log"
    assert ran == Ran(1, "", f"aish: unexpected error (KeyError: 'kind')\nthe details are in {log}\n")
    assert log.read_text().startswith("Traceback") and log.stat().st_mode & 0o777 == 0o600


def test_list_prints_json(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/ai", answer(PEERS))
    (shown,) = json.loads(aish("list", "type", "terminal", "json").out)
    assert shown == {
        "name": "shell",
        "type": "terminal",
        "description": "shell does",
        "status": "idle",
        "model": None,
        "port": None,
        "pid": 42,
        "capabilities": {"scores": {}},
        "sessions": 0,
        "forwards": ["jill"],
    }


def test_status_shows_a_running_hub(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/status", answer(STATUS))
    ran = aish("status")
    assert (ran.code, ran.err) == (0, "")
    assert "pid 77" in ran.out and "local m at http://127.0.0.1:11434/v1" in ran.out
    assert json.loads(aish("status", "--json").out) == {"running": True, **STATUS}


def test_status_reports_that_no_hub_is_running_without_starting_one(aish: Shell, home: Path) -> None:
    assert aish("status") == Ran(5, "hub  not running (the first message starts it)\n", "")
    assert json.loads(aish("status", "--json").out) == {"running": False}
    assert list(home.iterdir()) == []


SOCKETS: list[dict[str, Any]] = [
    {"socket_id": "rhetor", "ai": "rhetor", "readers": 0, "waiting": 0, "head": None},
    {"socket_id": "apollo-1", "ai": "apollo", "readers": 2, "waiting": 3, "head": 17},
]


def test_sockets_shows_readers_and_unread_messages(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/ai/socket", answer({"sockets": SOCKETS}))
    assert aish("sockets").out == (
        "NAME      PEER    READERS  WAITING  HEAD\n"
        "rhetor    rhetor  0        0        -\n"
        "apollo-1  apollo  2        3        17\n"
    )
    assert json.loads(aish("sockets", "--json").out) == SOCKETS


def test_shutdown_reports_that_no_hub_is_running(aish: Shell, home: Path) -> None:
    assert aish("shutdown") == Ran(0, "No hub is running\n", "")
    assert list(home.iterdir()) == []


def test_doctor_names_variables_and_never_their_values(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/status", answer(STATUS))
    hub.on("GET /api/v2/tools?check=true", answer({"tools": []}))
    ran = aish("doctor", env={"OPENAI_API_KEY": "sk-secret"})
    assert (ran.code, ran.err) == (0, "")
    assert "✓ variables  OPENAI_API_KEY\n" in ran.out and "sk-secret" not in ran.out
    assert "✓ provider   local m" in ran.out


def test_doctor_says_how_to_get_a_provider_only_if_none_answers(aish: Shell, hub: ScriptedHub) -> None:
    offline = {"name": "offline", "model": None}
    hub.on("GET /api/v2/status", answer(STATUS), answer({**STATUS, "provider": offline}))
    hub.on("GET /api/v2/tools?check=true", answer({"tools": []}))
    assert aish("doctor").out.endswith("\n– variables  none set\n")
    assert "– variables  none set; set OPENAI_API_KEY" in aish("doctor").out


def test_doctor_prints_json(aish: Shell, hub: ScriptedHub) -> None:
    failed = {"name": "unknown", "model": None, "error": "box is down", "hint": "start it"}
    hub.on("GET /api/v2/status", answer({**STATUS, "provider": failed}))
    hub.on("GET /api/v2/tools?check=true", problem(403, "forbidden", "not you", hint="ask ann"))
    ran = aish("doctor", "--json")
    assert (ran.code, ran.err) == (1, "")
    found = {each.pop("check"): each for each in json.loads(ran.out)}
    assert found["provider"] == {"state": "note", "detail": "none: box is down; start it"}
    assert found["agents"] == {"state": "failed", "detail": "not you; ask ann"}
    assert found["python"]["state"] == "ok"


def test_doctor_and_status_show_the_hint_of_a_provider_that_fails(aish: Shell, hub: ScriptedHub) -> None:
    failed = {"name": "unknown", "model": None, "error": "box is down", "hint": "start it"}
    hub.on("GET /api/v2/status", answer({**STATUS, "provider": failed}))
    hub.on("GET /api/v2/tools?check=true", problem(403, "forbidden", "not you", hint="ask ann"))
    ran = aish("doctor")
    assert "– provider   none: box is down; start it\n" in ran.out
    assert "✗ agents     not you; ask ann\n" in ran.out
    assert "none: box is down; start it" in aish("status").out


@pytest.mark.parametrize(
    ("certificate", "code", "line"),
    [
        (
            {"state": "expired", "expires": "2026-01-31T12:00:00.000Z"},
            1,
            "✗ certificate expired on 2026-01-31, so other machines cannot connect; "
            "to renew it, run: rhetor cert create --replace\n",
        ),
        (
            {"state": "expires_soon", "expires": "2026-01-31T12:00:00.000Z"},
            0,
            "– certificate expires on 2026-01-31; to renew it, run: rhetor cert create --replace\n",
        ),
        (
            {"state": "valid", "expires": "2026-01-31T12:00:00.000Z"},
            0,
            "✓ certificate valid until 2026-01-31\n",
        ),
    ],
)
def test_doctor_says_when_the_certificate_expires(
    aish: Shell, hub: ScriptedHub, certificate: dict[str, str], code: int, line: str
) -> None:
    hub.on("GET /api/v2/status", answer({**STATUS, "certificate": {**certificate, "detail": None}}))
    hub.on("GET /api/v2/tools?check=true", answer({"tools": []}))
    ran = aish("doctor")
    assert ran.code == code
    assert line in ran.out


def test_doctor_has_a_row_for_every_agent(aish: Shell, hub: ScriptedHub) -> None:
    well = {"check": "version", "ok": True, "detail": "2.1", "version": "2.1"}
    broken = {"check": "version", "ok": False, "detail": "no result within 5 s", "version": None}
    there = {"installed": True, "path": "/bin/it", "how_to_install": "get it"}
    tools = [
        {"name": "one", **there, "health": well, "login": {"known": "yes", "how": "K is set"}},
        {"name": "two", **there, "health": well, "login": {"known": "no", "how": "log in"}},
        {"name": "claude-code", **there, "health": broken, "login": {"known": "unknown", "how": "ask it"}},
        {"name": "four", "installed": False, "path": None, "how_to_install": "get it"},
    ]
    hub.on("GET /api/v2/status", answer(STATUS))
    hub.on("GET /api/v2/tools?check=true", answer({"tools": tools}))
    ran = aish("doctor")
    assert ran.code == 0
    rows = [line for line in ran.out.splitlines() if line.split()[1] in ("one", "two", "claude-code", "four")]
    assert rows == [
        "✓ one         2.1; /bin/it; logged in: yes (K is set)",
        "– two         2.1; /bin/it; logged in: no (log in)",
        "– claude-code does not answer: no result within 5 s; /bin/it; logged in: unknown (ask it)",
        "– four        not installed; get it",
    ]


def test_doctor_shows_missing_programs_and_their_install_commands(aish: Shell, home: Path) -> None:
    home.chmod(0o755)
    ran = aish("doctor")
    assert ran.code == 1
    assert f"✗ home        {home} has mode 0755, so others can read it; run chmod 700\n" in ran.out
    assert "– hub         not running" in ran.out
    assert "– variables   none set; set OPENAI_API_KEY" in ran.out


def test_a_command_with_invalid_arguments_shows_its_syntax(aish: Shell) -> None:
    for words in (
        ("list", "type", "roman"),
        ("status", "x"),
        ("sockets", "x"),
        ("shutdown", "now"),
        ("doctor", "who"),
    ):
        ran = aish(*words)
        assert (ran.code, ran.err.startswith(f"aish: usage: aish {words[0]}")) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        ("context", "stage", "apollo", "--json", "text"),
        ("purpose", "--bogus"),
        ("purpose", "apollo", "text", "-x"),
        ("search", "word", "--bogus", "apollo"),
        ("search", "word", "--peer", "--json"),
        ("search", "word", "--peer="),
        ("history", "search", "--since", "7d"),
        ("history", "--since", "7d", "--limit", "3"),
        ("route", "name", "r", "apollo", "--json", "athena"),
        ("ci-terminal", "-n", "box", "-d", "--", "bash"),
        ("ci-terminal", "-n", "box", "--prompt", "-d", "x", "--", "bash"),
        ("ci-tool", "-n", "--", "cat"),
        ("tools", "launch", "codex", "--session", "--"),
        ("sessions", "list", "--tool", "--all"),
        ("wait", "apollo", "--timeout", "--any"),
    ],
)
def test_an_option_of_a_command_becomes_neither_text_nor_a_value(
    aish: Shell, hub: ScriptedHub, words: tuple[str, ...]
) -> None:
    ran = aish(*words, env={"AISH_NAME": "jill"})
    assert (ran.code, ran.out, hub.requests) == (2, "", [])
    assert ran.err.startswith("aish: usage: aish ")


def test_text_of_a_command_can_follow_two_dashes(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("PUT /api/v2/purposes/apollo", answer({"name": "apollo", "purpose": "-x"}))
    assert aish("purpose", "apollo", "--", "-x").code == 0
    assert hub.bodies("PUT /api/v2/purposes/apollo") == [{"text": "-x"}]


def test_help_names_every_command_in_80_columns_and_needs_no_hub(aish: Shell) -> None:
    helped = aish("--help")
    assert (helped.code, helped.err, aish("help")) == (0, "", helped)
    assert set(re.findall(r"[\w-]+", helped.out)) >= COMMANDS
    assert [line for line in helped.out.splitlines() if len(line) > 80] == []
    assert aish("--version").out.startswith("aish ")


def test_help_shows_the_syntax_of_each_command(capfd: pytest.CaptureFixture[str]) -> None:
    for command in sorted(COMMANDS):
        assert main([command, "--help"]) == 0
        helped = capfd.readouterr()
        name = "sessions" if command == "session" else command
        assert helped.err == ""
        assert helped.out.startswith(f"usage: aish {name}")
        assert (main(["help", command]), capfd.readouterr()) == (0, helped)


def test_help_of_a_subcommand_shows_its_options_and_two_examples(aish: Shell) -> None:
    helped = aish("session", "fork", "--help")
    assert helped == Ran(
        0,
        "usage: aish sessions fork SESSION [NEW] [--at CHECKPOINT] [--cwd FOLDER]\n"
        "         [--worktree [FOLDER]] [--json]\n\n"
        "Create a session that continues from this point.\n\n"
        "Options:\n"
        "  --at CHECKPOINT       continue from this checkpoint\n"
        "  --cwd FOLDER          copy the files of the session into this new folder\n"
        "  --worktree [FOLDER]   copy them into a git worktree, by default next to the\n"
        "                        repository\n"
        "  --json                print JSON\n\n"
        "Examples:\n"
        "  aish session fork cache\n"
        "      a copy with the name cache-2\n"
        "  aish session fork fix try --at before --worktree\n"
        "      from a checkpoint, with its own files\n",
        "",
    )
    assert aish("help", "sessions", "fork") == aish("sessions", "fork", "cache", "-h") == helped
    assert aish("route", "-h").out.startswith(
        'usage: aish route ROUTE "message"\n       aish route name NAME (HOP [purpose "text"])… HOP\n'
        "       aish route list [json]\n       aish route show ROUTE [json]\n"
        "       aish route remove ROUTE\n\n"
        "Define named chains of peers, and send messages along them.\n"
    )
    assert aish("help", "exit-codes").out.startswith("Exit codes: 0 done, 1 the peer failed")
    assert aish("help", "nobody") == Ran(3, "", "Error: Unknown CI or command: nobody\n")
    assert aish("-c", "help wait").out == aish("wait", "-h").out
