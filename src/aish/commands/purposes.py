"""`aish purpose`: the purposes of peers and terminals. A peer receives its purpose with each message."""

import os

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import JSON_WORDS, Command, free_text, usage_error
from aish.exits import Failure
from aish.output import print_json, print_line
from aish.turns.message import TERMINAL_NAME

_FORMS = ("purpose [json]", 'purpose "text"', 'purpose NAME "text"')


def purpose(words: "list[str]") -> int:
    """List purposes, or set the purpose of a peer or of this terminal. Empty text removes a purpose.

    Raises:
        Failure: the words are invalid, the name is unknown, or this terminal has no name.
    """
    if not words or (len(words) == 1 and words[0] in JSON_WORDS):
        return _list(as_json=bool(words))
    if len(words) == 1:
        return _set(_own_name(), free_text(words, *_FORMS))
    if words[0][:1] == "-":
        raise usage_error(*_FORMS)
    return _set(words[0], free_text(words[1:], *_FORMS))


def _own_name() -> str:
    name = os.environ.get(TERMINAL_NAME)
    if not name:
        hint = 'start it with aish --name NAME, or set a peer\'s purpose: aish purpose NAME "text"'
        raise Failure(f"this terminal has no name; {hint}", exits.USAGE)
    return name


def _set(name: str, text: str) -> int:
    made = Hub().ask("PUT", f"/api/v2/purposes/{quote(name)}", {"text": text})
    if made.get("purpose"):
        return print_line(f"✓ Purpose of {made['name']}: {made['purpose']}")
    return print_line(f"✓ Removed the purpose of {made['name']}")


def _list(*, as_json: bool) -> int:
    purposes = Hub().ask("GET", "/api/v2/purposes")["purposes"]
    if as_json:
        return print_json(purposes)
    from aish.render import cleaned, table

    rows = [("NAME", "PURPOSE"), *((each["name"], cleaned(each["purpose"])) for each in purposes)]
    return print_line(table(rows) if purposes else "No purposes")


COMMANDS = {
    "purpose": Command(_FORMS, "List purposes, or set the purpose of a peer or of this terminal.", purpose)
}
