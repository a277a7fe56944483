"""The keys that answer a permission request, one for each option that the agent offers."""

from aish.render import one_line, revealed
from aish.screen.cells import width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

DETAILS = "d"
_GAP = "  "
# kind of an option → its key and what is written beside it
_KINDS = {
    "allow_once": ("y", "allow once"),
    "allow_always": ("a", "allow always"),
    "reject_once": ("n", "deny"),
    "reject_always": ("x", "deny always"),
}
_DIGITS = "123456789"
# names of options that say no more than their kind
_PLAIN_NAMES = frozenset(
    (
        *("allow", "allow once", "yes", "approve", "deny", "reject", "no", "cancel", "decline"),
        *("allow always", "always allow", "always", "reject once", "reject always", "allow for this session"),
        *("decline and continue", "allow_once", "allow_always", "reject_once", "once", "always reject"),
    )
)


class Choice:
    """An option and its key. `remark`: what the agent calls the option, if that says more than the label."""

    def __init__(self, key: str, label: str, option: "dict[str, Any]", remark: str = "") -> None:
        self.key = key
        self.label = label
        self.option = option
        self.remark = remark

    @property
    def shown(self) -> str:
        return f"[{self.key}] {self.label}"


def choices_of(options: "Iterable[dict[str, Any]]", *, by_name: bool = False) -> "list[Choice]":
    """Return a choice for each option. The first option of a kind has the key of its kind; others have digits
    and their own names. `by_name`: all have their own names."""
    found: list[Choice] = []
    digits = iter(_DIGITS)
    for option in options:
        key, label = _KINDS.get(str(option["kind"]), ("", ""))
        name = one_line(revealed(str(option["name"])))
        if not key or any(choice.key == key for choice in found):
            key, label = next(digits, ""), name
        elif by_name:
            label = name
        if key:
            remark = "" if label == name or name.casefold() in _PLAIN_NAMES else name
            found.append(Choice(key, label, dict(option), remark))
    return sorted(found, key=_place)


def lines_of(choices: "Sequence[Choice]", columns: int, *more: str) -> "list[str]":
    """Return the choices as lines of at most so many columns, where that is possible."""
    words = [*(choice.shown for choice in choices), *more]
    lines = words[:1]
    for word in words[1:]:
        if width(lines[-1]) + len(_GAP) + width(word) <= columns:
            lines[-1] += f"{_GAP}{word}"
        else:
            lines.append(word)
    return lines


def _place(choice: Choice) -> int:
    """Return where a choice stands: y, a, then digits, then n and x."""
    return {"y": 0, "a": 1, "n": 3, "x": 4}.get(choice.key, 2)
