"""`aish mcp`: the MCP servers whose tools specialists may have, and the hub as a server of an agent."""

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import show_list, subcommand_error, take_value, usage_error, wants_json
from aish.output import print_json, print_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Server = dict[str, Any]

_PATH = "/api/mcp-servers"


def mcp(words: "list[str]") -> int:
    """List, add, remove or test MCP servers, or enter the hub into the configuration of an agent.

    Raises:
        Failure: the words are invalid, or the hub rejects the request.
    """
    action, *rest = words or ["list"]
    actions = {"list": _list, "add": _add, "remove": _remove, "test": _test}
    if action in ("install", "uninstall"):
        from aish.commands.mcp_install import install, uninstall

        if len(rest) != 1 or rest[0][:1] == "-":
            raise usage_error(f"mcp {action}")
        return install(rest[0]) if action == "install" else uninstall(rest[0])
    if action not in actions:
        raise subcommand_error("mcp", dict.fromkeys((*actions, "install", "uninstall")))
    return actions[action](rest)


def _list(words: "list[str]") -> int:
    as_json = wants_json(words, "mcp list")
    servers = Hub().ask("GET", _PATH)["mcp_servers"]
    heading = ("NAME", "TRANSPORT", "COMMAND OR URL", "APPROVE", "SOURCE")
    return show_list(servers, heading, _row, "No MCP servers", as_json=as_json)


def _row(server: "Server") -> "tuple[str, ...]":
    place = server["url"] or " ".join(server["command"])
    approve = server["approve"] if server["approve"] == "all" else ", ".join(server["approve"])
    return server["name"], server["transport"], place, approve or "-", server["source"]


def _add(words: "list[str]") -> int:
    body: Server = {"env": {}}
    left = list(words)
    while left and left[0] != "--":
        word = left.pop(0)
        if word == "--env":
            key, equals, value = take_value(left, "mcp add").partition("=")
            if not key or not equals:
                raise usage_error("mcp add")
            body["env"][key] = value
        elif word == "--approve":
            names = take_value(left, "mcp add")
            body["approve"] = names if names == "all" else names.split(",")
        elif word == "--private":
            body["allow_private"] = True
        elif word[:1] == "-":
            raise usage_error("mcp add")
        elif "name" not in body:
            body["name"] = word
        elif "url" not in body:
            body["url"] = word
        else:
            raise usage_error("mcp add")
    if left:
        body["command"] = left[1:]
    if "name" not in body or bool(body.get("url")) == bool(body.get("command")):
        raise usage_error("mcp add")
    added = Hub().ask("POST", _PATH, body)
    return print_line(f"✓ Added the MCP server {added['name']}; test it with: aish mcp test {added['name']}")


def _remove(words: "list[str]") -> int:
    if len(words) != 1 or words[0][:1] == "-":
        raise usage_error("mcp remove")
    Hub().ask("DELETE", f"{_PATH}/{quote(words[0])}")
    return print_line(f"✓ Removed the MCP server {words[0]}")


def _test(words: "list[str]") -> int:
    """Print the tools of a server, or fail with the reason why it cannot be used."""
    name, *others = words or ["-"]
    if name[:1] == "-":
        raise usage_error("mcp test")
    as_json = wants_json(others, "mcp test")
    tested = Hub().ask("POST", f"{_PATH}/{quote(name)}/test")
    if as_json:
        print_json(tested)
        return exits.DONE if tested["ok"] else exits.FAILED
    if not tested["ok"]:
        from aish.exits import Failure

        raise Failure(tested["error"], hint=tested.get("hint") or "")
    from aish.render import cleaned

    count = len(tested["tools"])
    lines = [f"✓ {name} has {count} tool{'s' if count != 1 else ''} ({tested['seconds']:.1f} s)"]
    return print_line("\n".join([*lines, *(f"  {cleaned(tool)}" for tool in tested["tools"])]))


COMMANDS = {
    "mcp": mcp,
}
