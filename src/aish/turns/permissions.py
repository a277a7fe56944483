"""Permission requests: finding one by the beginning of its id, answering it, and describing it."""

from aish import exits
from aish.client.hub import Hub, quote
from aish.exits import Failure
from aish.render import cleaned, local_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DETAIL_CHARACTERS = 200
_SUMMARY_CHARACTERS = 160
_SUBJECTS = ("command", "cmd", "file_path", "path", "url", "pattern", "query")
_ARGUMENTS = ("input", "rawInput", "arguments", "params", "toolCall")  # where agents keep a tool's arguments
ANSWERED_HERE: set[str] = set()  # ids of the requests that this process answered


def pending_requests(hub: Hub) -> "list[dict[str, Any]]":
    """Return the pending requests of all peers, the oldest first."""
    return list(hub.ask("GET", "/api/v2/permissions")["permissions"])


def find_request(hub: Hub, id: str) -> "dict[str, Any]":
    """Return the pending request with this id, or with an id that begins with it.

    Raises:
        Failure: there is none, or there are several.
    """
    requests = pending_requests(hub)
    same = [r for r in requests if r["request_id"] == id] or [
        r for r in requests if r["request_id"].startswith(id)
    ]
    if len(same) == 1:
        return same[0]
    if same:
        raise Failure(f"{len(same)} request ids begin with {id!r}; give more of the id", exits.USAGE)
    raise Failure(f"no pending request {id!r} (aish approve lists the pending requests)", exits.UNKNOWN)


def answer_request(hub: Hub, request: "dict[str, Any]", option: "dict[str, Any]") -> str:
    """Answer a request with one of its options, and return a description of the answer.

    Raises:
        Failure: the request was answered already, or the hub rejects the answer.
    """
    path = f"/api/v2/sessions/{quote(request['session_id'])}/permissions/{quote(request['request_id'])}"
    ANSWERED_HERE.add(request["request_id"])  # before the request: the prompt may get the event first
    hub.ask("POST", path, {"option_id": option["option_id"]})
    return f"{request['peer']}: {cleaned(option['name'])} ({cleaned(str(request['tool']))})"


def option_named(request: "dict[str, Any]", name: str) -> "dict[str, Any]":
    """Return the option with this id, name or kind.

    Raises:
        Failure: the request has no such option.
    """
    for option in request["options"]:
        if name.lower() in (option["option_id"].lower(), option["name"].lower(), option["kind"].lower()):
            return dict(option)
    raise Failure(f"{name!r} is not an option; choose one of: {_options(request)}", exits.USAGE)


def option_of_kind(request: "dict[str, Any]", *kinds: str) -> "dict[str, Any]":
    """Return the first option of one of these kinds, in the order of the kinds.

    Raises:
        Failure: the request has no such option.
    """
    for kind in kinds:
        for option in request["options"]:
            if option["kind"] == kind:
                return dict(option)
    id, options = request["request_id"], _options(request)
    raise Failure(f"choose an option with aish approve {id} OPTION: {options}", exits.USAGE)


def _options(request: "dict[str, Any]") -> str:
    return ", ".join(f"{o['option_id']} ({o['name']})" for o in request["options"])


def summary(tool: str, detail: "Any") -> str:
    """Return the tool and what it would do, on one short line: `Bash(ls -l)`."""
    line = " ".join(_subject(detail).split())
    cut = line[:_SUMMARY_CHARACTERS] + "…" if len(line) > _SUMMARY_CHARACTERS else line
    return cleaned(f"{tool}({cut})" if cut else tool)


def _subject(detail: "Any") -> str:
    """Return the command, file or URL that the tool would use; if there is none, all its arguments."""
    from aish.client.json_sse import encode

    if (subject := _known_subject(detail)) is not None:
        return subject
    while isinstance(detail, dict) and (inner := next(filter(None, map(detail.get, _ARGUMENTS)), None)):
        detail = inner
    return encode(detail).decode("utf-8", "replace") if detail else ""


def _known_subject(detail: "Any", levels: int = 3) -> str | None:
    """Return the member that names what the tool would use, up to `levels` deep; None if there is none."""
    if isinstance(detail, str):
        return detail
    if not isinstance(detail, dict) or not levels:
        return None
    found = next((detail[name] for name in _SUBJECTS if isinstance(detail.get(name), str)), None)
    if found is not None:
        return str(found)
    inner = [detail[name] for name in _ARGUMENTS if isinstance(detail.get(name), dict)]
    subjects = (_known_subject(each, levels - 1) for each in inner)
    return next((subject for subject in subjects if subject is not None), None)


def describe_request(request: "dict[str, Any]") -> str:
    """Describe a request: the peer, the tool, what the tool would do, and the options.

    The command or file is shown in full; the other arguments are shortened.
    """
    from aish.client.json_sse import encode

    detail = request["detail"]
    lines = [f"{request['request_id']}  {request['peer']} asks to use {request['tool']}"]
    lines[0] += f", until {local_time(request['expires_at'])}"
    if subject := _subject(detail):
        lines.append(" ".join(subject.split()))
    if not isinstance(detail, str):
        text = " ".join(encode(detail).decode("utf-8", "replace").split())
        lines.append(text[:DETAIL_CHARACTERS] + "…" if len(text) > DETAIL_CHARACTERS else text)
    return cleaned("\n    ".join((*lines, _options(request))))
