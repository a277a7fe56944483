"""Requests for permission: found by the beginning of their id, and answered with one of their own options."""

from aish import exits
from aish.client.hub import Hub, quote
from aish.exits import Failure
from aish.render import cleaned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DETAIL_CHARACTERS = 200
_SUMMARY_CHARACTERS = 160
_TELLING = ("command", "cmd", "file_path", "path", "url", "pattern", "query")
_WITHIN = ("input", "rawInput", "arguments", "params", "toolCall")  # where agents keep what the tool is given
ANSWERED_HERE: set[str] = set()  # requests that this process answered


def open_requests(hub: Hub) -> "list[dict[str, Any]]":
    """All that wait, the oldest first."""
    return list(hub.ask("GET", "/api/v2/permissions")["permissions"])


def found(hub: Hub, id: str) -> "dict[str, Any]":
    """The request that waits under an id, or its beginning.

    Raises:
        Failure: there is none, or there are several.
    """
    requests = open_requests(hub)
    same = [r for r in requests if r["request_id"] == id] or [
        r for r in requests if r["request_id"].startswith(id)
    ]
    if len(same) == 1:
        return same[0]
    if same:
        raise Failure(f"aish: {len(same)} requests begin with {id!r}: give more of the id", exits.USAGE)
    raise Failure(f"aish: no request {id!r} waits (aish approve lists those that do)", exits.UNKNOWN)


def answer(hub: Hub, request: "dict[str, Any]", option: "dict[str, Any]") -> str:
    """Choose an option; what was chosen, for a person.

    Raises:
        Failure: somebody was first, or the hub refuses.
    """
    path = f"/api/v2/sessions/{quote(request['session_id'])}/permissions/{quote(request['request_id'])}"
    ANSWERED_HERE.add(request["request_id"])  # before: who watches may hear of it sooner than we
    hub.ask("POST", path, {"option_id": option["option_id"]})
    return f"{request['peer']}: {cleaned(option['name'])} ({cleaned(str(request['tool']))})"


def option_named(request: "dict[str, Any]", name: str) -> "dict[str, Any]":
    """The option with that id, name or kind.

    Raises:
        Failure: it was not offered.
    """
    for option in request["options"]:
        if name.lower() in (option["option_id"].lower(), option["name"].lower(), option["kind"].lower()):
            return dict(option)
    raise Failure(f"aish: {name!r} was not offered, but: {offered(request)}", exits.USAGE)


def option_of_kind(request: "dict[str, Any]", *kinds: str) -> "dict[str, Any]":
    """The first option of the first of these kinds that is offered.

    Raises:
        Failure: none is.
    """
    for kind in kinds:
        for option in request["options"]:
            if option["kind"] == kind:
                return dict(option)
    raise Failure(f"aish: choose one of its options: {offered(request)}", exits.USAGE)


def offered(request: "dict[str, Any]") -> str:
    return ", ".join(f"{o['option_id']} ({o['name']})" for o in request["options"])


def summary(tool: str, detail: "Any") -> str:
    """What is asked for, in a few words of one line: `Bash(ls -l)`."""
    line = " ".join(_asked(detail).split())
    cut = line[:_SUMMARY_CHARACTERS] + "…" if len(line) > _SUMMARY_CHARACTERS else line
    return cleaned(f"{tool}({cut})" if cut else tool)


def _asked(detail: "Any") -> str:
    """What tells what is asked for; where nothing does, all that the tool is given."""
    from aish.client.json_sse import encode

    if (told := _told(detail)) is not None:
        return told
    while isinstance(detail, dict) and (within := next(filter(None, map(detail.get, _WITHIN)), None)):
        detail = within
    return encode(detail).decode("utf-8", "replace") if detail else ""


def _told(detail: "Any", levels: int = 3) -> str | None:
    """The member that tells what is asked for: the command, the file …; None where nothing does."""
    if isinstance(detail, str):
        return detail
    if not isinstance(detail, dict) or not levels:
        return None
    found = next((detail[name] for name in _TELLING if isinstance(detail.get(name), str)), None)
    if found is not None:
        return str(found)
    within = (_told(detail[name], levels - 1) for name in _WITHIN if isinstance(detail.get(name), dict))
    return next((told for told in within if told is not None), None)


def shown(request: "dict[str, Any]") -> str:
    """A request for a person: who asks, for what, and what may be answered. What tells it stands whole, in
    front of the rest of what the agent says of it."""
    from aish.client.json_sse import encode

    detail = request["detail"]
    lines = [f"{request['request_id']}  {request['peer']} asks to use {request['tool']}"]
    lines[0] += f", until {request['expires_at']}"
    if asked := _asked(detail):
        lines.append(" ".join(asked.split()))
    if not isinstance(detail, str):
        text = " ".join(encode(detail).decode("utf-8", "replace").split())
        lines.append(text[:DETAIL_CHARACTERS] + "…" if len(text) > DETAIL_CHARACTERS else text)
    return cleaned("\n    ".join((*lines, offered(request))))
