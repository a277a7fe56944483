"""Codex's permission requests: their options and answers.

A request is its `params` with its `method` (observed: app-server 0.169). The answer needs nothing else, so a
later hub can give it too. `availableDecisions` was observed without `decline`, which Codex accepts
nevertheless: the turn continues then, while `cancel` ends it."""

from __future__ import annotations

from typing import Any

from rhetor.domain import questions
from rhetor.domain.event import PermissionOption
from rhetor.domain.questions import ANSWER, Answers, Question
from rhetor.drivers.agents.records import rows, table, text

from . import form

COMMAND = "item/commandExecution/requestApproval"
CHANGE = "item/fileChange/requestApproval"
PERMISSIONS = "item/permissions/requestApproval"
ELICITATION = "mcpServer/elicitation/request"
QUESTION = "item/tool/requestUserInput"
OLD_COMMAND, OLD_CHANGE = "execCommandApproval", "applyPatchApproval"
METHODS = frozenset((COMMAND, CHANGE, PERMISSIONS, ELICITATION, QUESTION, OLD_COMMAND, OLD_CHANGE))

_TOOL = {COMMAND: "shell", OLD_COMMAND: "shell", CHANGE: "apply_patch", OLD_CHANGE: "apply_patch"}

Choice = tuple[PermissionOption, Any]

# decision → its name and what it does
_WORDS = {
    "accept": ("Allow once", "allow_once"),
    "acceptForSession": ("Allow for this session", "allow_always"),
    "acceptWithExecpolicyAmendment": ("Always allow", "allow_always"),
    "applyNetworkPolicyAmendment": ("Always apply to the network", "allow_always"),
    "decline": ("Decline and continue", "reject_once"),
    "cancel": ("Decline and end the turn", "reject_once"),
    "approved": ("Allow once", "allow_once"),
    "approved_for_session": ("Allow for this session", "allow_always"),
    "denied": ("Decline and continue", "reject_once"),
    "abort": ("Decline and end the turn", "reject_once"),
}
_USUAL = ("accept", "acceptForSession", "decline", "cancel")
_OLD = ("approved", "approved_for_session", "denied", "abort")
_REFUSALS = ("decline", "denied")
_ENDS = ("cancel", "abort")
_MAX_NAME = 200


def tool_of(method: str) -> str:
    """Return the name of the requested tool, as in its call, or the method if the request names no tool."""
    return _TOOL.get(method, method)


def options_of(request: dict[str, Any]) -> tuple[PermissionOption, ...]:
    return tuple(option for option, _ in _choices(request))


def questions_of(request: dict[str, Any]) -> tuple[Question, ...]:
    """Return the questions that the request asks: those of the model, or the required fields of a form."""
    match text(request, "method"):
        case "item/tool/requestUserInput":
            return tuple(map(_question, rows(request, "questions")))
        case "mcpServer/elicitation/request":
            return form.questions_of(table(request, "requestedSchema"))
    return ()


def answer_to(request: dict[str, Any], option_id: str | None, answers: Answers | None = None) -> Any:
    """Return the `result` for the chosen option, or for the answers to the questions. None, or an option that
    was not offered, declines, and the turn continues."""
    if answers is not None and text(request, "method") == ELICITATION:
        content = form.content(table(request, "requestedSchema"), answers)
        return {"action": "accept", "content": content}
    if answers is not None:
        return _answered(answers)
    results = {option.option_id: result for option, result in _choices(request) if result is not None}
    refusal = next(results[id] for id in _REFUSALS if id in results)
    return results.get(option_id, refusal) if option_id is not None else refusal


def cancelled(request: dict[str, Any]) -> Any:
    """Return the `result` that ends the turn, or that declines if no choice ends it."""
    results = {option.option_id: result for option, result in _choices(request)}
    return next((results[id] for id in _ENDS if id in results), None) or answer_to(request, None)


def _choices(request: dict[str, Any]) -> list[Choice]:
    match text(request, "method"):
        case "item/permissions/requestApproval":
            return _grants(table(request, "permissions"))
        case "mcpServer/elicitation/request":
            return _elicited(request)
        case "item/tool/requestUserInput":
            return _answers(rows(request, "questions"))
        case "execCommandApproval" | "applyPatchApproval":
            return [_decision(decision) for decision in _OLD]
        case "item/commandExecution/requestApproval":
            return _decisions(request.get("availableDecisions"))
    return [_decision(decision) for decision in _USUAL]


def _decisions(available: Any) -> list[Choice]:
    """Return the choices that the agent offers, then `decline` and `cancel`, which it accepts even if it does
    not offer them."""
    offered = [one for one in available if _name(one)] if isinstance(available, list) else []
    offered = [one for one in offered or _USUAL if one not in _USUAL[2:]] + list(_USUAL[2:])
    choices: dict[str, Choice] = {}
    for decision in offered:
        option, result = _decision(decision)
        id = option.option_id
        if id in choices:
            option = PermissionOption(f"{id}_{len(choices) + 1}", option.name, option.kind)
        choices[option.option_id] = option, result
    return list(choices.values())


def _name(decision: Any) -> str:
    """Return the name of a decision, which is a string, or an object whose only key is the name."""
    if isinstance(decision, dict):
        return next(iter(decision), "")
    return decision if isinstance(decision, str) else ""


def _decision(decision: Any) -> Choice:
    id = _name(decision)
    name, kind = _WORDS.get(id, (id, "allow_once"))
    if isinstance(decision, dict):
        name = f"{name}: {_reach(table(decision, id))}"
        if text(table(table(decision, id), "network_policy_amendment"), "action") == "deny":
            kind = "reject_always"
    return PermissionOption(id, name[:_MAX_NAME], kind), {"decision": decision}


def _reach(amendment: dict[str, Any]) -> str:
    network = table(amendment, "network_policy_amendment")
    if network:
        return f"{text(network, 'action')} {text(network, 'host')}"
    words = amendment.get("execpolicy_amendment")
    return " ".join(map(str, words)) if isinstance(words, list) else ""


def _grants(wanted: dict[str, Any]) -> list[Choice]:
    return [
        (PermissionOption("accept", "Allow for this turn", "allow_once"), _grant(wanted, "turn")),
        (PermissionOption("acceptForSession", *_WORDS["acceptForSession"]), _grant(wanted, "session")),
        (PermissionOption("decline", *_WORDS["decline"]), _grant({}, "turn")),
    ]


def _grant(permissions: dict[str, Any], scope: str) -> dict[str, Any]:
    return {"permissions": permissions, "scope": scope}


def _elicited(request: dict[str, Any]) -> list[Choice]:
    """Return the choices for a form, whose required fields are questions."""
    refusals: list[Choice] = [
        (PermissionOption("decline", *_WORDS["decline"]), {"action": "decline"}),
        (PermissionOption("cancel", *_WORDS["cancel"]), {"action": "cancel"}),
    ]
    if questions_of(request):
        return [(PermissionOption(ANSWER, "Fill in the form", "allow_once"), None), *refusals]
    if table(request, "requestedSchema").get("required"):
        return refusals  # its fields cannot be read
    return [(PermissionOption("accept", *_WORDS["accept"]), {"action": "accept", "content": {}}), *refusals]


def _answers(found: list[dict[str, Any]]) -> list[Choice]:
    refusal: Choice = PermissionOption("decline", "Do not answer", "reject_once"), {"answers": {}}
    asked = tuple(map(_question, found))
    if not asked:
        return [refusal]
    labels = [option.label for option in asked[0].options] if len(asked) == 1 else []
    choices: list[Choice] = [
        (
            PermissionOption(f"choose_{at}", label[:_MAX_NAME], "allow_once"),
            _answered({asked[0].id: [label]}),
        )
        for at, label in enumerate(labels, 1)
    ]
    several: Choice = PermissionOption(ANSWER, "Answer the questions", "allow_once"), None
    return [*(choices or [several]), refusal]


def _answered(answers: Answers) -> dict[str, Any]:
    lists = {id: {"answers": [one] if isinstance(one, str) else one} for id, one in answers.items()}
    return {"answers": lists}


def _question(found: dict[str, Any]) -> Question:
    options = [
        questions.Choice(text(one, "label"), text(one, "description")) for one in rows(found, "options")
    ]
    return Question(
        text(found, "id"),
        text(found, "header"),
        text(found, "question"),
        tuple(option for option in options if option.label),
        secret=found.get("isSecret") is True,
    )
