"""Codex: approvals, questions and other requests of the agent."""

from __future__ import annotations

from typing import Any

import pytest

from rhetor.domain.output import Permission
from rhetor.drivers.agents.codex.protocol import Codex
from tests.rhetor.drivers.agents.codex_lines import meaning, protocol, sent, started, take, tell

COMMAND = "item/commandExecution/requestApproval"


def ask(codex: Codex, method: str, **params: Any) -> Permission:
    heard = take(codex, id=0, method=method, params={"threadId": "t1", "turnId": "u1"} | params)
    [permission] = [output for output in heard.outputs if isinstance(output, Permission)]
    return permission


AMEND = {"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["touch", "x"]}}
WANTED = {"network": {"enabled": True}}


@pytest.mark.parametrize(
    ("method", "params", "offered", "chosen", "result"),
    [
        (
            COMMAND,
            {"availableDecisions": ["accept", AMEND, "cancel"]},
            ["accept", "acceptWithExecpolicyAmendment", "decline", "cancel"],
            "acceptWithExecpolicyAmendment",
            {"decision": AMEND},
        ),
        (COMMAND, {}, ["accept", "acceptForSession", "decline", "cancel"], "accept", {"decision": "accept"}),
        (COMMAND, {}, ["accept", "acceptForSession", "decline", "cancel"], None, {"decision": "decline"}),
        (
            "item/fileChange/requestApproval",
            {},
            ["accept", "acceptForSession", "decline", "cancel"],
            "yes, do it",
            {"decision": "decline"},
        ),
        (
            "item/permissions/requestApproval",
            {"permissions": WANTED},
            ["accept", "acceptForSession", "decline"],
            "acceptForSession",
            {"permissions": WANTED, "scope": "session"},
        ),
        (
            "item/permissions/requestApproval",
            {"permissions": WANTED},
            ["accept", "acceptForSession", "decline"],
            None,
            {"permissions": {}, "scope": "turn"},
        ),
        (
            "mcpServer/elicitation/request",
            {"requestedSchema": {"required": ["name"]}},
            ["answer", "decline", "cancel"],
            "accept",
            {"action": "decline"},
        ),
        (
            "mcpServer/elicitation/request",
            {"requestedSchema": {"properties": {}}},
            ["accept", "decline", "cancel"],
            "accept",
            {"action": "accept", "content": {}},
        ),
        (
            "item/tool/requestUserInput",
            {
                "questions": [
                    {"id": "q", "question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}]}
                ]
            },
            ["choose_1", "choose_2", "decline"],
            "choose_2",
            {"answers": {"q": {"answers": ["Blue"]}}},
        ),
        (
            "execCommandApproval",
            {},
            ["approved", "approved_for_session", "denied", "abort"],
            None,
            {"decision": "denied"},
        ),
    ],
)
@pytest.mark.parametrize("reopened", [False, True])
def test_a_permission_is_answered_once_in_the_agents_format(
    method: str, params: dict[str, Any], offered: list[str], chosen: str | None, result: Any, reopened: bool
) -> None:
    codex = started()
    permission = ask(codex, method, **params)
    assert [option.option_id for option in permission.options] == offered
    if reopened:
        codex = protocol(memory=dict(codex.memory))
        codex.resume(True, {permission.request_id: permission.detail})
    assert sent(codex.answer(permission.request_id, chosen)) == [{"id": 0, "result": result}]
    assert codex.answer(permission.request_id, chosen) == ()


def test_questions_are_answered_by_their_ids() -> None:
    codex = started()
    questions = [
        {
            "id": "c",
            "header": "Colour",
            "question": "Which?",
            "options": [{"label": "Red"}, {"label": "Blue"}],
        },
        {"id": "k", "header": "Key", "question": "Which key?", "isSecret": True, "options": None},
    ]
    params = {"threadId": "t1", "turnId": "u1", "itemId": "i", "questions": questions}
    [asked] = meaning(take(codex, id=9, method="item/tool/requestUserInput", params=params))
    assert isinstance(asked, Permission)
    assert [option.option_id for option in asked.options] == ["answer", "decline"]
    assert [(q.id, len(q.options), q.secret) for q in asked.questions] == [("c", 2, False), ("k", 0, True)]
    lines = codex.answer(asked.request_id, None, {"c": ["Blue"], "k": "abc"})
    answers = {"c": {"answers": ["Blue"]}, "k": {"answers": ["abc"]}}
    assert sent(lines) == [{"id": 9, "result": {"answers": answers}}]


def test_the_required_fields_of_a_form_are_questions() -> None:
    codex = started()
    fields = {
        "name": {"type": "string", "title": "Name"},
        "count": {"type": "integer"},
        "sure": {"type": "boolean"},
        "kind": {"type": "string", "oneOf": [{"const": "a", "title": "Type A"}]},
        "tags": {"type": "array", "items": {"enum": ["x", "y"]}},
        "extra": {"type": "string"},
    }
    schema = {"type": "object", "properties": fields, "required": ["name", "count", "sure", "kind", "tags"]}
    params = {"threadId": "t1", "turnId": "u1", "message": "Fill in", "requestedSchema": schema}
    [asked] = meaning(take(codex, id=9, method="mcpServer/elicitation/request", params=params))
    assert isinstance(asked, Permission)
    assert [option.option_id for option in asked.options] == ["answer", "decline", "cancel"]
    offered = {q.id: [choice.label for choice in q.options] for q in asked.questions}
    assert offered == {"name": [], "count": [], "sure": ["Yes", "No"], "kind": ["Type A"], "tags": ["x", "y"]}
    answers: Any = {"name": "n", "count": "3", "sure": ["No"], "kind": ["Type A"], "tags": ["x", "y"]}
    content = {"name": "n", "count": 3, "sure": False, "kind": "a", "tags": ["x", "y"]}
    assert sent(codex.answer(asked.request_id, None, answers)) == [
        {"id": 9, "result": {"action": "accept", "content": content}}
    ]


def test_the_changes_of_a_patch_are_part_of_its_request() -> None:
    codex = started()
    changes = [{"path": "/home/user/new.txt", "kind": {"type": "add"}, "diff": "hello\n"}]
    tell(codex, "item/started", item={"type": "fileChange", "id": "c1", "changes": changes})
    permission = ask(codex, "item/fileChange/requestApproval", itemId="c1")
    assert (permission.tool, permission.detail["changes"]) == ("apply_patch", changes)


def test_a_request_resolved_elsewhere_accepts_no_answer() -> None:
    codex = started()
    permission = ask(codex, COMMAND)
    tell(codex, "serverRequest/resolved", requestId=0)
    assert codex.answer(permission.request_id, "accept") == ()


def test_an_interrupt_cancels_pending_requests_then_the_turn() -> None:
    codex = started()
    permission = ask(codex, COMMAND)
    answer, order = sent(codex.interrupt())
    assert answer == {"id": 0, "result": {"decision": "cancel"}}
    assert order["method"] == "turn/interrupt"
    assert codex.answer(permission.request_id, "accept") == ()


def test_an_unknown_request_is_rejected() -> None:
    heard = take(started(), id="x", method="item/tool/call", params={})
    assert sent(heard.writes) == [
        {"id": "x", "error": {"code": -32601, "message": "item/tool/call is not supported"}}
    ]
