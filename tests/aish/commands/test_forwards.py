"""Commands for forwards, routes, context and purposes, with a scripted hub."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.aish.scripted import ScriptedHub, Shell, answer, plan, problem, says, spoken

FORWARD: dict[str, Any] = {
    "from": "apollo",
    "to": "jill",
    "kind": "terminal",
    "json": True,
    "circle": [],
    "failed": None,
}
HOPS = [
    {"ai": "numa", "purpose": None},
    {"ai": "apollo", "purpose": "find\x1b[2J bugs"},
    {"ai": "tekton", "purpose": None},
]
ROUTE = {"name": "review", "hops": HOPS}


def test_forward_prints_the_fixed_wording(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("PUT /api/v2/forwards/apollo", answer(FORWARD))
    assert (
        aish("forward", "apollo", "jill", "json").out == "✓ Forwarding apollo messages to jill (JSON mode)\n"
    )
    assert aish("forward", "apollo", "jill", "-x").out == "✓ Forwarding apollo messages to jill\n"
    assert hub.bodies("PUT /api/v2/forwards/apollo") == [
        {"to": "jill", "json": True, "execute": False},
        {"to": "jill", "json": False, "execute": True},
    ]


def test_forward_of_a_tool_to_a_terminal_prints_the_words_that_scripts_read(
    aish: Shell, hub: ScriptedHub
) -> None:
    hub.on("PUT /api/v2/forwards/box", answer({**FORWARD, "from": "box", "from_kind": "tool"}))
    assert aish("forward", "box", "jill").out == "Forwarding box output to jill terminal\n"
    assert (
        aish("forward", "box", "jill", "json").out
        == "Forwarding box output to jill terminal (with tool metadata)\n"
    )


def test_forward_warns_of_a_loop(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("PUT /api/v2/forwards/apollo", answer({**FORWARD, "circle": ["apollo", "jill", "apollo"]}))
    ran = aish("forward", "apollo", "jill")
    assert (ran.code, "apollo → jill → apollo is a loop" in ran.err) == (0, True)


def test_forward_list_shows_the_last_failure(aish: Shell, hub: ScriptedHub) -> None:
    failed = {"code": "hop_limit", "detail": "too\x1b[2J far"}
    hub.on("GET /api/v2/forwards", answer({"forwards": [{**FORWARD, "failed": failed}]}))
    shown = "FROM    TO               MODE  LAST FAILURE\napollo  jill (terminal)  json  hop_limit: too far\n"
    assert aish("forward", "list").out == aish("forward").out == shown
    assert json.loads(aish("forward", "list", "json").out) == [{**FORWARD, "failed": failed}]


def test_unforward_prints_the_fixed_wording(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("DELETE /api/v2/forwards/apollo", answer(FORWARD))
    assert aish("unforward", "apollo").out == "✓ Stopped forwarding apollo (was going to jill)\n"


def test_empty_lists_are_reported(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/forwards", answer({"forwards": []}))
    hub.on("GET /api/v2/routes", answer({"routes": []}))
    hub.on("GET /api/v2/purposes", answer({"purposes": []}))
    hub.on("GET /api/v2/context/apollo", answer({"ai": "apollo", "staged": [], "next": []}))
    assert aish("forward", "list").out == "No forwards defined\n"
    assert aish("route", "list").out == aish("route").out == "No routes defined\n"
    assert aish("purpose").out == "No purposes\n"
    assert aish("context", "show", "apollo").out == "No context for apollo\n"


def test_a_route_is_defined_shown_and_removed(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("PUT /api/v2/routes/review", answer(ROUTE))
    hub.on("GET /api/v2/routes/review", answer(ROUTE))
    hub.on("GET /api/v2/routes", answer({"routes": [ROUTE]}))
    hub.on("DELETE /api/v2/routes/review", answer(ROUTE))
    made = aish("route", "name", "review", "numa", "apollo", "purpose", "find bugs", "tekton")
    assert made.out == "Route 'review' created: numa → apollo → tekton\n"
    assert hub.bodies("PUT /api/v2/routes/review") == [
        {"hops": [{"ai": "numa"}, {"ai": "apollo", "purpose": "find bugs"}, {"ai": "tekton"}]}
    ]
    assert aish("route", "show", "review").out == (
        "Route 'review': numa → apollo → tekton\n  numa\n  apollo  purpose: \"find bugs\"\n  tekton\n"
    )
    assert aish("route", "list").out == "review: numa → apollo → tekton\n"
    assert json.loads(aish("route", "list", "json").out) == [ROUTE]
    assert aish("route", "remove", "review").out == "✓ Removed route 'review'\n"


STEPS = [
    {"id": "h1", "ai": "numa", "depends_on": []},
    {"id": "h2", "ai": "apollo", "depends_on": ["h1"]},
]


def test_a_message_along_a_route_streams_the_last_answer(aish: Shell, hub: ScriptedHub) -> None:
    said = [*spoken("h1", "numa", "on the way"), *spoken("h2", "apollo", "the ", "end")]
    hub.on("POST /api/v2/routes/review/send", plan(*said, steps=STEPS))
    ran = aish("route", "review", "check", given="piped")
    assert (ran.code, ran.out, ran.err) == (0, "the end\n", "")
    (body,) = hub.bodies("POST /api/v2/routes/review/send")
    assert {name: body[name] for name in body if name != "cwd"} == {"message": "check\n\npiped"}


def test_a_failed_route_exits_with_the_code_of_its_first_failure(aish: Shell, hub: ScriptedHub) -> None:
    failed = {
        "type": "step.failed",
        "step": "h1",
        "data": {"step": "h1", "code": "timeout", "detail": "late"},
    }
    hub.on("POST /api/v2/routes/review/send", plan(failed, steps=STEPS, status="failed"))
    ran = aish("route", "review", "x")
    assert (ran.code, ran.out, ran.err) == (124, "", "aish: h1 failed: late\n")
    assert aish("route", "review").code == 2


def test_context_is_staged_shown_promoted_and_cleared(aish: Shell, hub: ScriptedHub) -> None:
    staged = {"ai": "apollo", "staged": ["we use\x1b[2J Postgres"], "next": ["and Redis"]}
    hub.on("POST /api/v2/context/apollo/stage", answer(staged))
    hub.on("POST /api/v2/context/apollo/promote", answer({**staged, "staged": [], "next": ["a", "b"]}))
    hub.on("GET /api/v2/context/apollo", answer(staged))
    hub.on("DELETE /api/v2/context/apollo", answer(staged))
    assert aish("context", "stage", "apollo", "we", "use").out == "✓ Staged for apollo: 1 staged, 1 next\n"
    assert aish("context", "stage", "apollo", given="piped\n").code == 0
    assert hub.bodies("POST /api/v2/context/apollo/stage") == [{"text": "we use"}, {"text": "piped"}]
    assert aish("context", "show", "apollo").out == "next: and Redis\nstaged: we use Postgres\n"
    assert json.loads(aish("context", "show", "apollo", "json").out) == staged
    assert "0 staged, 2 next" in aish("context", "promote", "apollo").out
    assert aish("context", "clear", "apollo").out == "✓ Cleared the context of apollo\n"


def test_purpose_sets_the_purpose_of_a_peer_or_a_named_terminal(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("PUT /api/v2/purposes/apollo", answer({"name": "apollo", "purpose": "reviews"}))
    hub.on("PUT /api/v2/purposes/jill", answer({"name": "jill", "purpose": None}))
    hub.on("GET /api/v2/purposes", answer({"purposes": [{"name": "apollo", "purpose": "reviews\x07"}]}))
    assert aish("purpose", "apollo", "reviews").out == "✓ Purpose of apollo: reviews\n"
    assert aish("purpose", "", env={"AISH_NAME": "jill"}).out == "✓ Removed the purpose of jill\n"
    assert aish("purpose").out == "NAME    PURPOSE\napollo  reviews\n"


def test_a_named_terminal_sends_its_name_with_each_message(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/ai", answer({"peers": [{"id": "apollo"}]}))
    hub.on("POST /api/v2/ai/apollo/stream", says("x"))
    aish("apollo", "hi", env={"AISH_NAME": "jill"})
    aish("--name", "jack", "-c", "apollo hi", given="")
    aish("apollo", "hi")
    bodies = hub.bodies("POST /api/v2/ai/apollo/stream")
    assert [body.get("from") for body in bodies] == ["jill", "jack", None]


@pytest.mark.parametrize(
    "words",
    [
        ("forward", "apollo"),
        ("forward", "a", "b", "c"),
        ("forward", "list", "x"),
        ("forward", "apollo", "jill", "--now"),
        ("unforward",),
        ("unforward", "a", "b"),
        ("route", "name", "r"),
        ("route", "name", "r", "apollo"),
        ("route", "name", "list", "apollo", "athena"),
        ("route", "name", "r", "purpose", "x", "apollo", "athena"),
        ("route", "name", "r", "apollo", "athena", "purpose"),
        ("route", "show"),
        ("route", "remove"),
        ("route", "list", "x"),
        ("context",),
        ("context", "stage", "apollo"),
        ("context", "promote", "apollo", "x"),
        ("context", "lose", "apollo"),
        ("--name",),
        ("--name", "-i"),
    ],
)
def test_invalid_arguments_are_usage_errors(aish: Shell, words: tuple[str, ...]) -> None:
    ran = aish(*words)
    assert (ran.code, ran.out) == (2, "")


def test_an_unknown_name_exits_with_3(aish: Shell, hub: ScriptedHub) -> None:
    refusal = problem(404, "unknown_peer", "no peer is called 'x'", peer="x")
    hub.on("PUT /api/v2/forwards/apollo", refusal)
    hub.on("POST /api/v2/context/x/stage", refusal)
    for words in (("forward", "apollo", "x"), ("context", "stage", "x", "text")):
        ran = aish(*words)
        assert (ran.code, ran.err.splitlines()[0]) == (3, "Error: Unknown CI or command: x")
        assert ("aish --name x" in ran.err) == (words[0] == "forward")
