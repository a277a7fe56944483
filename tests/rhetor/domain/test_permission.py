"""Which requests are answered by rules, and how."""

from __future__ import annotations

import pytest

from rhetor.domain.event import PermissionAnswered, PermissionAsked, PermissionOption
from rhetor.domain.permission import Rules, Verdict, decided

ONCE = PermissionOption("once", "Once", "allow_once")
ALWAYS = PermissionOption("always", "Always", "allow_always")
NO = PermissionOption("no", "No", "reject_once")
NEVER = PermissionOption("never", "Never", "reject_always")


def request(*options: PermissionOption, tool: str = "Bash") -> PermissionAsked:
    return PermissionAsked("r", tool, {}, options)


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        (Rules(), "ask"),
        (Rules(allow=("Bash",)), "allow"),
        (Rules(allow=("Ba*",)), "allow"),
        (Rules(allow=("*",)), "allow"),
        (Rules(allow=("bash", "Bas", "BashOutput", "Bash(ls)")), "ask"),
        (Rules(allow=("Bash",), ask=("B*",)), "ask"),
        (Rules(allow=("Bash",), ask=("Bash",), deny=("*",)), "deny"),
        (Rules(allow=("Bash",)) + Rules(deny=("Bash",)), "deny"),
        (Rules(deny=("Read",)) + Rules(allow=("*",)), "allow"),
    ],
)
def test_deny_wins_over_ask_and_ask_over_allow(rules: Rules, verdict: Verdict) -> None:
    assert rules.verdict("Bash") == verdict


def test_a_tool_without_a_name_is_never_allowed() -> None:
    assert (Rules(allow=("*",)).verdict(""), Rules(deny=("*",)).verdict("")) == ("ask", "deny")


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ((ALWAYS, ONCE, NO), "once"),
        ((ALWAYS, NO), None),  # the option would grant more than was requested
        ((ONCE, PermissionOption("other", "Another", "allow_once"), NO), None),
        ((), None),
    ],
)
def test_a_rule_allows_once_or_leaves_the_request_to_a_person(
    options: tuple[PermissionOption, ...], chosen: str | None
) -> None:
    answer = decided(Rules(allow=("Bash",)), request(*options))
    assert answer == (PermissionAnswered("r", chosen, "policy") if chosen else None)


@pytest.mark.parametrize(
    ("options", "chosen"), [((ONCE, NEVER, NO), "no"), ((ONCE, NEVER), None), ((), None)]
)
def test_a_denied_tool_is_rejected_whatever_the_options(
    options: tuple[PermissionOption, ...], chosen: str | None
) -> None:
    assert decided(Rules(deny=("Bash",)), request(*options)) == PermissionAnswered("r", chosen, "policy")
