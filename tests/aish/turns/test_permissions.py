"""Requests for permission in the shell: listed, approved, denied."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aish.turns.permissions import summary, what_runs
from tests.aish.scripted import Ran, ScriptedHub, Shell, answer, problem

LIST = "GET /api/v2/permissions"
ONCE = {"option_id": "allow", "name": "Allow", "kind": "allow_once"}
ALWAYS = {"option_id": "always", "name": "Always allow", "kind": "allow_always"}
DENY = {"option_id": "deny", "name": "Deny", "kind": "reject_once"}


def _request(id: str, *options: dict[str, str]) -> dict[str, Any]:
    return {
        "request_id": id,
        "session_id": "s_1",
        "turn_id": "t_1",
        "peer": "claude-code",
        "tool": "Bash",
        "detail": {"command": "rm \x1b[31m-r x"},
        "options": list(options),
        "expires_at": "2026-11-21T00:10:00.000Z",
        "asked_at": "2026-11-21T00:00:00.000Z",
    }


BASH, EDIT = _request("toolu_1", ONCE, ALWAYS, DENY), _request("toolu_22", DENY, ALWAYS)


def _answered(id: str) -> str:
    return f"POST /api/v2/sessions/s_1/permissions/{id}"


@pytest.fixture
def hub_with_requests(hub: ScriptedHub) -> ScriptedHub:
    hub.on(LIST, answer({"permissions": [BASH, EDIT]}))
    for request in (BASH, EDIT):
        hub.on(_answered(request["request_id"]), answer({"request_id": request["request_id"]}))
    return hub


def test_approve_without_an_id_lists_the_requests_and_approves_none(
    aish: Shell, hub_with_requests: ScriptedHub
) -> None:
    ran = aish("approve")
    assert (ran.code, ran.err) == (0, "")
    assert "toolu_1  claude-code asks to use Bash, until 2026-11-21 00:10:00" in ran.out
    assert "allow (Allow), always (Always allow), deny (Deny)" in ran.out
    assert "\x1b" not in ran.out
    assert json.loads(aish("approve", "--json").out) == [BASH, EDIT]
    assert hub_with_requests.bodies(_answered("toolu_1")) == []


def test_the_command_of_a_request_is_shown_in_full(aish: Shell, hub: ScriptedHub) -> None:
    command = "touch " + " ".join(f"file-{n}" for n in range(60))
    detail = {"subtype": "can_use_tool", "reason": "x" * 300, "input": {"command": command}}
    hub.on(LIST, answer({"permissions": [BASH | {"detail": detail}, EDIT]}))
    lines = aish("approve").out.splitlines()
    assert lines[1:4] == [
        f"    {command}",
        f"    reason: {'x' * 300}",
        "    allow (Allow), always (Always allow), deny (Deny)",
    ]


def test_every_argument_is_shown_in_full_whatever_the_model_calls_it(aish: Shell, hub: ScriptedHub) -> None:
    arguments = {"command": "ls README", "note": "y" * 500, "path": "/home/me/everything"}
    hub.on(LIST, answer({"permissions": [BASH | {"detail": {"call_id": "c", "arguments": arguments}}, EDIT]}))
    lines = aish("approve").out.splitlines()
    assert lines[1:4] == [f"    {name}: {value}" for name, value in arguments.items()]
    short = summary("remove", {"call_id": "c", "arguments": arguments})
    assert short.startswith("remove(command: ls README, note: yyy")
    assert short.endswith("…[+459]…yyyyyyyyyyyyyyyyy, path: /home/me/everything)")


def test_an_argument_can_neither_be_hidden_nor_imitate_another_part(aish: Shell, hub: ScriptedHub) -> None:
    hidden = "rm x\u200b\u3164\r\n    allow (Allow)"
    arguments = {"input": "ls", "rawInput": {"command": "ls"}, "path": hidden}
    for container in ("arguments", "input", "rawInput"):
        hub.on(LIST, answer({"permissions": [BASH | {"detail": {container: arguments}}, EDIT]}))
        lines = aish("approve").out.splitlines()
        assert lines[1:5] == [
            "    input: ls",
            '    rawInput: {"command":"ls"}',
            "    path: rm x\\u200b\\u3164\\r",
            "    │     allow (Allow)",
        ]


def test_a_call_without_arguments_is_shown_by_its_title_and_its_texts(aish: Shell, hub: ScriptedHub) -> None:
    said = {"type": "content", "content": {"type": "text", "text": "[in /work] (a command)"}}
    call = {
        "toolCallId": "c_1",
        "status": "pending",
        "kind": "execute",
        "title": "touch made",
        "content": [said],
    }
    hub.on(LIST, answer({"permissions": [BASH | {"detail": {**call, "locations": []}}, EDIT]}))
    lines = aish("approve").out.splitlines()
    assert lines[1:4] == [
        "    touch made",
        "    [in /work] (a command)",
        "    allow (Allow), always (Always allow), deny (Deny)",
    ]


def test_a_tool_that_only_its_title_names_is_shown_with_it() -> None:
    call = {"toolCallId": "c_1", "title": "Ask a peer", "kind": "other", "rawInput": {"peer": "apollo"}}
    assert what_runs(call) == ["peer: apollo", "title: Ask a peer"]
    assert what_runs({**call, "kind": "execute"}) == ["peer: apollo"]
    assert what_runs({**call, "rawInput": {"title": "x", "peer": "apollo"}})[-1] == "title: Ask a peer"


def test_a_diff_is_shown_below_the_name_of_its_file() -> None:
    diff = "\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-one\n+two\n"
    call = {"toolCallId": "c_1", "title": "Edit file", "kind": "edit"}
    shown = what_runs({**call, "rawInput": {"fileName": "/srv/x", "diff": diff}})
    assert shown == ["/srv/x", *(f"│ {line}" for line in diff.strip().splitlines())]


def test_the_description_of_a_request_comes_after_its_command(aish: Shell, hub: ScriptedHub) -> None:
    detail = {"reason": "harmless", "command": "rm -r x", "cwd": "/srv"}
    hub.on(LIST, answer({"permissions": [BASH | {"detail": detail}, EDIT]}))
    lines = aish("approve").out.splitlines()
    assert lines[1:4] == ["    command: rm -r x", "    cwd: /srv", "    reason: harmless"]


def test_approve_without_pending_requests_reports_it(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(LIST, answer({"permissions": []}))
    assert aish("approve") == Ran(0, "No pending permission requests\n", "")
    ran = aish("approve", "toolu")
    assert (ran.code, ran.out) == (3, "")
    assert "no pending request 'toolu'" in ran.err


@pytest.mark.parametrize(
    ("words", "id", "option"),
    [
        (("approve", "toolu_1"), "toolu_1", "allow"),
        (("approve", "toolu_22"), "toolu_22", "always"),
        (("approve", "toolu_2"), "toolu_22", "always"),
        (("approve", "toolu_1", "always allow"), "toolu_1", "always"),
        (("approve", "toolu_1", "DENY"), "toolu_1", "deny"),
        (("deny", "toolu_1"), "toolu_1", "deny"),
    ],
)
def test_a_request_is_answered_with_one_of_its_own_options(
    aish: Shell, hub_with_requests: ScriptedHub, words: tuple[str, ...], id: str, option: str
) -> None:
    ran = aish(*words)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("✓ claude-code: ")
    assert hub_with_requests.bodies(_answered(id)) == [{"option_id": option}]


def test_the_only_pending_request_is_shown_and_approved_without_its_id(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(_answered("toolu_1"), answer({"request_id": "toolu_1"}))
    command = "ls " + "x" * 500 + "; rm\u2800\u200b -r /\nmake"
    hub.on(LIST, answer({"permissions": [BASH | {"detail": {"reason": "harmless", "command": command}}]}))
    ran = aish("approve")
    assert (ran.code, ran.out) == (0, "✓ claude-code: Allow (Bash)\n")
    assert ran.err.splitlines() == [
        "toolu_1  claude-code asks to use Bash, until 2026-11-21 00:10:00",
        "    command: ls " + "x" * 500 + r"; rm\u2800\u200b -r /",
        "    │ make",
        "    reason: harmless",
        "    allow (Allow), always (Always allow), deny (Deny)",
    ]
    assert hub.bodies(_answered("toolu_1")) == [{"option_id": "allow"}]


def test_the_only_pending_request_is_shown_before_it_is_answered(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(_answered("toolu_1"), problem(409, "conflict", "permission toolu_1 is answered"))
    hub.on(LIST, answer({"permissions": [BASH]}))
    shown, failed = aish("approve").err.split("aish: ")
    assert r"    rm \x1b[31m-r x" in shown.splitlines()
    assert failed == "permission toolu_1 is answered\n"


def _question(id: str, text: str, *labels: str, several: bool = False) -> dict[str, Any]:
    options = [{"label": label, "description": ""} for label in labels]
    return {"id": id, "header": id, "question": text, "options": options, "multi_select": several}


COLOUR = _question("colour", "Which colour?", "Red", "Blue, dark")
SIZES, KEY = _question("sizes", "Which sizes?", "S", "L", several=True), _question("key", "Which a=b?")
QUESTIONS = _request("toolu_1", ONCE, DENY) | {"questions": [COLOUR, SIZES, KEY]}


@pytest.mark.parametrize(
    ("given", "answers"),
    [
        (
            ("colour=Red", "sizes=S,L", "key=x=y, z"),
            {"colour": ["Red"], "sizes": ["S", "L"], "key": "x=y, z"},
        ),
        (
            ("Which colour?=blue, dark", "2=l", "Which a=b?=c"),
            {"colour": ["Blue, dark"], "sizes": ["L"], "key": "c"},
        ),
        (("sizes=S", "sizes=L", "1=red", "3=c"), {"colour": ["Red"], "sizes": ["S", "L"], "key": "c"}),
    ],
)
@pytest.mark.parametrize("id", [("toolu_1",), ()])
def test_questions_are_answered_by_their_names(
    aish: Shell, hub: ScriptedHub, id: tuple[str, ...], given: tuple[str, ...], answers: dict[str, Any]
) -> None:
    hub.on(_answered("toolu_1"), answer({"request_id": "toolu_1"}))
    hub.on(LIST, answer({"permissions": [QUESTIONS]}))
    words = [word for each in given for word in ("--answer", each)]
    ran = aish("approve", *id, *words)
    assert (ran.code, "    Which sizes? (S, L; one or more)\n" in ran.err) == (0, not id)
    assert ran.out.startswith("✓ claude-code: ")
    assert hub.bodies(_answered("toolu_1")) == [{"answers": answers}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "it asks: Which colour? (Red, Blue, dark); Which sizes? (S, L; one or more); Which a=b?"),
        ((), "aish approve toolu_1 --answer 'colour=…' --answer 'sizes=…' --answer 'key=…'"),
        (("--answer", "colour=Green"), "'Green' does not answer 'colour'; choose from: Red, Blue, dark"),
        (("--answer", "size=S"), "--answer needs QUESTION=LABEL, not 'size=S'"),
        (("--answer", "colour=Red"), "no answer to: Which sizes? (S, L; one or more)"),
        (("--answer",), "usage: aish approve"),
        (("--answer", "--json"), "usage: aish approve"),
        (("deny", "--answer", "colour=Red"), "usage: aish approve"),
    ],
)
def test_questions_are_not_answered_by_guessing(
    aish: Shell, hub: ScriptedHub, words: tuple[str, ...], said: str
) -> None:
    hub.on(_answered("toolu_1"), answer({"request_id": "toolu_1"}))
    hub.on(LIST, answer({"permissions": [QUESTIONS]}))
    ran = aish("approve", "toolu_1", *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert hub.bodies(_answered("toolu_1")) == []


def test_questions_are_listed_with_their_labels(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(_answered("toolu_1"), answer({"request_id": "toolu_1"}))
    hub.on(LIST, answer({"permissions": [QUESTIONS, EDIT]}))
    assert "    Which sizes? (S, L; one or more)\n" in aish("approve").out
    ran = aish("approve", "toolu_22", "--answer", "colour=Red")
    assert (ran.code, ran.out) == (2, "")
    assert "toolu_22 asks no questions; choose one of: deny (Deny), always (Always allow)" in ran.err
    assert "2 requests are pending" in aish("approve", "--answer", "colour=Red").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("approve", "toolu"), "2 request ids begin with 'toolu'"),
        (("approve", "toolu_1", "maybe"), "'maybe' is not an option; choose one of: allow (Allow)"),
        (("approve", "a", "b", "c"), "usage: aish approve"),
        (("approve", "a", "--json"), "usage: aish approve"),
        (("deny",), "usage: aish deny"),
    ],
)
def test_invalid_arguments_are_usage_errors(
    aish: Shell, hub_with_requests: ScriptedHub, words: tuple[str, ...], said: str
) -> None:
    ran = aish(*words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_deny_never_chooses_an_allowing_option(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(LIST, answer({"permissions": [_request("r", ALWAYS)]}))
    ran = aish("deny", "r")
    assert (ran.code, ran.out) == (2, "")
    assert "choose an option with aish approve r OPTION: always (Always allow)" in ran.err


def test_answering_an_answered_request_is_a_failure(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(LIST, answer({"permissions": [BASH]}))
    hub.on(_answered("toolu_1"), problem(409, "conflict", "permission toolu_1 is answered"))
    ran = aish("approve", "toolu_1")
    assert (ran.code, ran.out) == (1, "")
    assert "is answered" in ran.err


PAUSED = {
    **_request("q_1", {"option_id": "now", "name": "Continue now", "kind": "allow_once"}, DENY),
    "tool": "quota",
    "detail": {
        "paused": "quota",
        "reason": "limit\nreached \x1b[31m",
        "resets_at": "2026-11-21T00:10:00.000Z",
        "then": "now",
    },
    "expires_at": None,
}


def test_the_request_of_a_paused_turn_says_why_and_until_when(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(LIST, answer({"permissions": [PAUSED, BASH]}))
    first, options, *_ = aish("approve").out.splitlines()
    assert first.startswith(
        "q_1  claude-code is paused until 2026-11-21 00:10:00, and continues by itself: limit"
    )
    assert "\x1b" not in first
    assert options.strip() == "now (Continue now), deny (Deny)"
    assert summary("quota", PAUSED["detail"]).startswith("is paused until 2026-11-21 00:10:00")
