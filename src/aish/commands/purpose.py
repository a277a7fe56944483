"""`aish purpose`: what peers, and this terminal, are for; told to a peer with each message."""

import os

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import usage
from aish.exits import Failure
from aish.output import STDOUT, write
from aish.turns.message import NAME

HOW = 'aish purpose [json] | purpose "text" (of this terminal) | purpose NAME "text"'


def run(words: "list[str]") -> int:
    """An empty text takes the purpose away.

    Raises:
        Failure: the words do not hold together, there is nobody of that name, or this terminal has none.
    """
    if not words or words in (["json"], ["--json"]):
        return _list(as_json=bool(words))
    if len(words) == 1:
        return _put(_own_name(), words[0])
    if words[0][:1] == "-":
        raise usage(HOW)
    return _put(words[0], " ".join(words[1:]))


def _own_name() -> str:
    name = os.environ.get(NAME)
    if not name:
        more = 'aish --name NAME gives it one; of a peer it is: aish purpose NAME "text"'
        raise Failure(f"this terminal has no name: {more}", exits.USAGE)
    return name


def _put(name: str, text: str) -> int:
    purpose = Hub().ask("PUT", f"/api/v2/purposes/{quote(name)}", {"text": text})
    if purpose.get("purpose"):
        return _print(f"✓ {purpose['name']} is for: {purpose['purpose']}")
    return _print(f"✓ {purpose['name']} has no purpose")


def _list(*, as_json: bool) -> int:
    purposes = Hub().ask("GET", "/api/v2/purposes")["purposes"]
    if as_json:
        import json

        return _print(json.dumps(purposes, indent=2, ensure_ascii=False))
    from aish.render import cleaned, table

    rows = [("NAME", "PURPOSE"), *((each["name"], cleaned(each["purpose"])) for each in purposes)]
    return _print(table(rows) if purposes else "No purposes")


def _print(text: str) -> int:
    write(STDOUT, f"{text}\n".encode("utf-8", "replace"))
    return exits.DONE
