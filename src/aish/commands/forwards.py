"""`aish forward` and `aish unforward`: send the answers of a peer also to a terminal or to another peer."""

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import JSON_WORDS, show_list, usage_error, wants_json
from aish.exits import Failure
from aish.output import print_line, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Forward = dict[str, Any]

PROJECT = "project:"  # how the hub calls a project among the peers


def forward(words: "list[str]") -> int:
    """Forward the answers of a peer, or list the forwards.

    Raises:
        Failure: the words are invalid, a peer or terminal is unknown, or the hub rejects the forward.
    """
    if not words or words[0] == "list":
        return _list(as_json=wants_json(words[1:], "forward"))
    names = [word for word in words if word not in JSON_WORDS and word != "-x"]
    if len(names) != 2 or any(name[:1] == "-" for name in names):
        raise usage_error("forward")
    source, to = names
    body = {"to": to, "json": any(word in JSON_WORDS for word in words), "execute": "-x" in words}
    try:
        made = Hub().ask("PUT", f"/api/v2/forwards/{quote(source)}", body)
    except Failure as failure:
        if failure.message == exits.unknown(to).message:
            failure.hint = (
                f"{to} is neither a peer nor a terminal; aish --name {to} starts a shell with this name"
            )
        raise
    _warn_of_loop(made)
    name = made["from"].removeprefix(PROJECT)
    if made.get("from_kind") == "tool" and made["kind"] == "terminal":
        metadata = " (with tool metadata)" if body["json"] else ""
        return print_line(f"Forwarding {name} output to {made['to']} terminal{metadata}")
    mode = " (JSON mode)" if body["json"] else ""
    return print_line(f"✓ Forwarding {name} messages to {made['to']}{mode}")


def unforward(words: "list[str]") -> int:
    """Remove a forward.

    Raises:
        Failure: the words are invalid, the peer is not forwarded, or the hub rejects the request.
    """
    if len(words) != 1 or words[0][:1] == "-":
        raise usage_error("unforward")
    removed = Hub().ask("DELETE", f"/api/v2/forwards/{quote(words[0])}")
    return print_line(
        f"✓ Stopped forwarding {removed['from'].removeprefix(PROJECT)} (was going to {removed['to']})"
    )


def _warn_of_loop(forward: "Forward") -> None:
    if forward.get("circle"):
        peers = " → ".join(forward["circle"])
        say(f"aish: {peers} is a loop; a message in it stops after limits.hops peers")


def _list(*, as_json: bool) -> int:
    forwards = Hub().ask("GET", "/api/v2/forwards")["forwards"]
    heading = ("FROM", "TO", "MODE", "LAST FAILURE")
    return show_list(forwards, heading, _row, "No forwards defined", as_json=as_json)


def _row(forward: "Forward") -> "tuple[str, ...]":
    failed = forward.get("failed") or {}
    reason = f"{failed['code']}: {failed['detail']}" if failed else ""
    if failed.get("hint"):
        reason += f"; {failed['hint']}"
    mode = "json" if forward.get("json") else "text"
    return forward["from"], f"{forward['to']} ({forward['kind']})", mode, reason


COMMANDS = {
    "forward": forward,
    "unforward": unforward,
}
