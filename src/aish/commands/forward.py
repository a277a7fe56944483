"""`aish forward SRC DST [json] [-x]` and `aish forward list`: what a peer says is passed on."""

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import usage
from aish.exits import Failure
from aish.output import STDOUT, say, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Forward = dict[str, Any]

HOW = "aish forward SRC DST [json] [-x] | forward list [json]"
_JSON = ("json", "--json")


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the words do not hold together, there is no such peer or terminal, or the hub refuses.
    """
    if not words or words[0] == "list":
        if any(word not in _JSON for word in words[1:]):
            raise usage(HOW)
        return _list(as_json=len(words) > 1)
    names = [word for word in words if word not in _JSON and word != "-x"]
    if len(names) != 2 or any(name[:1] == "-" for name in names):
        raise usage(HOW)
    source, to = names
    as_json, execute = any(word in _JSON for word in words), "-x" in words
    body = {"to": to, "json": as_json, "execute": execute}
    try:
        forward = Hub().ask("PUT", f"/api/v2/forwards/{quote(source)}", body)
    except Failure as failure:
        if failure.message == exits.unknown(to).message:
            say(f"aish: no peer and no terminal; `aish --name {to}` makes a shell a terminal of that name")
        raise
    _tell_circle(forward)
    mode = " (JSON mode)" if as_json else ""
    return _print(f"✓ Forwarding {forward['from']} messages to {forward['to']}{mode}")


def _tell_circle(forward: "Forward") -> None:
    if forward.get("circle"):
        way = " → ".join(forward["circle"])
        say(f"aish: {way} is a circle: a message in it ends after as many peers as limits.hops says")


def _list(*, as_json: bool) -> int:
    forwards = Hub().ask("GET", "/api/v2/forwards")["forwards"]
    if as_json:
        import json

        return _print(json.dumps(forwards, indent=2, ensure_ascii=False))
    from aish.render import cleaned, table

    rows = [("FROM", "TO", "MODE", "LAST FAILURE")]
    for forward in forwards:
        failed = forward.get("failed") or {}
        why = f"{failed['code']}: {failed['detail']}" if failed else ""
        mode = "json" if forward.get("json") else "text"
        rows.append((forward["from"], f"{forward['to']} ({forward['kind']})", mode, cleaned(why)))
    return _print(table(rows) if forwards else "No forwards defined")


def _print(text: str) -> int:
    write(STDOUT, f"{text}\n".encode("utf-8", "replace"))
    return exits.DONE
