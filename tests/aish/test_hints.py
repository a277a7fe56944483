"""The hints of the hub's errors, in the shell."""

from __future__ import annotations

import pytest

from aish.live.errors import error_of
from rhetor import errors
from rhetor.transports.server import problems
from tests.aish.scripted import (
    DONE,
    ScriptedHub,
    Shell,
    answer,
    content,
    event,
    plan,
    problem,
    stream,
)

HINTED = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.RhetorError) and kind.hint
]


@pytest.mark.parametrize("kind", HINTED, ids=lambda k: k.code)
def test_a_hint_is_shown_over_rest_and_in_the_shell(
    kind: type[errors.RhetorError], aish: Shell, hub: ScriptedHub
) -> None:
    error = kind.__new__(kind)
    errors.RhetorError.__init__(error, "it failed")
    told = problems.body(error)
    assert told["hint"] == kind.hint
    hub.on(
        "POST /api/v2/ai/apollo/stream",
        problem(told["status"], told["code"], told["detail"], hint=told["hint"]),
    )
    assert aish("apollo", "hi").err == f"aish: it failed\n{kind.hint}\n"


def test_a_hint_of_a_failed_turn_or_step_is_shown(aish: Shell, hub: ScriptedHub) -> None:
    failed = {"code": "provider_denied", "detail": "the key is invalid", "data": {"hint": "set the key"}}
    shown = "aish: apollo failed: the key is invalid\nset the key\n"
    hub.on("POST /api/v2/ai/apollo/stream", stream({"type": "error", **failed}))
    assert aish("apollo", "hi").err == shown
    steps = [{"id": "1", "peer": "apollo", "depends_on": []}, {"id": "2", "peer": "athena", "depends_on": []}]
    ends = [event("step.failed", step, **failed) for step in ("1", "2")]
    hub.on("POST /api/v2/plans", plan(*ends, steps=steps, status="failed"))
    assert aish("apollo,athena", "hi").err.count("the key is invalid\nset the key\n") == 2


def test_the_hint_of_a_notice_beside_an_answer_is_shown(aish: Shell, hub: ScriptedHub) -> None:
    notice = {"type": "notice", "detail": "no checkpoint of this turn: disk full", "hint": "free some space"}
    hub.on("POST /api/v2/ai/apollo/stream", stream(notice, content("hello"), DONE))
    assert aish("apollo", "hi").err == "aish: no checkpoint of this turn: disk full\nfree some space\n"


def test_the_hint_of_an_error_is_a_part_of_its_text_in_the_python_client() -> None:
    error = error_of({"code": "too_many_turns", "detail": "too many", "hint": "wait", "status": 429})
    assert (error.hint, str(error), error.detail) == ("wait", "too many; wait", "too many")


NAMED = {"websocket_supported": True, "description": "", "capabilities": {"scores": {"code-analysis": 1.0}}}


@pytest.mark.parametrize(
    ("words", "route", "answered", "lines"),
    [
        (
            "aplo hi",
            "POST /api/v2/ai/aplo/stream",
            problem(404, "unknown_peer", "none", peer="aplo"),
            ["Error: Unknown CI or command: aplo", "Did you mean apollo?"],
        ),
        ("-c lst", "", b"", ["Error: Unknown CI or command: lst", "Did you mean list?"]),
        (
            "@code-analisis hi",
            "POST /api/v2/ai/@code-analisis/stream",
            b"",
            ["No AI found for capability: code-analisis", "Did you mean @code-analysis?"],
        ),
        (
            "route show chek",
            "GET /api/v2/routes/chek",
            problem(404, "not_found", "there is no route 'chek'", kind="route", id="chek"),
            [
                "aish: there is no route 'chek'",
                "aish route list shows those that exist",
                "Did you mean check?",
            ],
        ),
        (
            "sessions show wrk",
            "GET /api/v2/sessions?name=wrk",
            answer({"sessions": []}),
            [
                "aish: no session has the name or id 'wrk'",
                "aish sessions list --all shows names and ids",
                "Did you mean work?",
            ],
        ),
    ],
)
def test_the_name_that_was_probably_meant_follows_on_a_line_of_its_own(
    aish: Shell, hub: ScriptedHub, words: str, route: str, answered: bytes, lines: list[str]
) -> None:
    unable = problem(404, "no_capable_peer", lines[0], capability="code-analisis")
    hub.on(route, answered or unable)
    hub.on("POST /api/v2/plans", unable)
    hub.on("GET /api/v2/ai", answer({"peers": [{"id": "apollo", "kind": "specialist", **NAMED}]}))
    hub.on("GET /api/v2/routes", answer({"routes": [{"name": "check", "hops": []}]}))
    session = {"id": "s_1", "name": "work", "specialist_id": "apollo", "used_at": "1"}
    hub.on("GET /api/v2/sessions?state=active", answer({"sessions": [session]}))
    ran = aish(*words.split())
    assert (ran.code, ran.err.splitlines()) == (3, lines)


def test_the_hint_of_a_recipient_that_is_not_reached_is_in_the_list(aish: Shell, hub: ScriptedHub) -> None:
    failing = {"ok": False, "detail": "no program notify-send", "hint": "install libnotify", "waiting": 1}
    recipient = {"name": "desktop", "kind": "desktop", "on": ["budget"], "after": 0.0, **failing}
    hub.on("GET /api/v2/notify", answer({"notify": [recipient]}))
    assert "failing: no program notify-send; install libnotify" in aish("notify", "list").out
