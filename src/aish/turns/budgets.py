"""Shows that a limit of a budget is reached, or nearly. Imported only then."""

from aish.output import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def show_budget(peer: str, data: "dict[str, Any]") -> None:
    """Print how much of a limit is used, and which peer answers instead. `peer`: the one that was asked."""
    if data["then"] == "ask":
        return  # the permission request says the same
    from aish.render import cleaned, local_time

    used = f"{described(data, 'spent')}, until {local_time(data['resets_at'])}"
    if data["then"] == "fallback":
        text = f"{data['peer']} answers instead of {peer}: the budget {data['budget']} is used up ({used})"
    else:
        text = f"{data['share']:.0%} of the budget {data['budget']} is used: {used}"
    say(cleaned(f"aish: {text}"))


def described(limit: "dict[str, Any]", used: str) -> str:
    """Describe what is used of a limit: `900 of 1,000 tokens per day`. `used`: the member with the amount."""
    kind, _, period = limit["limit"].rpartition("_per_")
    unit = " tokens" if kind == "tokens" else ""
    return f"{amount(limit[used])} of {amount(limit['value'])}{unit} per {period}"


def amount(value: "int | str") -> str:
    """Return a number of tokens, or an amount in USD, as text. Cents are always shown."""
    if isinstance(value, int):
        return f"{value:,}"
    dollars, _, rest = value.partition(".")
    return f"${int(dollars):,}.{rest.rstrip('0').ljust(2, '0')}"
