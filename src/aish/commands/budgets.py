"""The budgets, as `aish usage --budgets` and `aish doctor` show them."""

from aish.client.hub import Hub
from aish.commands import show_list
from aish.output import say
from aish.turns.budgets import amount, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Budget = dict[str, Any]

PATH = "/api/v2/budgets"
_HEADING = ("BUDGET", "USED", "RESERVED", "SHARE", "RESETS", "AT THE LIMIT")
_EMPTY = "No budgets; define one in the section budgets of config.yaml"


def show_budgets(hub: Hub, *, as_json: bool) -> int:
    """Print each limit of each budget, with what is used in its current period.

    Raises:
        Failure: the hub cannot be reached.
    """
    budgets = hub.ask("GET", PATH)["budgets"]
    if as_json:
        from aish.output import print_json

        return print_json(budgets)
    limits = [(budget, limit) for budget in budgets for limit in budget["limits"]]
    code = show_list(limits, _HEADING, _row, _EMPTY, as_json=False)
    for budget in budgets:
        if budget["note"]:
            say(f"{budget['name']}: {budget['note']}")
    return code


def _row(shown: "tuple[Budget, dict[str, Any]]") -> "tuple[str, ...]":
    from aish.render import local_time

    budget, limit = shown
    at_limit = "asks" if budget["on_limit"] == "ask" else f"{budget['on_limit']['fallback']} answers"
    return (
        budget["name"],
        described(limit, "spent"),
        amount(limit["reserved"]) if limit["reserved"] not in (0, "0") else "-",
        f"{limit['share']:.0%}",
        local_time(limit["resets_at"]),
        at_limit,
    )
