"""`aish inbox` and `aish whoami`, with a scripted hub."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.aish.scripted import Ran, ScriptedHub, Shell, answer

NOTE: dict[str, Any] = {
    "id": "0a1b2c3d",
    "from": "jill",
    "to": "apollo",
    "timestamp": "2026-01-02T03:04:05.000Z",
    "purpose": None,
    "message": "look\x1b[2J here",
}
ME: dict[str, Any] = {"subject": "jane", "scopes": ["read", "send"], "ai": None}


@pytest.fixture(autouse=True)
def caller(hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/whoami", answer({**ME, "credential": "socket", "address": "unix pid 7"}))


def test_the_trays_of_this_terminal_are_counted(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/inbox/jill", answer({"prompt": 1, "new": 20, "keep": 0}))
    assert aish("inbox", env={"AISH_NAME": "jill"}) == Ran(0, "prompt:1  new:20  keep:0\n", "")
    assert aish("inbox", "count", env={"AISH_NAME": "jill"}).out == "20\n"
    assert json.loads(aish("inbox", "--json", env={"AISH_NAME": "jill"}).out)["new"] == 20


def test_a_program_of_a_peer_reads_the_trays_of_its_peer(aish: Shell, hub: ScriptedHub) -> None:
    hub.replace("GET /api/v2/whoami", answer({**ME, "ai": "box"}))
    hub.on("GET /api/v2/inbox/box", answer({"prompt": 0, "new": 0, "keep": 3}))
    assert aish("inbox", env={"AISH_NAME": "jill"}).out == "prompt:0  new:0  keep:3\n"


def test_a_message_is_sent_with_the_name_of_the_terminal(aish: Shell, hub: ScriptedHub) -> None:
    for tray in ("new", "keep"):
        hub.on(f"POST /api/v2/inbox/apollo/{tray}", answer(NOTE))
    assert aish("inbox", "send", "apollo", "look here") == Ran(0, "0a1b2c3d\n", "")
    assert aish("inbox", "send", "apollo", "keep", "look", env={"AISH_NAME": "jill"}).code == 0
    assert aish("inbox", "send", "apollo", "keep", given="piped\n").code == 0
    assert hub.bodies("POST /api/v2/inbox/apollo/new") == [{"text": "look here"}]
    assert hub.bodies("POST /api/v2/inbox/apollo/keep") == [
        {"text": "look", "from": "jill"},
        {"text": "piped"},
    ]


def test_messages_are_shown_taken_and_removed(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/inbox/apollo/new", answer({"messages": [NOTE]}))
    hub.on("POST /api/v2/inbox/apollo/new/take", answer({"message": NOTE}), answer({"message": None}))
    hub.on("DELETE /api/v2/inbox/apollo/keep", answer({"removed": 4}))
    shown = aish("inbox", "show", "--peer", "apollo").out
    assert shown.splitlines()[1].split()[:2] == ["0a1b2c3d", "jill"] and "look here" in shown
    assert json.loads(aish("inbox", "json", "--peer=apollo").out) == [NOTE]
    assert aish("inbox", "get", "--peer", "apollo") == Ran(0, "look here\n", "")
    assert aish("inbox", "get", "--peer", "apollo") == Ran(1, "", "aish: no message in the tray new\n")
    assert aish("inbox", "clear", "keep", "--peer", "apollo").out == "✓ Removed 4 from keep\n"


@pytest.mark.parametrize(
    "words", [("show", "bogus"), ("send", "apollo", "bogus", "text"), ("get", "bogus", "--peer", "x")]
)
def test_an_unknown_tray_exits_with_2_and_the_words_that_scripts_read(
    aish: Shell, hub: ScriptedHub, words: tuple[str, ...]
) -> None:
    says = "Error: Invalid inbox type 'bogus'. Must be: prompt, new, keep\n"
    assert aish("inbox", *words) == Ran(2, "", says)


@pytest.mark.parametrize(
    "words",
    [("bogus",), ("send",), ("send", "a", "new", "x", "y"), ("show", "new", "keep"), ("get", "--peer")],
)
def test_invalid_words_exit_with_2_and_the_usage(
    aish: Shell, hub: ScriptedHub, words: tuple[str, ...]
) -> None:
    ran = aish("inbox", *words)
    assert ran.code == 2
    usage = "[json] | aish inbox send PEER" if words == ("bogus",) else words[0]
    assert ran.err.startswith(f"aish: usage: aish inbox {usage} ")


def test_whoami_shows_the_caller(aish: Shell, hub: ScriptedHub) -> None:
    assert aish("whoami", env={"AISH_NAME": "jill"}) == Ran(
        0,
        "name      jane\nscopes    read, send\nby        socket from unix pid 7\nterminal  jill\n",
        "",
    )
    assert json.loads(aish("whoami", "--json").out)["subject"] == "jane"
