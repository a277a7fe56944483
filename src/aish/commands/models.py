"""`aish models`: which models exist, what they take and cost, and which peers use them."""

from aish.client.hub import Hub
from aish.commands import JSON_WORDS, show_list, usage_error
from aish.output import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HEADING = ("MODEL", "TAKES", "USD/1M IN", "OUT", "USED BY")
_LONGEST_PEERS = 40  # characters
_LOCAL = ("list", "pull", "remove", "use")  # the subcommands about the models that the hub runs itself


def models(words: "list[str]") -> int:
    """List the models, or those that a word is a part of; or manage the local ones.

    Raises:
        Failure: the words are invalid, or the hub cannot be reached or rejects the request.
    """
    if words and words[0] in _LOCAL:
        from aish.commands.local_models import SUBCOMMANDS

        return SUBCOMMANDS[words[0]](words[1:])
    as_json = any(word in JSON_WORDS for word in words)
    parts = [word.lower() for word in words if word not in JSON_WORDS]
    if len(parts) > 1 or any(part.startswith("-") for part in parts):
        raise usage_error("models")
    found = Hub().ask("GET", "/api/v2/models")
    listed = [model for model in found["models"] if all(_has(model, part) for part in parts)]
    for silent in found["silent"]:
        hint = f"; {silent['hint']}" if silent["hint"] else ""
        say(f"aish: {silent['provider']} did not list its models: {silent['detail']}{hint}")
    return show_list(listed, _HEADING, _row, "No models", as_json=as_json)


def _has(model: "dict[str, Any]", part: str) -> bool:
    return part in model["model"].lower() or part in model["peers"]


def _row(model: "dict[str, Any]") -> "tuple[str, ...]":
    price = model["price"] or {"input_per_1m": "unknown", "output_per_1m": ""}
    name = f"{model['model']} (default)" if model["is_default"] else model["model"]
    used = model["error"] or _peers(model["peers"])
    return name, _takes(model), price["input_per_1m"], price["output_per_1m"], used


def _takes(model: "dict[str, Any]") -> str:
    if model["takes"] is None:
        return "text, more when it runs"
    return ", ".join([*model["takes"], *(["json"] if model["json"] else [])])


def _peers(names: "list[str]") -> str:
    """Return as many names as fit, and the number of the others."""
    shown = ", ".join(names)
    if len(shown) <= _LONGEST_PEERS:
        return shown
    kept = shown[:_LONGEST_PEERS].rpartition(",")[0].split(", ")
    return f"{', '.join(kept)} and {len(names) - len(kept)} more"


COMMANDS = {"models": models}
