"""`aish alias`: names for lines of the shell. They are used like commands, with arguments."""

from aish.client.hub import Hub, quote
from aish.commands import JSON_WORDS, show_list, usage_error
from aish.output import print_json, print_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def alias(words: "list[str]") -> int:
    """Create, list, show or delete aliases.

    Raises:
        Failure: the words are invalid, the name is taken, or there is no such alias.
    """
    action, *rest = words or ["list"]
    as_json = rest[-1:] != [] and rest[-1] in JSON_WORDS
    if action == "create" and len(rest) in (2, 3):
        return _create(*rest)
    if action == "list" and len(rest) <= as_json:
        return _list(as_json=as_json)
    if action == "show" and len(rest) == 1 + as_json:
        return _show(rest[0], as_json=as_json)
    if action == "delete" and len(rest) == 1:
        Hub().ask("DELETE", f"/api/v2/aliases/{quote(rest[0])}")
        return print_line(f"Deleted alias '{rest[0]}'")
    raise usage_error("alias")


def _create(name: str, line: str, description: str = "") -> int:
    Hub().ask("PUT", f"/api/v2/aliases/{quote(name)}", {"command": line, "description": description})
    return print_line(f"Created alias '{name}'")


def _list(*, as_json: bool) -> int:
    found = Hub().ask("GET", "/api/v2/aliases")["aliases"]

    def row(each: "dict[str, Any]") -> "tuple[str, ...]":
        return each["name"], each["command"], each["description"] or ""

    return show_list(found, ("NAME", "LINE", "DESCRIPTION"), row, "No aliases defined", as_json=as_json)


def _show(name: str, *, as_json: bool) -> int:
    from aish.render import cleaned

    found = Hub().ask("GET", f"/api/v2/aliases/{quote(name)}")
    return print_json(found) if as_json else print_line(cleaned(found["command"]))


COMMANDS = {"alias": alias}
