"""`aish inbox`: messages that wait in three trays of a peer or a terminal until somebody takes them."""

import os

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import JSON_WORDS, show_list, take_value, usage_error
from aish.exits import Failure
from aish.output import print_json, print_line
from aish.turns.message import TERMINAL_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TRAYS = ("prompt", "new", "keep")
_DEFAULT = "new"


def inbox(words: "list[str]") -> int:
    """Count, send, show, take or remove messages.

    Raises:
        Failure: the words are invalid, the peer is unknown, or there is no message to take.
    """
    action, *rest = words or ["counts"]
    if action == "send":
        return _send(rest)
    if action in ("counts", "--json") or (action == "json" and not rest):
        return _counts(as_json=action != "counts")
    if action not in _ACTIONS:
        raise usage_error("inbox")
    peer, tray, as_json = _place(rest)
    hub = Hub()
    path = f"/api/v2/inbox/{quote(peer or _own_name(hub))}"
    return _ACTIONS[action](hub, path, tray, as_json or action == "json")


def _send(words: "list[str]") -> int:
    from aish.turns.input import read_input

    words = [word for word in words if word != "--"]
    if not words or len(words) > 3 or any(word[:2] == "--" for word in words[:-1]):
        raise usage_error("inbox")
    peer, *others = words
    tray = _tray(others[0]) if len(others) == 2 or others in ([each] for each in _TRAYS) else _DEFAULT
    text = others[-1] if others and others not in ([each] for each in _TRAYS) else read_input()
    if not text:
        raise Failure(f"no message for the inbox of {peer}; type a text, or pipe one in", exits.USAGE)
    sent = Hub().ask("POST", f"/api/v2/inbox/{quote(peer)}/{tray}", {"text": text, **_sender()})
    return print_line(sent["id"])


def _sender() -> "dict[str, str]":
    name = os.environ.get(TERMINAL_NAME)
    return {"from": name} if name else {}


def _place(words: "list[str]") -> "tuple[str, str, bool]":
    """Return the peer, empty for this terminal, the tray, and whether the output is JSON."""
    peer, as_json = "", False
    trays: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--peer":
            peer = take_value(left, "inbox")
        elif word.startswith("--peer="):
            peer = word.removeprefix("--peer=")
        elif word in JSON_WORDS:
            as_json = True
        elif word[:1] == "-" or trays:
            raise usage_error("inbox")
        else:
            trays.append(_tray(word))
    return peer, trays[0] if trays else _DEFAULT, as_json


def _tray(word: str) -> str:
    if word not in _TRAYS:
        trays = ", ".join(_TRAYS)
        raise Failure(f"Error: Invalid inbox type {word!r}. Must be: {trays}", exits.USAGE)
    return word


def _own_name(hub: Hub) -> str:
    """Return the name of the peer whose program this is, or that of this terminal."""
    from aish.turns.unnamed_terminal import name

    peer = hub.ask("GET", "/api/v2/whoami")["ai"]
    return str(peer) if peer else os.environ.get(TERMINAL_NAME) or name()


def _counts(*, as_json: bool) -> int:
    hub = Hub()
    counts = hub.ask("GET", f"/api/v2/inbox/{quote(_own_name(hub))}")
    if as_json:
        return print_json(counts)
    return print_line("  ".join(f"{tray}:{counts[tray]}" for tray in _TRAYS))


def _show(hub: Hub, path: str, tray: str, as_json: bool) -> int:
    from aish.render import local_time, one_line

    def row(note: "dict[str, Any]") -> "tuple[str, ...]":
        return note["id"], note["from"], local_time(note["timestamp"]), one_line(note["message"])

    found = hub.ask("GET", f"{path}/{tray}")["messages"]
    heading = ("ID", "FROM", "SENT", "MESSAGE")
    return show_list(found, heading, row, f"No messages in the tray {tray}", as_json=as_json)


def _get(hub: Hub, path: str, tray: str, as_json: bool) -> int:
    from aish.render import cleaned

    note = hub.ask("POST", f"{path}/{tray}/take")["message"]
    if note is None:
        raise Failure(f"no message in the tray {tray}")
    return print_json(note) if as_json else print_line(cleaned(note["message"]))


def _count(hub: Hub, path: str, tray: str, as_json: bool) -> int:
    count = hub.ask("GET", path)[tray]
    return print_json({tray: count}) if as_json else print_line(str(count))


def _clear(hub: Hub, path: str, tray: str, as_json: bool) -> int:
    removed = hub.ask("DELETE", f"{path}/{tray}")
    return print_json(removed) if as_json else print_line(f"✓ Removed {removed['removed']} from {tray}")


_ACTIONS = {"show": _show, "json": _show, "get": _get, "count": _count, "clear": _clear}
COMMANDS = {"inbox": inbox}
