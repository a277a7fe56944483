"""`aish project`: folders with defaults for their sessions."""

from aish.client.hub import Hub, quote
from aish.commands import JSON_WORDS, Command, subcommand_error, take_value, usage_error
from aish.output import print_json, print_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Project = dict[str, Any]

_SETTINGS = (
    "project settings NAME [--peer PEER] [--model MODEL] [--mcp NAME,…] [--allow TOOL,…] [--ask TOOL,…] "
    "[--deny TOOL,…]"
)
_FORMS = ("project list [json]", "project create NAME [FOLDER]", "project show NAME [json]", _SETTINGS)
_PATH = "/api/projects"
_RULES = ("allow", "ask", "deny")


def project(words: "list[str]") -> int:
    """List, create or show projects, or change their settings.

    Raises:
        Failure: the words are invalid, or the hub rejects the request.
    """
    action, *rest = words or ["list"]
    actions = {"list": _list, "create": _create, "show": _show, "settings": _settings}
    if action not in actions:
        raise subcommand_error("project", actions)
    return actions[action](rest)


def _list(words: "list[str]") -> int:
    if len(words) > 1 or any(word not in JSON_WORDS for word in words):
        raise usage_error(_FORMS[0])
    found = Hub().ask("GET", _PATH)["projects"]
    if words:
        return print_json(found)
    from aish.render import cleaned, table

    rows = [("NAME", "FOLDER", "PEER", "SESSIONS")]
    for each in found:
        peer = each["settings"]["default_peer"] or "-"
        rows.append((each["name"], cleaned(each["path"]), peer, str(len(each["sessions"]))))
    return print_line(table(rows) if found else "No projects")


def _create(words: "list[str]") -> int:
    if not 1 <= len(words) <= 2 or any(word[:1] == "-" for word in words):
        raise usage_error(_FORMS[1])
    import os

    folder = os.path.abspath(os.path.expanduser(words[1] if len(words) > 1 else "."))  # noqa: PTH100, PTH111
    made = Hub().ask("POST", _PATH, {"name": words[0], "path": folder})
    return print_line(f"✓ Created the project {made['name']} in {made['path']}")


def _show(words: "list[str]") -> int:
    as_json = words[-1:] != [] and words[-1] in JSON_WORDS
    if len(words) != 1 + as_json:
        raise usage_error(_FORMS[2])
    found = Hub().ask("GET", f"{_PATH}/{quote(words[0])}")
    if as_json:
        return print_json(found)
    from aish.render import cleaned

    used = found["usage"]
    lines = [f"{found['name']}: {cleaned(found['path'])}", *_shown(found["settings"])]
    lines.append(
        f"  {used['turns']} turns, {used['input_tokens'] + used['output_tokens']} tokens, ${used['cost']}"
    )
    for session in found["sessions"]:
        name = f"  {cleaned(session['name'])}" if session["name"] else ""
        lines.append(f"  {session['id']}  {session['specialist_id']}, {session['state']}{name}")
    return print_line("\n".join(lines))


def _shown(settings: "Project") -> "list[str]":
    values = {
        "peer": settings["default_peer"],
        "model": settings["model"],
        "mcp": ", ".join(settings["mcp_servers"]),
        **{rule: ", ".join(settings["permissions"][rule]) for rule in _RULES},
    }
    return [f"  {name}: {value}" for name, value in values.items() if value]


def _settings(words: "list[str]") -> int:
    """Change the settings that are given; the others stay."""
    if not words or words[0][:1] == "-":
        raise usage_error(_SETTINGS)
    name, *left = words
    path = f"{_PATH}/{quote(name)}"
    settings = Hub().ask("GET", path)["settings"]
    while left:
        option = left.pop(0)
        value = take_value(left, _SETTINGS)
        if option == "--peer":
            settings["default_peer"] = value or None
        elif option == "--model":
            settings["model"] = value or None
        elif option == "--mcp":
            settings["mcp_servers"] = _names(value)
        elif option[:2] == "--" and option[2:] in _RULES:
            settings["permissions"][option[2:]] = _names(value)
        else:
            raise usage_error(_SETTINGS)
    changed = Hub().ask("PUT", f"{path}/settings", settings)
    return print_line("\n".join([f"✓ Settings of {changed['name']}:", *_shown(changed["settings"])]))


def _names(value: str) -> "list[str]":
    return [name for name in value.split(",") if name]


COMMANDS = {"project": Command(_FORMS, "Manage folders with defaults for their sessions.", project)}
