"""`aish context stage|show|promote|clear NAME`: what a peer is told, once, in front of its next message."""

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import usage
from aish.output import STDOUT, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Staged = dict[str, Any]

HOW = 'aish context stage NAME "text" | show NAME [json] | promote NAME | clear NAME'
_JSON = ("json", "--json")


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the words do not hold together, there is no such peer, or nothing is staged.
    """
    if len(words) < 2:
        raise usage(HOW)
    what, name, *rest = words
    path = f"/api/v2/context/{quote(name)}"
    if what == "stage":
        return _stage(path, name, " ".join(rest))
    if what == "show" and (not rest or (len(rest) == 1 and rest[0] in _JSON)):
        return _show(path, as_json=bool(rest))
    if rest or what not in ("promote", "clear"):
        raise usage(HOW)
    hub = Hub()
    if what == "promote":
        staged = hub.ask("POST", f"{path}/promote")
        return _print(f"✓ The next message to {staged['ai']} has this in front of it: {_count(staged)}")
    hub.ask("DELETE", path)
    return _print(f"✓ Nothing is staged for {name}")


def _stage(path: str, name: str, text: str) -> int:
    from aish.turns.message import joined, no_message, read_input

    content = joined(text, "" if text else read_input())
    if not content:
        raise no_message(name)
    staged = Hub().ask("POST", f"{path}/stage", {"text": content})
    return _print(f"✓ Staged for {staged['ai']}: {_count(staged)}")


def _count(staged: "Staged") -> str:
    return f"staged {len(staged['staged'])}, next {len(staged['next'])}"


def _show(path: str, *, as_json: bool) -> int:
    staged = Hub().ask("GET", path)
    if as_json:
        import json

        return _print(json.dumps(staged, indent=2, ensure_ascii=False))
    from aish.render import cleaned

    lines = [f"{slot}: {cleaned(text)}" for slot in ("next", "staged") for text in staged[slot]]
    return _print("\n".join(lines) or f"Nothing is staged for {staged['ai']}")


def _print(text: str) -> int:
    write(STDOUT, f"{text}\n".encode("utf-8", "replace"))
    return exits.DONE
