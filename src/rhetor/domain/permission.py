"""Who answers a request for permission before a person is asked: rules by the name of the tool.

A rule never looks at arguments: what a command line does cannot be told from how it begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from .event import PermissionAnswered, PermissionAsked
from .output import Permission

POLICY = "policy"  # who answered, where a rule did
Verdict = Literal["allow", "ask", "deny"]


class Rules(Struct, frozen=True, gc=False):
    """Names of tools, as the requests have them; one that ends with `*` is all that begin so. What no rule
    names is asked; where several do, `deny` goes before `ask`, and that before `allow`."""

    allow: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def __add__(self, other: Rules) -> Rules:
        return Rules(self.allow + other.allow, self.ask + other.ask, self.deny + other.deny)

    def verdict(self, tool: str) -> Verdict:
        if _names(self.deny, tool):
            return "deny"
        if not tool or _names(self.ask, tool):
            return "ask"
        return "allow" if _names(self.allow, tool) else "ask"


def decided(rules: Rules, asked: PermissionAsked | Permission) -> PermissionAnswered | None:
    """The answer that the rules give; None where a person is to give it. What they allow is allowed once; a
    request that cannot be granted once, or in several ways, is a person's."""
    verdict = rules.verdict(asked.tool)
    once = [option.option_id for option in asked.options if option.kind == "allow_once"]
    refusals = [option.option_id for option in asked.options if option.kind == "reject_once"]
    if verdict == "deny":
        return PermissionAnswered(asked.request_id, next(iter(refusals), None), POLICY)
    if verdict == "allow" and len(once) == 1:
        return PermissionAnswered(asked.request_id, once[0], POLICY)
    return None


def _names(rules: Iterable[str], tool: str) -> bool:
    return any(tool.startswith(rule[:-1]) if rule.endswith("*") else tool == rule for rule in rules)
