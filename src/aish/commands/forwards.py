"""`aish forward` and `aish unforward`: send the answers of a peer also to a terminal or to another peer."""

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import JSON_WORDS, Command, usage_error
from aish.exits import Failure
from aish.output import print_json, print_line, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Forward = dict[str, Any]

_FORWARD = ("forward SRC DST [json] [-x]", "forward list [json]")
_UNFORWARD = ("unforward SRC",)


def forward(words: "list[str]") -> int:
    """Forward the answers of a peer, or list the forwards.

    Raises:
        Failure: the words are invalid, a peer or terminal is unknown, or the hub rejects the forward.
    """
    if not words or words[0] == "list":
        if any(word not in JSON_WORDS for word in words[1:]):
            raise usage_error(*_FORWARD)
        return _list(as_json=len(words) > 1)
    names = [word for word in words if word not in JSON_WORDS and word != "-x"]
    if len(names) != 2 or any(name[:1] == "-" for name in names):
        raise usage_error(*_FORWARD)
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
    if made.get("from_kind") == "tool" and made["kind"] == "terminal":
        metadata = " (with tool metadata)" if body["json"] else ""
        return print_line(f"Forwarding {made['from']} output to {made['to']} terminal{metadata}")
    mode = " (JSON mode)" if body["json"] else ""
    return print_line(f"✓ Forwarding {made['from']} messages to {made['to']}{mode}")


def unforward(words: "list[str]") -> int:
    """Remove a forward.

    Raises:
        Failure: the words are invalid, the peer is not forwarded, or the hub rejects the request.
    """
    if len(words) != 1 or words[0][:1] == "-":
        raise usage_error(*_UNFORWARD)
    removed = Hub().ask("DELETE", f"/api/v2/forwards/{quote(words[0])}")
    return print_line(f"✓ Stopped forwarding {removed['from']} (was going to {removed['to']})")


def _warn_of_loop(forward: "Forward") -> None:
    if forward.get("circle"):
        peers = " → ".join(forward["circle"])
        say(f"aish: {peers} is a loop; a message in it stops after limits.hops peers")


def _list(*, as_json: bool) -> int:
    forwards = Hub().ask("GET", "/api/v2/forwards")["forwards"]
    if as_json:
        return print_json(forwards)
    from aish.render import cleaned, table

    rows = [("FROM", "TO", "MODE", "LAST FAILURE")]
    for forward in forwards:
        failed = forward.get("failed") or {}
        reason = f"{failed['code']}: {failed['detail']}" if failed else ""
        if failed.get("hint"):
            reason += f"; {failed['hint']}"
        mode = "json" if forward.get("json") else "text"
        rows.append((forward["from"], f"{forward['to']} ({forward['kind']})", mode, cleaned(reason)))
    return print_line(table(rows) if forwards else "No forwards defined")


COMMANDS = {
    "forward": Command(_FORWARD, "Forward the answers of a peer to a terminal or to another peer.", forward),
    "unforward": Command(_UNFORWARD, "Stop forwarding the answers of a peer.", unforward),
}
