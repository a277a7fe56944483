"""Claude Code's permission requests: their options and answers.

A request is the `request` object of a `control_request` (observed: 2.1.197). The answer needs nothing else,
so a later hub can give it too."""

from __future__ import annotations

from typing import Any

from rhetor.domain.event import PermissionOption
from rhetor.drivers.agents.records import rows, table, text

DENIED = "The user does not want this to be done."
UNANSWERED = "The user did not answer."

_ALLOW, _ALWAYS, _DENY, _CHOOSE = "allow", "allow_always", "deny", "choose"
_MAX_NAME = 200


def options_of(request: dict[str, Any]) -> tuple[PermissionOption, ...]:
    """Return the options: allow once, each wider permission that the request suggests, and deny. If the
    request is a question, the options are its answers and deny."""
    deny = PermissionOption(_DENY, "Deny", "reject_once")
    if text(request, "tool_name") == "AskUserQuestion":
        _, choices = _question(request)
        return (*(_option(_CHOOSE, at, choice, "allow_once") for at, choice in enumerate(choices)), deny)
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


def answer_to(request: dict[str, Any], option_id: str | None) -> dict[str, Any]:
    """Return the `response` for the chosen option. None, or an option that was not offered, denies."""
    offered = {option.option_id for option in options_of(request)}
    if option_id is None or option_id not in offered or option_id == _DENY:
        said = DENIED if option_id == _DENY else UNANSWERED
        return {"behavior": "deny", "message": said}
    given = table(request, "input")
    kind, at = _kind_and_place(option_id)
    if kind == _CHOOSE:
        question, choices = _question(request)
        given = given | {"answers": {question: choices[at]}}
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


def _question(request: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the question and its answers; empty unless there is a single question with a single choice."""
    questions = rows(table(request, "input"), "questions")
    if len(questions) != 1 or questions[0].get("multiSelect") is True:
        return "", []
    labels = [text(option, "label") for option in rows(questions[0], "options")]
    return text(questions[0], "question"), [label for label in labels if label]


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
