"""`aish tools list|status|launch|terminate|capabilities|attach`: coding agents and other wrapped programs."""

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import usage
from aish.exits import Failure
from aish.output import STDOUT, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Tool = dict[str, Any]

HOW = (
    "aish tools list [--json] | status [NAME] [--json] | launch NAME [--session S] | terminate NAME |"
    " capabilities NAME [--json] | attach NAME [-r]"
)


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the words do not hold together, there is no such tool, it is not installed, or the hub refuses.
    """
    what, *rest = words or ["list"]
    if what == "launch":
        return _launch(rest)
    if what == "attach":
        return _attach(rest)
    as_json = rest[-1:] in (["--json"], ["json"])
    names = rest[:-1] if as_json else rest
    if len(names) > 1 or any(name[:1] == "-" for name in names):
        raise usage(HOW)
    if what in ("list", "status") and not names:
        return _list(with_evidence=what == "status", as_json=as_json)
    if not names or (as_json and what == "terminate"):
        raise usage(HOW)
    if what == "status":
        return _status(names[0], as_json)
    if what == "capabilities":
        return _capabilities(names[0], as_json)
    if what == "terminate":
        return _terminate(names[0])
    raise usage(HOW)


def _list(*, with_evidence: bool, as_json: bool) -> int:
    from aish.render import status, table

    tools = Hub().ask("GET", "/api/v2/tools")["tools"]
    if as_json:
        return _print_json(tools)
    rows = [("NAME", "STATUS", "AT", "EVIDENCE" if with_evidence else "DESCRIPTION")]
    for tool in tools:
        described = tool.get("evidence") if with_evidence else tool.get("description")
        if not tool.get("installed"):
            described = _hint(tool)
        at = f"pid {tool['pid']}" if tool.get("pid") else ""
        rows.append((tool["name"], status(tool), at, str(described or "")))
    return _print(table([_cleaned(row) for row in rows]) if tools else "No tools")


def _status(name: str, as_json: bool) -> int:
    from aish.render import status

    tool = Hub().ask("GET", _path(name))
    if as_json:
        return _print_json(tool)
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
        "sessions": tool.get("sessions"),
        "about": tool.get("description"),
    }
    lines = (f"{key:<9} {_cleaned((fact,))[0]}" for key, fact in facts.items() if fact is not None)
    return _print("\n".join(lines))


def _capabilities(name: str, as_json: bool) -> int:
    from aish.render import table

    found = Hub().ask("GET", f"{_path(name)}/capabilities")
    if as_json:
        return _print_json(found)
    scores = sorted((found.get("capabilities") or {}).items(), key=lambda pair: (-pair[1], pair[0]))
    origins, reported = found.get("origins") or {}, found.get("reported") or {}
    rows = [_cleaned((name, f"{score:g}", origins.get(name, ""))) for name, score in scores]
    lines = [table([("CAPABILITY", "SCORE", "ORIGIN"), *rows])]
    lines += [f"{key:<9} {_cleaned((_word(fact),))[0]}" for key, fact in reported.items() if fact]
    return _print("\n".join(lines))


def _launch(words: "list[str]") -> int:
    from aish.commands.wrap import as_missing, folder, tell_running

    asked = {"cwd": folder()}
    names: list[str] = []
    left = list(words)
    while left:
        word, given, value = left.pop(0).partition("=")
        if word in ("-s", "--session") and (given or left):
            asked["session"] = value if given else left.pop(0)
        elif word[:1] == "-":
            raise usage(HOW)
        else:
            names.append(word)
    if len(names) != 1:
        raise usage(HOW)
    try:
        tool = Hub().ask("POST", f"{_path(names[0])}/launch", asked)
    except Failure as failure:
        raise as_missing(failure) from None
    tell_running(names[0], tool)
    return exits.DONE


def _terminate(name: str) -> int:
    hub = Hub()
    try:
        ended = hub.ask("POST", f"{_path(name)}/terminate")
    except Failure as failure:
        if failure.problem != "unknown_peer":
            raise
        ended = hub.ask("DELETE", f"/api/v2/programs/{quote(name)}")  # no tool, but somebody's program
    signal, code = ended.get("signal"), ended.get("exit_code")
    return _print(f"✓ {name} has ended ({f'exit code {code}' if signal is None else f'signal {signal}'})")


def _attach(words: "list[str]") -> int:
    names = [word for word in words if word[:1] != "-"]
    options = {word for word in words if word[:1] == "-"}
    if len(names) != 1 or options - {"-r", "--read-only"}:
        raise usage(HOW)
    from aish.terminal.attach import attach

    return attach(Hub(), names[0], "r" if options else "rw")


def _path(name: str) -> str:
    return f"/api/v2/tools/{quote(name)}"


def _hint(tool: "Tool") -> str:
    return str(tool.get("how_to_install") or f"{tool.get('executable')} is not on the PATH")


def _login(tool: "Tool") -> "str | None":
    login = tool.get("login") or {}
    return f"{login['known']}: {login['how']}" if tool.get("installed") and login else None


def _word(fact: object) -> str:
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    return ", ".join(map(str, fact)) if isinstance(fact, list) else str(fact)


def _cleaned(cells: "tuple[Any, ...]") -> "list[str]":
    """Each on one line, and without what could move a terminal's cursor."""
    from aish.render import cleaned

    return [" ".join(cleaned(str(cell)).split()) for cell in cells]


def _print_json(value: "Any") -> int:
    import json

    return _print(json.dumps(value, indent=2, ensure_ascii=False))


def _print(text: str) -> int:
    write(STDOUT, f"{text}\n".encode("utf-8", "replace"))
    return exits.DONE
