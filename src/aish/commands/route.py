"""`aish route`: named chains of peers, each of whom is given what the one before has said."""

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import usage
from aish.output import STDOUT, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Route = dict[str, Any]

HOW = (
    'aish route name R HOP [purpose "t"] … DST | route R "message" | route list [json] |'
    " route show R [json] | route remove R"
)
_JSON = ("json", "--json")
_PURPOSE = "purpose"
_FEWEST_HOPS = 2


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the words do not hold together, there is no such route or peer, or one of the peers fails.
    """
    what, *rest = words or ["list"]
    as_json = rest[-1:] != [] and rest[-1] in _JSON
    if what == "list" and len(rest) <= as_json:
        return _list(as_json=as_json)
    if what == "show" and len(rest) == 1 + as_json:
        return _show(rest[0], as_json=as_json)
    if what == "remove" and len(rest) == 1:
        Hub().ask("DELETE", f"/api/v2/routes/{quote(rest[0])}")
        return _print(f"✓ Removed route '{rest[0]}'")
    if what == "name":
        return _name(rest)
    if what in ("list", "show", "remove") or what[:1] == "-":
        raise usage(HOW)
    return _send(what, rest)


def _name(words: "list[str]") -> int:
    if not words or words[0] in ("name", "list", "show", "remove"):
        raise usage(HOW)
    name, hops = words[0], _hops(words[1:])
    if len(hops) < _FEWEST_HOPS:
        raise usage(HOW)
    route = Hub().ask("PUT", f"/api/v2/routes/{quote(name)}", {"hops": hops})
    return _print(f"Route '{name}' created: {_way(route)}")


def _hops(words: "list[str]") -> "list[dict[str, str]]":
    """Raises:
    Failure: a purpose stands behind no hop, or has no text."""
    hops: list[dict[str, str]] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word != _PURPOSE:
            hops.append({"ai": word})
        elif hops and left:
            hops[-1]["purpose"] = left.pop(0)
        else:
            raise usage(HOW)
    return hops


def _send(name: str, words: "list[str]") -> int:
    from aish.options import parsed
    from aish.turns.message import joined, no_message, read_input, sender
    from aish.turns.plan import PlanRun

    options, text = parsed(words)
    content = joined(text, read_input())
    if not content:
        raise no_message(f"route {name}")
    request = f"/api/v2/routes/{quote(name)}/send", {"message": content, **sender()}
    return PlanRun(Hub(), (), options, request=request).run()


def _list(*, as_json: bool) -> int:
    routes = Hub().ask("GET", "/api/v2/routes")["routes"]
    if as_json:
        return _print_json(routes)
    return _print("\n".join(f"{route['name']}: {_way(route)}" for route in routes) or "No routes defined")


def _show(name: str, *, as_json: bool) -> int:
    from aish.render import cleaned

    route = Hub().ask("GET", f"/api/v2/routes/{quote(name)}")
    if as_json:
        return _print_json(route)
    lines = [f"Route '{name}': {_way(route)}"]
    for hop in route["hops"]:
        purpose = f'  purpose: "{cleaned(hop["purpose"])}"' if hop.get("purpose") else ""
        lines.append(f"  {hop['ai']}{purpose}")
    return _print("\n".join(lines))


def _way(route: "Route") -> str:
    return " → ".join(hop["ai"] for hop in route["hops"])


def _print_json(value: "Any") -> int:
    import json

    return _print(json.dumps(value, indent=2, ensure_ascii=False))


def _print(text: str) -> int:
    write(STDOUT, f"{text}\n".encode("utf-8", "replace"))
    return exits.DONE
