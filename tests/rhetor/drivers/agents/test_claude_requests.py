"""Claude Code: permission requests, questions and other requests of the agent."""

from __future__ import annotations

from typing import Any

import pytest

from rhetor.domain.output import Permission
from rhetor.domain.questions import Answers
from rhetor.drivers.agents.claude.protocol import ClaudeCode
from tests.rhetor.drivers.agents.claude_lines import asked, protocol, sent, take

ASKED = {
    "subtype": "can_use_tool",
    "tool_name": "Bash",
    "input": {"command": "ls"},
    "permission_suggestions": [
        {"type": "addRules", "rules": [{"toolName": "Bash", "ruleContent": "ls *"}], "behavior": "allow"}
        | {"destination": "localSettings"},
        {"type": "setMode", "mode": "acceptEdits", "destination": "session"},
    ],
}


def ask(claude: ClaudeCode, **request: Any) -> Permission:
    heard = take(claude, type="control_request", request_id="r1", request=ASKED | request)
    [permission] = [output for output in heard.outputs if isinstance(output, Permission)]
    return permission


@pytest.mark.parametrize(
    ("chosen", "answer"),
    [
        ("allow", {"behavior": "allow", "updatedInput": {"command": "ls"}}),
        (
            "allow_always",
            {"behavior": "allow", "updatedInput": {"command": "ls"}}
            | {"updatedPermissions": [ASKED["permission_suggestions"][0]]},  # type: ignore[index]
        ),
        (
            "allow_always_2",
            {"behavior": "allow", "updatedInput": {"command": "ls"}}
            | {"updatedPermissions": [ASKED["permission_suggestions"][1]]},  # type: ignore[index]
        ),
        ("deny", {"behavior": "deny", "message": "The user does not want this to be done."}),
        (None, {"behavior": "deny", "message": "The user did not answer."}),
        ("allow_always_9", {"behavior": "deny", "message": "The user did not answer."}),
        ("yes, do it", {"behavior": "deny", "message": "The user did not answer."}),
    ],
)
@pytest.mark.parametrize("reopened", [False, True])
def test_a_permission_is_answered_once_with_the_unchanged_input(
    chosen: str | None, answer: dict[str, Any], reopened: bool
) -> None:
    claude = protocol()
    permission = ask(claude)
    assert [(one.option_id, one.kind) for one in permission.options] == [
        ("allow", "allow_once"),
        ("allow_always", "allow_always"),
        ("allow_always_2", "allow_always"),
        ("deny", "reject_once"),
    ]
    if reopened:
        claude = protocol()
        claude.resume(True, {"r1": permission.detail})
    response = {"subtype": "success", "request_id": "r1", "response": answer}
    assert sent(claude.answer("r1", chosen)) == [{"type": "control_response", "response": response}]
    assert claude.answer("r1", chosen) == ()


def test_a_question_is_answered_with_one_of_its_options() -> None:
    claude = protocol()
    asked = {"questions": [{"question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}]}]}
    permission = ask(claude, tool_name="AskUserQuestion", input=asked)
    assert [(one.option_id, one.name) for one in permission.options] == [
        ("choose", "Red"),
        ("choose_2", "Blue"),
        ("deny", "Deny"),
    ]
    [answer] = sent(claude.answer("r1", "choose_2"))
    assert answer["response"]["response"] == {
        "behavior": "allow",
        "updatedInput": asked | {"answers": {"Which?": "Blue"}},
    }


def test_several_questions_are_answered_together() -> None:
    claude = protocol()
    given = {"questions": [asked("Colour?", "Red", "Blue"), asked("Sizes?", "S", "L", several=True)]}
    permission = ask(claude, tool_name="AskUserQuestion", input=given)
    assert [(one.option_id, one.kind) for one in permission.options] == [
        ("answer", "allow_once"),
        ("deny", "reject_once"),
    ]
    assert [(q.id, q.question, q.multi_select) for q in permission.questions] == [
        ("1", "Colour?", False),
        ("2", "Sizes?", True),
    ]
    [answer] = sent(claude.answer("r1", None, {"1": ["Red"], "2": ["S", "L"]}))
    assert answer["response"]["response"] == {
        "behavior": "allow",
        "updatedInput": given | {"answers": {"Colour?": "Red", "Sizes?": "S, L"}},
    }


def test_a_multiple_choice_question_accepts_one_option_several_or_a_text() -> None:
    given = {"questions": [asked("Sizes?", "S", "L", several=True, header="size")]}
    cases: list[tuple[str | None, Answers | None, str]] = [
        ("choose_2", None, "L"),
        (None, {"size": ["S", "L"]}, "S, L"),
        (None, {"size": "any"}, "any"),
    ]
    for chosen, answers, expected in cases:
        claude = protocol()
        permission = ask(claude, tool_name="AskUserQuestion", input=given)
        assert [one.name for one in permission.options] == ["S", "L", "Deny"]
        [answer] = sent(claude.answer("r1", chosen, answers))
        assert answer["response"]["response"]["updatedInput"]["answers"] == {"Sizes?": expected}


def test_a_withdrawn_request_accepts_no_answer() -> None:
    claude = protocol()
    ask(claude)
    take(claude, type="control_cancel_request", request_id="r1")
    assert claude.answer("r1", "allow") == ()


def test_after_an_interrupt_pending_requests_accept_no_answer() -> None:
    claude = protocol()
    ask(claude)
    [order] = sent(claude.interrupt())
    assert (order["type"], order["request"]) == ("control_request", {"subtype": "interrupt"})
    assert sent(claude.interrupt())[0]["request_id"] != order["request_id"]
    assert claude.answer("r1", "allow") == ()


def test_an_unknown_control_request_is_rejected() -> None:
    heard = take(protocol(), type="control_request", request_id="r2", request={"subtype": "of_tomorrow"})
    assert sent(heard.writes) == [
        {
            "type": "control_response",
            "response": {"subtype": "error", "request_id": "r2", "error": "not supported"},
        }
    ]
