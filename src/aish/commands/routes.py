"""`aish route`: named chains of peers. Each peer receives the answer of the one before it."""

from aish.client.hub import Hub, quote
from aish.commands import JSON_WORDS, usage_error
from aish.output import print_json, print_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Route = dict[str, Any]

_PURPOSE = "purpose"
_FEWEST_HOPS = 2


def route(words: "list[str]") -> int:
    """Define, list, show or remove routes, or send a message along one.

    Raises:
        Failure: the words are invalid, a route or peer is unknown, or a peer fails.
    """
    action, *rest = words or ["list"]
    as_json = rest[-1:] != [] and rest[-1] in JSON_WORDS
    if action == "list" and len(rest) <= as_json:
        return _list(as_json=as_json)
    if action == "show" and len(rest) == 1 + as_json:
        return _show(rest[0], as_json=as_json)
    if action == "remove" and len(rest) == 1:
        Hub().ask("DELETE", f"/api/v2/routes/{quote(rest[0])}")
        return print_line(f"✓ Removed route '{rest[0]}'")
    if action == "name":
        return _define(rest)
    if action in ("list", "show", "remove") or action[:1] == "-":
        raise usage_error("route")
    return _send(action, rest)


def _define(words: "list[str]") -> int:
    if not words or words[0] in ("name", "list", "show", "remove"):
        raise usage_error("route")
    name, hops = words[0], _hops(words[1:])
    if len(hops) < _FEWEST_HOPS:
        raise usage_error("route")
    made = Hub().ask("PUT", f"/api/v2/routes/{quote(name)}", {"hops": hops})
    return print_line(f"Route '{name}' created: {_chain(made)}")


def _hops(words: "list[str]") -> "list[dict[str, str]]":
    """Parse the hops of a route.

    Raises:
        Failure: a purpose has no hop before it, or no text.
    """
    hops: list[dict[str, str]] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word[:1] == "-":
            raise usage_error("route")
        if word != _PURPOSE:
            hops.append({"ai": word})
        elif hops and left:
            hops[-1]["purpose"] = left.pop(0)
        else:
            raise usage_error("route")
    return hops


def _send(name: str, words: "list[str]") -> int:
    from aish.options import parse_options
    from aish.turns.input import read_input
    from aish.turns.message import join_message, no_message, sender
    from aish.turns.plan import PlanRun

    options, text = parse_options(words)
    content = join_message(text, read_input())
    if not content:
        raise no_message(f"route {name}")
    request = f"/api/v2/routes/{quote(name)}/send", {"message": content, **sender()}
    return PlanRun(Hub(), (), options, request=request).run()


def _list(*, as_json: bool) -> int:
    routes = Hub().ask("GET", "/api/v2/routes")["routes"]
    if as_json:
        return print_json(routes)
    lines = [f"{route['name']}: {_chain(route)}" for route in routes]
    return print_line("\n".join(lines) or "No routes defined")


def _show(name: str, *, as_json: bool) -> int:
    from aish.render import cleaned

    found = Hub().ask("GET", f"/api/v2/routes/{quote(name)}")
    if as_json:
        return print_json(found)
    lines = [f"Route '{name}': {_chain(found)}"]
    for hop in found["hops"]:
        purpose = f'  purpose: "{cleaned(hop["purpose"])}"' if hop.get("purpose") else ""
        lines.append(f"  {hop['ai']}{purpose}")
    return print_line("\n".join(lines))


def _chain(route: "Route") -> str:
    return " → ".join(hop["ai"] for hop in route["hops"])


COMMANDS = {"route": route}
