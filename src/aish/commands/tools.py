"""`aish tools`: coding agents and other wrapped programs."""

from aish.client.hub import Hub, quote
from aish.commands import JSON_WORDS, run_subcommand, take_value, usage_error
from aish.exits import Failure
from aish.output import print_json, print_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Tool = dict[str, Any]
_SECOND_COLUMN = 10  # where the facts about a tool begin


def tools(words: "list[str]") -> int:
    """Run the subcommand that the first word names; without words, list the tools.

    Raises:
        Failure: the words are invalid, the tool is unknown or not installed, or the hub rejects the request.
    """
    name, *rest = words or ["list"]
    return run_subcommand("tools", _SUBCOMMANDS, name, rest)


def _list(words: "list[str]") -> int:
    names, as_json = _split_json(words, "tools list")
    if names:
        raise usage_error("tools list")
    return _show_all(with_evidence=False, as_json=as_json)


def _status(words: "list[str]") -> int:
    names, as_json = _split_json(words, "tools status")
    if len(names) > 1:
        raise usage_error("tools status")
    return _show_one(names[0], as_json) if names else _show_all(with_evidence=True, as_json=as_json)


def _split_json(words: "list[str]", page: str) -> "tuple[list[str], bool]":
    """Return the names, and whether `json` follows them."""
    as_json = words[-1:] != [] and words[-1] in JSON_WORDS
    names = words[:-1] if as_json else words
    if any(name[:1] == "-" for name in names):
        raise usage_error(page)
    return names, as_json


def _show_all(*, with_evidence: bool, as_json: bool) -> int:
    from aish.render import one_line, status
    from aish.screen.tables import stdout_columns, table

    tools = Hub().ask("GET", "/api/v2/tools")["tools"]
    if as_json:
        return print_json(tools)
    rows = [["NAME", "STATUS", "AT", "EVIDENCE" if with_evidence else "DESCRIPTION"]]
    for tool in tools:
        description = tool.get("evidence") if with_evidence else tool.get("description")
        if not tool.get("installed"):
            description = _how_to_install(tool)
        at = f"pid {tool['pid']}" if tool.get("pid") else ""
        rows.append([one_line(cell) for cell in (tool["name"], status(tool), at, description or "")])
    return print_line(table(rows, stdout_columns()) if tools else "No tools")


def _show_one(name: str, as_json: bool) -> int:
    from aish.render import one_line, status
    from aish.screen.tables import stdout_columns, wrapped

    tool = Hub().ask("GET", _path(name))
    if as_json:
        return print_json(tool)
    health = tool.get("health") or {}
    found = (health.get("version") if health.get("ok") else "") or health.get("detail") or ""
    facts = {
        "name": tool["name"],
        "status": status(tool),
        "evidence": tool.get("evidence"),
        "pid": tool.get("pid"),
        "driver": tool.get("driver"),
        "program": tool.get("path") or tool.get("executable"),
        "install": None if tool.get("installed") else tool.get("how_to_install"),
        "login": _login(tool),
        "health": f"{'✓' if health.get('ok') else '✗'} {found}" if health else None,
        "sessions": _sessions(tool.get("sessions") or []),
        "about": tool.get("description"),
    }
    lines = [f"{key:<9} {one_line(fact)}" for key, fact in facts.items() if fact is not None]
    return print_line(wrapped("\n".join(lines), stdout_columns(), _SECOND_COLUMN))


def _capabilities(words: "list[str]") -> int:
    from aish.render import one_line
    from aish.screen.tables import stdout_columns, table

    names, as_json = _split_json(words, "tools capabilities")
    if len(names) != 1:
        raise usage_error("tools capabilities")
    found = Hub().ask("GET", f"{_path(names[0])}/capabilities")
    if as_json:
        return print_json(found)
    scores = sorted((found.get("capabilities") or {}).items(), key=lambda pair: (-pair[1], pair[0]))
    origins, reported = found.get("origins") or {}, found.get("reported") or {}
    rows = [
        [one_line(cell) for cell in (name, f"{score:g}", origins.get(name, ""))] for name, score in scores
    ]
    lines = [table([["CAPABILITY", "SCORE", "ORIGIN"], *rows], stdout_columns())]
    lines += [f"{key:<9} {one_line(_word(fact))}" for key, fact in reported.items() if fact]
    return print_line("\n".join(lines))


def _launch(words: "list[str]") -> int:
    from aish.commands.programs import as_peer_failure, current_folder, print_running

    body = {"cwd": current_folder()}
    names: list[str] = []
    left = list(words)
    while left:
        word, given, value = left.pop(0).partition("=")
        if word in ("-s", "--session"):
            body["session"] = value if given else take_value(left, "tools launch")
        elif word[:1] == "-":
            raise usage_error("tools launch")
        else:
            names.append(word)
    if len(names) != 1:
        raise usage_error("tools launch")
    try:
        tool = Hub().ask("POST", f"{_path(names[0])}/launch", body)
    except Failure as failure:
        raise as_peer_failure(failure) from None
    return print_running(names[0], tool)


def _terminate(words: "list[str]") -> int:
    names = [word for word in words if word != "--force"]
    if len(names) != 1 or names[0][:1] == "-":
        raise usage_error("tools terminate")
    hub, name = Hub(), names[0]
    query = "?force=true" if "--force" in words else ""
    try:
        ended = hub.ask("POST", f"{_path(name)}/terminate{query}")
    except Failure as failure:
        if failure.problem != "unknown_peer":
            raise
        ended = hub.ask("DELETE", f"/api/v2/programs/{quote(name)}{query}")  # a wrapped program is not a tool
    signal, code = ended.get("signal"), ended.get("exit_code")
    return print_line(f"✓ {name} exited ({f'exit code {code}' if signal is None else f'signal {signal}'})")


def _attach(words: "list[str]") -> int:
    names = [word for word in words if word[:1] != "-"]
    options = {word for word in words if word[:1] == "-"}
    if len(names) != 1 or options - {"-r", "--read-only"}:
        raise usage_error("tools attach")
    from aish.terminal.attach import attach

    return attach(Hub(), names[0], "r" if options else "rw")


def _path(name: str) -> str:
    return f"/api/v2/tools/{quote(name)}"


def _how_to_install(tool: "Tool") -> str:
    return str(tool.get("how_to_install") or f"{tool.get('executable')} is not on the PATH")


def _login(tool: "Tool") -> "str | None":
    login = tool.get("login") or {}
    return f"{login['known']}: {login['how']}" if tool.get("installed") and login else None


def _sessions(found: "list[dict[str, Any]]") -> str:
    """Return how many of the sessions are open, have had no message, and have ended."""
    from aish.commands.sessions_lookup import OPEN_STATES

    still_open = [session for session in found if session["state"] in OPEN_STATES]
    unused = sum(not session["started"] for session in still_open)
    text = f"{len(still_open)} open" + (f" ({unused} without a message yet)" if unused else "")
    ended = len(found) - len(still_open)
    return f"{text}, {ended} ended" if ended else text


def _word(fact: object) -> str:
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    return ", ".join(map(str, fact)) if isinstance(fact, list) else str(fact)


_SUBCOMMANDS = {
    "list": _list,
    "status": _status,
    "launch": _launch,
    "terminate": _terminate,
    "capabilities": _capabilities,
    "attach": _attach,
}
COMMANDS = {"tools": tools}
