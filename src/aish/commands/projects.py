"""`aish project`: folders with defaults for their sessions."""

from aish.client.hub import Hub, quote
from aish.commands import (
    JSON_WORDS,
    run_subcommand,
    show_list,
    take_value,
    usage_error,
    wants_json,
)
from aish.output import print_json, print_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Project = dict[str, Any]

_PATH = "/api/projects"
_RULES = ("allow", "ask", "deny")


def project(words: "list[str]") -> int:
    """List, create or show projects, change their settings, or forward the answers of their sessions.

    Raises:
        Failure: the words are invalid, or the hub rejects the request.
    """
    action, *rest = words or ["list"]
    actions = {
        "list": _list,
        "create": _create,
        "show": _show,
        "settings": _settings,
        "forward": _forward,
        "unforward": _unforward,
    }
    return run_subcommand("project", actions, action, rest)


def _list(words: "list[str]") -> int:
    as_json = wants_json(words, "project list")
    found = Hub().ask("GET", _PATH)["projects"]
    return show_list(found, ("NAME", "FOLDER", "PEER", "SESSIONS"), _row, "No projects", as_json=as_json)


def _row(project: "Project") -> "tuple[str, ...]":
    peer = project["settings"]["default_peer"] or "-"
    return project["name"], project["path"], peer, str(len(project["sessions"]))


def _create(words: "list[str]") -> int:
    if not 1 <= len(words) <= 2 or any(word[:1] == "-" for word in words):
        raise usage_error("project create")
    import os

    folder = os.path.abspath(os.path.expanduser(words[1] if len(words) > 1 else "."))  # noqa: PTH100, PTH111
    made = Hub().ask("POST", _PATH, {"name": words[0], "path": folder})
    return print_line(f"✓ Created the project {made['name']} in {made['path']}")


def _show(words: "list[str]") -> int:
    as_json = words[-1:] != [] and words[-1] in JSON_WORDS
    if len(words) != 1 + as_json:
        raise usage_error("project show")
    found = Hub().ask("GET", f"{_PATH}/{quote(words[0])}")
    if as_json:
        return print_json(found)
    from aish.render import cleaned

    used = found["usage"]
    lines = [f"{found['name']}: {cleaned(found['path'])}", *_shown(found["settings"])]
    turns = f"{used['turns']} turn{'s' if used['turns'] != 1 else ''}"
    cost = "cost unknown" if used["cost"] is None else f"${used['cost']}"
    lines.append(f"  {turns}, {used['input_tokens'] + used['output_tokens']} tokens, {cost}")
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
        raise usage_error("project settings")
    name, *left = words
    path = f"{_PATH}/{quote(name)}"
    settings = Hub().ask("GET", path)["settings"]
    while left:
        option = left.pop(0)
        value = take_value(left, "project settings")
        if option == "--peer":
            settings["default_peer"] = value or None
        elif option == "--model":
            settings["model"] = value or None
        elif option == "--mcp":
            settings["mcp_servers"] = _names(value)
        elif option[:2] == "--" and option[2:] in _RULES:
            settings["permissions"][option[2:]] = _names(value)
        else:
            raise usage_error("project settings")
    changed = Hub().ask("PUT", f"{path}/settings", settings)
    return print_line("\n".join([f"✓ Settings of {changed['name']}:", *_shown(changed["settings"])]))


def _forward(words: "list[str]") -> int:
    """Forward the answers of all peers in the project's sessions, by default to this terminal."""
    from aish.commands.forwards import PROJECT, forward

    names = [word for word in words if word[:1] != "-" and word not in JSON_WORDS]
    options = [word for word in words if word not in names]
    if not 1 <= len(names) <= 2:
        raise usage_error("project forward")
    name, to = names[0], names[1] if len(names) > 1 else _this_terminal()
    return forward([PROJECT + name, to, *options])


def _this_terminal() -> str:
    import os

    from aish.exits import USAGE, Failure
    from aish.turns.message import TERMINAL_NAME

    name = os.environ.get(TERMINAL_NAME)
    if not name:
        hint = "start it with aish --name NAME, or name the terminal or peer"
        raise Failure(f"this terminal has no name; {hint}: aish project forward NAME DST", USAGE)
    return name


def _unforward(words: "list[str]") -> int:
    from aish.commands.forwards import PROJECT, unforward

    if len(words) != 1 or words[0][:1] == "-":
        raise usage_error("project unforward")
    return unforward([PROJECT + words[0]])


def _names(value: str) -> "list[str]":
    return [name for name in value.split(",") if name]


COMMANDS = {"project": project}
