"""Splits a text into its lines: `make && git diff | apollo; list`. It does not know what a line contains."""

from .text import BLANKS, GrammarError, brackets, compound_end, unit_end
from .words import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    Condition: TypeAlias = Literal["", "&&", "||"]


class Line(Value):
    """One line of a list. `condition`: it runs only if the line before it has succeeded (`&&`) or failed
    (`||`). `start`: its index in the whole text."""

    __slots__ = ("condition", "start", "text")
    text: str
    condition: "Condition"
    start: int

    def __init__(self, text: str, condition: "Condition" = "", start: int = 0) -> None:
        self._fill(text=text, condition=condition, start=start)


def split_list(text: str) -> list[Line]:
    """Split a text at unquoted `;`, `&&` and `||`. A final `;` ends the last line. What stands in brackets,
    or in a compound command of `sh`, is not split.

    Raises:
        GrammarError: a line is missing, or a quote or a compound command is not closed.
    """
    lines: list[Line] = []
    condition: Condition = ""
    begin = 0
    for operator, at in _separators(text):
        if not text[begin:at].strip(BLANKS):
            raise GrammarError(f"a line is missing before {operator}", at + 1)
        lines.append(Line(text[begin:at], condition, begin))
        condition = operator if operator != ";" else ""  # type: ignore[assignment]
        begin = at + len(operator)
    if text[begin:].strip(BLANKS):
        lines.append(Line(text[begin:], condition, begin))
    elif condition:
        raise GrammarError(f"a line is missing after {condition}", begin, unfinished=True)
    return lines


def _separators(text: str) -> list[tuple[str, int]]:
    closing = brackets(text)
    found: list[tuple[str, int]] = []
    at, begins_stage = 0, True
    while at < len(text):
        if begins_stage and (end := compound_end(text, at)):
            at, begins_stage = end, False
            continue
        operator = next((each for each in (";", "&&", "||") if text.startswith(each, at)), "")
        if operator:
            found.append((operator, at))
            at += len(operator)
            begins_stage = True
            continue
        if text[at] not in BLANKS:
            begins_stage = text[at] == "|"
        at = closing.get(at) or unit_end(text, at)
    return found
