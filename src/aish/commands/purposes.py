"""`aish purpose`: the purposes of peers and terminals. A peer receives its purpose with each message."""

import os

from aish.client.hub import Hub, quote
from aish.commands import JSON_WORDS, free_text, show_list, usage_error
from aish.output import print_line
from aish.turns.message import TERMINAL_NAME

_THIS_TERMINAL = "this terminal"


def purpose(words: "list[str]") -> int:
    """List purposes, or set the purpose of a peer or of this terminal. Empty text removes a purpose.

    Raises:
        Failure: the words are invalid, or the name is unknown.
    """
    if not words or (len(words) == 1 and words[0] in JSON_WORDS):
        return _list(as_json=bool(words))
    if len(words) == 1:
        text = free_text(words, "purpose")
        name = os.environ.get(TERMINAL_NAME)
        return _set(name, text) if name else _set_unnamed(text)
    if words[0][:1] == "-":
        raise usage_error("purpose")
    return _set(words[0], free_text(words[1:], "purpose"))


def _set_unnamed(text: str) -> int:
    """Set the purpose of this terminal, which has no name. Remove those of other such terminals that were
    closed."""
    from aish.turns import unnamed_terminal as unnamed

    hub = Hub()
    for name in unnamed.closed():
        _put(hub, name, "")
        unnamed.forget(name)
    made = _put(hub, unnamed.name(), text)
    if made.get("purpose"):
        unnamed.note()
    else:
        unnamed.forget(made["name"])
    return _show(made, _THIS_TERMINAL)


def _put(hub: Hub, name: str, text: str) -> "dict[str, str]":
    made: dict[str, str] = hub.ask("PUT", f"/api/v2/purposes/{quote(name)}", {"text": text})
    return made


def _set(name: str, text: str) -> int:
    made = _put(Hub(), name, text)
    return _show(made, made["name"])


def _show(made: "dict[str, str]", name: str) -> int:
    if made.get("purpose"):
        return print_line(f"✓ Purpose of {name}: {made['purpose']}")
    return print_line(f"✓ Removed the purpose of {name}")


def _list(*, as_json: bool) -> int:
    purposes = Hub().ask("GET", "/api/v2/purposes")["purposes"]
    from aish.turns.unnamed_terminal import own_name

    shown = {own_name(): _THIS_TERMINAL}

    def row(each: "dict[str, str]") -> "tuple[str, ...]":
        return shown.get(each["name"], each["name"]), each["purpose"]

    return show_list(purposes, ("NAME", "PURPOSE"), row, "No purposes", as_json=as_json)


COMMANDS = {"purpose": purpose}
