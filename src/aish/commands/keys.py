"""`aish keys`: the API keys of model providers.

A key is read from stdin or a hidden prompt, never from words, because other users see the words of a program.
"""

import os

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import run_subcommand, show_list, usage_error, wants_json
from aish.exits import Failure
from aish.output import print_line, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Key = dict[str, Any]

_PATH = "/api/v2/keys"
_PLACES = {"file": "the hub's file api-keys", "keyring": "the keyring"}
_MOST_BYTES = 1 << 16


def keys(words: "list[str]") -> int:
    """Store, list or remove API keys.

    Raises:
        Failure: the words are invalid, or the hub rejects the request.
    """
    action, *rest = words or ["list"]
    actions = {"set": _set, "list": _list, "remove": _remove}
    return run_subcommand("keys", actions, action, rest)


def _set(words: "list[str]") -> int:
    if len(words) > 1:
        raise Failure(
            "API keys are not accepted as arguments, because other users can see those",
            exits.USAGE,
            hint="leave the key out and type it at the prompt, or pipe it in; "
            "if this was a real key, replace it: your shell's history has it",
        )
    if not words or words[0][:1] == "-":
        raise usage_error("keys set")
    return print_line(f"✓ {described_storing(store(words[0]))}")


def store(provider: str) -> "Key":
    """Read the key of a provider, and store it.

    Raises:
        Failure: there is no such provider, or no key was given.
    """
    hub = Hub()
    known = [each["name"] for each in hub.ask("GET", _PATH)["keys"]]
    if provider not in known:
        raise Failure(
            f"there is no provider called {provider!r}",
            exits.UNKNOWN,
            hint=f"there are {', '.join(known)}; add others below providers: with aish config edit",
        )
    stored: Key = hub.ask("PUT", f"{_PATH}/{quote(provider)}", {"key": read_key(provider)})
    return stored


def read_key(provider: str) -> str:
    """Return a key from stdin, or from a prompt that does not show it.

    Raises:
        Failure: there is no key, or it has blanks.
    """
    if os.isatty(0):
        from getpass import getpass

        try:
            key = getpass(f"API key of {provider} (not shown): ")
        except EOFError:
            key = ""
    else:
        key = _piped()
    key = key.strip()
    if not key:
        raise Failure("no key was given; nothing was changed", exits.USAGE)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise Failure("this is not an API key: it has blanks, or characters that are not ASCII", exits.USAGE)
    return key


def _piped() -> str:
    data = b""
    while len(data) < _MOST_BYTES and (piece := os.read(0, _MOST_BYTES)):
        data += piece
    return data.decode("utf-8", "replace")


def described_storing(key: "Key") -> str:
    """Return a sentence about a key that was stored; say on stderr if another one takes precedence."""
    if key["variable"]:
        say(f"{key['variable']} is set and takes precedence over the stored key")
    return f"Stored the key of {key['name']} in {_PLACES[key['stored']]}"


def _list(words: "list[str]") -> int:
    as_json = wants_json(words, "keys list")
    found = Hub().ask("GET", _PATH)["keys"]
    return show_list(found, ("PROVIDER", "KEY"), _row, "No providers", as_json=as_json)


def _row(key: "Key") -> "tuple[str, ...]":
    from aish.render import local_time

    if key["variable"]:
        return key["name"], key["variable"] + (" (the stored key is not used)" if key["stored"] else "")
    if key["stored"]:
        return key["name"], f"in {_PLACES[key['stored']]} since {local_time(key['set_at'])}"
    return key["name"], "-"


def _remove(words: "list[str]") -> int:
    if len(words) != 1 or words[0][:1] == "-":
        raise usage_error("keys remove")
    Hub().ask("DELETE", f"{_PATH}/{quote(words[0])}")
    return print_line(f"✓ Removed the stored key of {words[0]}")


COMMANDS = {"keys": keys}
