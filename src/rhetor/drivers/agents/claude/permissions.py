"""Claude Code's permission requests: their options and answers.

A request is the `request` object of a `control_request` (observed: 2.1.197). The answer needs nothing else,
so a later hub can give it too."""

from __future__ import annotations

from typing import Any

from rhetor.domain.event import PermissionOption
from rhetor.domain.questions import ANSWER, Answers, Choice, Question, with_ids
from rhetor.drivers.agents.records import rows, table, text

DENIED = "The user does not want this to be done."
UNANSWERED = "The user did not answer."

_ALLOW, _ALWAYS, _DENY, _CHOOSE = "allow", "allow_always", "deny", "choose"
_MAX_NAME = 200


def options_of(request: dict[str, Any]) -> tuple[PermissionOption, ...]:
    """Return the options: allow once, each wider permission that the request suggests, and deny.

    If the request is a question, the options are its answers and deny. Several questions need answers of
    their own, for which one option stands.
    """
    deny = PermissionOption(_DENY, "Deny", "reject_once")
    if questions := questions_of(request):
        labels = [choice.label for choice in questions[0].options] if len(questions) == 1 else []
        choices = [_option(_CHOOSE, at, label, "allow_once") for at, label in enumerate(labels)]
        return (*(choices or [PermissionOption(ANSWER, "Answer the questions", "allow_once")]), deny)
    wider = rows(request, "permission_suggestions")
    return (
        PermissionOption(_ALLOW, "Allow once", "allow_once"),
        *(
            _option(_ALWAYS, at, _reach(one), "allow_always")
            for at, one in enumerate(wider)
            if one.get("behavior") != "deny"
        ),
        deny,
    )


def questions_of(request: dict[str, Any]) -> tuple[Question, ...]:
    """Return the questions that the request asks; empty for other tools."""
    if text(request, "tool_name") != "AskUserQuestion":
        return ()
    return with_ids(tuple(map(_question, rows(table(request, "input"), "questions"))))


def answer_to(
    request: dict[str, Any], option_id: str | None, answers: Answers | None = None
) -> dict[str, Any]:
    """Return the `response` for the chosen option, or for the answers to the questions. None, or an option
    that was not offered, denies."""
    if answers is not None:
        return _answered(request, {q.question: answers[q.id] for q in questions_of(request)})
    offered = {option.option_id for option in options_of(request)}
    if option_id is None or option_id not in offered or option_id in (_DENY, ANSWER):
        said = DENIED if option_id == _DENY else UNANSWERED
        return {"behavior": "deny", "message": said}
    given = table(request, "input")
    kind, at = _kind_and_place(option_id)
    if kind == _CHOOSE:
        [question] = questions_of(request)
        return _answered(request, {question.question: question.options[at].label})
    allowed: dict[str, Any] = {"behavior": "allow", "updatedInput": given}
    if kind == _ALWAYS:
        allowed["updatedPermissions"] = [rows(request, "permission_suggestions")[at]]
    return allowed


def _option(kind: str, at: int, name: str, effect: str) -> PermissionOption:
    """Return the option with index `at` of its kind. The id of the first is the kind; the ids of the others
    add a number, from 2."""
    return PermissionOption(kind if at == 0 else f"{kind}_{at + 1}", name[:_MAX_NAME], effect)


def _kind_and_place(option_id: str) -> tuple[str, int]:
    for kind in (_ALWAYS, _CHOOSE):
        if option_id.startswith(kind):
            number = option_id.removeprefix(kind).removeprefix("_")
            return kind, int(number) - 1 if number else 0
    return _ALLOW, 0


def _answered(request: dict[str, Any], answers: Answers) -> dict[str, Any]:
    """Return the response with the answers by the text of their questions. Several labels are joined by
    commas, as the Agent SDK documents."""
    plain = {asked: one if isinstance(one, str) else ", ".join(one) for asked, one in answers.items()}
    return {"behavior": "allow", "updatedInput": table(request, "input") | {"answers": plain}}


def _question(found: dict[str, Any]) -> Question:
    options = [Choice(text(one, "label"), text(one, "description")) for one in rows(found, "options")]
    return Question(
        "",
        text(found, "header"),
        text(found, "question"),
        tuple(option for option in options if option.label),
        found.get("multiSelect") is True,
    )


def _reach(suggestion: dict[str, Any]) -> str:
    """Return the name of a suggestion: what it would allow, and where that would be stored."""
    match suggestion.get("type"):
        case "addRules" | "replaceRules":
            what = "Always allow " + ", ".join(_rule(rule) for rule in rows(suggestion, "rules"))
        case "addDirectories":
            folders = suggestion.get("directories")
            what = f"Allow the folders {', '.join(map(str, folders)) if isinstance(folders, list) else ''}"
        case "setMode":
            what = f"Switch to the mode {text(suggestion, 'mode')}"
        case other:
            what = f"Allow with {other}"
    return f"{what} ({text(suggestion, 'destination') or 'session'})"


def _rule(rule: dict[str, Any]) -> str:
    content = text(rule, "ruleContent")
    return f"{text(rule, 'toolName')}({content})" if content else text(rule, "toolName")
