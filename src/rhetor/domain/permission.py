"""Rules that answer permission requests before a person is asked. They match the name of the tool.

Rules ignore arguments, because the beginning of a command line does not show what the command does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from .event import PermissionAnswered, PermissionAsked
from .output import Permission

POLICY = "policy"  # the value of `by` if a rule answered the request
Verdict = Literal["allow", "ask", "deny"]


class Rules(Struct, frozen=True, gc=False):
    """Names of tools, as they appear in requests. A name that ends with `*` matches all that begin with it.

    If no rule matches a tool, a person is asked. If several rules match, `deny` wins over `ask`, and `ask`
    over `allow`.
    """

    allow: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def __add__(self, other: Rules) -> Rules:
        return Rules(self.allow + other.allow, self.ask + other.ask, self.deny + other.deny)

    def verdict(self, tool: str) -> Verdict:
        """Return whether to allow the tool, deny it, or ask a person. A nameless tool is never allowed."""
        if _matching(self.deny, tool) is not None:
            return "deny"
        if not tool or _matching(self.ask, tool) is not None:
            return "ask"
        return "allow" if _matching(self.allow, tool) is not None else "ask"

    def rule_for(self, tool: str) -> str:
        """Return the rule that decides about the tool, such as `allow:Read*`; empty if none does."""
        verdict = self.verdict(tool)
        found = _matching(getattr(self, verdict), tool)
        return "" if found is None else f"{verdict}:{found}"


class Decided(Struct, frozen=True, gc=False):
    """An answer that a rule gave to the request of a tool."""

    answer: PermissionAnswered
    tool: str
    rule: str


def decided(rules: Rules, asked: PermissionAsked | Permission) -> PermissionAnswered | None:
    """Return the answer that the rules give, or None if a person must answer.

    Rules allow a request only once, never permanently. If a request that they allow does not have exactly one
    option to allow it once, or asks questions, a person must answer.
    """
    verdict = rules.verdict(asked.tool)
    once = [option.option_id for option in asked.options if option.kind == "allow_once"]
    refusals = [option.option_id for option in asked.options if option.kind == "reject_once"]
    if verdict == "deny":
        return PermissionAnswered(asked.request_id, next(iter(refusals), None), POLICY)
    if verdict == "allow" and len(once) == 1 and not asked.questions:
        return PermissionAnswered(asked.request_id, once[0], POLICY)
    return None


def _matching(rules: Iterable[str], tool: str) -> str | None:
    """Return the first rule that matches the tool."""
    for rule in rules:
        if tool.startswith(rule[:-1]) if rule.endswith("*") else tool == rule:
            return rule
    return None
