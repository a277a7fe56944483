"""`aish specialist`: models with a role, as entries of the configuration."""

from aish.client.home import state_home
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

    Specialist = dict[str, Any]

_PATH = "/api/v2/specialists"
_OPTIONS = ("--prompt", "--role", "--model")


def specialist(words: "list[str]") -> int:
    """List, show, add, edit or remove specialists.

    Raises:
        Failure: the words are invalid, or the hub rejects the request.
    """
    action, *rest = words or ["list"]
    actions = {"list": _list, "show": _show, "add": _add, "edit": _edit, "remove": _remove}
    return run_subcommand("specialist", actions, action, rest)


def _list(words: "list[str]") -> int:
    as_json = wants_json(words, "specialist list")
    found = Hub().ask("GET", _PATH)["specialists"]
    heading = ("NAME", "ROLE", "MODEL", "ORIGIN")
    return show_list(found, heading, _row, "No specialists", as_json=as_json)


def _row(specialist: "Specialist") -> "tuple[str, ...]":
    return specialist["name"], specialist["role"], specialist["model"] or "auto", specialist["origin"]


def _show(words: "list[str]") -> int:
    names = [word for word in words if word not in JSON_WORDS]
    if len(names) != 1 or names[0][:1] == "-":
        raise usage_error("specialist show")
    found = Hub().ask("GET", f"{_PATH}/{quote(names[0])}")
    if len(names) < len(words):
        return print_json(found)
    from aish.render import cleaned

    scores = ", ".join(f"{name} {score:g}" for name, score in found["capabilities"].items())
    shown = {
        "name": found["name"],
        "role": found["role"],
        "model": found["model"],
        "can": scores,
        "tools": ", ".join(found["mcp_servers"]),
        "origin": found["origin"],
    }
    lines = [f"{key:<7} {cleaned(value)}" for key, value in shown.items() if value]
    return print_line("\n".join([*lines, "", *map(cleaned, found["prompt"].splitlines())]))


def _add(words: "list[str]") -> int:
    name, values = _parsed(words, "specialist add")
    if "prompt" not in values:
        raise usage_error("specialist add")
    added = Hub().ask("POST", _PATH, {"name": name, **values})
    return print_line(f'✓ Added {added["name"]} ({_model(added)}); try: aish {added["name"]} "hello"')


def _edit(words: "list[str]") -> int:
    name, values = _parsed(words, "specialist edit")
    hub = Hub()
    if not values:
        before = hub.ask("GET", f"{_PATH}/{quote(name)}")
        prompt = _edited(before["prompt"])
        if prompt == before["prompt"]:
            return print_line("No changes")
        values = {"prompt": prompt}
    changed = hub.ask("PATCH", f"{_PATH}/{quote(name)}", values)
    return print_line(f"✓ Changed the {', '.join(values)} of {changed['name']} ({_model(changed)})")


def _edited(prompt: str) -> str:
    """Let the user edit a prompt. The newline that editors add at the end does not belong to it."""
    from aish.commands.text_editor import Draft

    draft = Draft(state_home(), prompt if prompt.endswith("\n") else f"{prompt}\n", ".md")
    try:
        edited = draft.edit()
    finally:
        draft.remove()
    return edited if prompt.endswith("\n") else edited.rstrip("\n")


def _model(specialist: "Specialist") -> str:
    return f"model {specialist['model'] or 'auto'}"


def _remove(words: "list[str]") -> int:
    if len(words) != 1 or words[0][:1] == "-":
        raise usage_error("specialist remove")
    Hub().ask("DELETE", f"{_PATH}/{quote(words[0])}")
    return print_line(f"✓ Removed {words[0]}")


def _parsed(words: "list[str]", page: str) -> "tuple[str, dict[str, str]]":
    """Return the name and the values of the options."""
    names, values, left = [], {}, list(words)
    while left:
        word, equals, value = left.pop(0).partition("=")
        if word in _OPTIONS:
            values[word[2:]] = value if equals else take_value(left, page)
        elif word[:1] == "-" or equals:
            raise usage_error(page)
        else:
            names.append(word)
    if len(names) != 1:
        raise usage_error(page)
    return names[0], values


COMMANDS = {"specialist": specialist}
