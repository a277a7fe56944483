"""`aish context`: text that a peer receives once, before its next message."""

from aish.client.hub import Hub, quote
from aish.commands import JSON_WORDS, free_text, usage_error
from aish.output import print_json, print_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Context = dict[str, Any]


def context(words: "list[str]") -> int:
    """Stage, show, promote or clear the context of a peer.

    Raises:
        Failure: the words are invalid, the peer is unknown, or nothing is staged.
    """
    if len(words) < 2:
        raise usage_error("context")
    action, name, *rest = words
    path = f"/api/v2/context/{quote(name)}"
    if action == "stage":
        return _stage(path, name, free_text(rest, "context"))
    if action == "show" and (not rest or (len(rest) == 1 and rest[0] in JSON_WORDS)):
        return _show(path, as_json=bool(rest))
    if rest or action not in ("promote", "clear"):
        raise usage_error("context")
    hub = Hub()
    if action == "promote":
        found = hub.ask("POST", f"{path}/promote")
        return print_line(f"✓ Promoted; sent before the next message to {found['ai']}: {_counts(found)}")
    hub.ask("DELETE", path)
    return print_line(f"✓ Cleared the context of {name}")


def _stage(path: str, name: str, text: str) -> int:
    from aish.turns.input import read_input
    from aish.turns.message import join_message, no_message

    content = join_message(text, "" if text else read_input())
    if not content:
        raise no_message(name)
    found = Hub().ask("POST", f"{path}/stage", {"text": content})
    return print_line(f"✓ Staged for {found['ai']}: {_counts(found)}")


def _show(path: str, *, as_json: bool) -> int:
    found = Hub().ask("GET", path)
    if as_json:
        return print_json(found)
    from aish.render import cleaned

    lines = [f"{slot}: {cleaned(text)}" for slot in ("next", "staged") for text in found[slot]]
    return print_line("\n".join(lines) or f"No context for {found['ai']}")


def _counts(found: "Context") -> str:
    return f"{len(found['staged'])} staged, {len(found['next'])} next"


COMMANDS = {"context": context}
