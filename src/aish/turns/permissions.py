"""Permission requests: finding one by the beginning of its id, answering it, and describing it."""

import re

from aish import exits
from aish.client.hub import Hub, quote
from aish.exits import Failure
from aish.output import say
from aish.questions import describe_answers, describe_question, parse_answers, usage_of
from aish.render import cleaned, local_time, one_line, revealed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_SUMMARY_CHARACTERS, _LEAST_CHARACTERS, _MOST_ARGUMENTS = 160, 40, 8
_SIGN_CHARACTERS = 10  # of `…[+12345]…`
_COMMANDS = frozenset(("command", "cmd"))  # arguments that need no name
_PLAIN_NAME = re.compile(r"[\w.-]+", re.ASCII)
_LOOKS_LIKE_ANOTHER = re.compile(r",\s*[^\s,:]+:\s")
_REQUESTS = ("params", "toolCall")  # where agents keep the request
_ARGUMENTS = ("input", "rawInput", "arguments")  # where drivers keep a tool's arguments
_PAUSE = frozenset(("paused", "reason", "resets_at", "then"))  # what the hub says about a paused turn
_REMARKS = frozenset(("reason", "description", "title", "explanation"))
_SAID = ("blocked_path", "decision_reason", "reason", "justification", "description")
_THREAD = "threadId"  # Codex puts what it asks beside members of its protocol, all of which `--json` shows
_PROTOCOL = frozenset(
    (
        *("method", "kind", "threadId", "turnId", "itemId", "callId", "approvalId", "startedAtMs"),
        *("environmentId", "commandActions", "availableDecisions", "proposedExecpolicyAmendment"),
    )
)
_CALL = "toolCallId"
_NO_KIND = "other"  # the tool of such a call, which only its title describes
_CALL_MEMBERS = frozenset((_CALL, "title", "content", "status", "kind", "sessionUpdate", "_meta"))
_CHANGES = ("changes", "content", "edits")  # what the diffs show
_GUTTER = "│ "  # before the further lines of a value, so that it cannot look like other parts of the request
ANSWERED_HERE: set[str] = set()  # ids of the requests that this process answered
# called with the session and the id of each request that a turn has shown here together with its end
SHOWN_HERE: "list[Callable[[str, str], None]]" = []


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
    hint = "aish approve lists the pending requests"
    raise Failure(f"no pending request {id!r}", exits.UNKNOWN, hint=hint, unknown=("PERMISSION", id))


def answer_request(hub: Hub, request: "dict[str, Any]", option: "dict[str, Any]") -> str:
    """Answer a request with one of its options, and return a description of the answer.

    Raises:
        Failure: the request was answered already, or the hub rejects the answer.
    """
    post_answer(hub, request, {"option_id": option["option_id"]})
    return f"{request['peer']}: {cleaned(option['name'])} ({cleaned(str(request['tool']))})"


def answer_questions(hub: Hub, request: "dict[str, Any]", given: "list[str]") -> str:
    """Answer the questions of a request, each as `QUESTION=LABEL[,LABEL…]`, and describe the answers.

    Raises:
        Failure: the answers are invalid, the request was answered already, or the hub rejects them.
    """
    asked = request.get("questions") or []
    if not asked:
        id = cleaned(request["request_id"])
        raise Failure(f"{id} asks no questions; choose one of: {_options(request)}", exits.USAGE)
    answers = parse_answers(asked, given)
    post_answer(hub, request, {"answers": answers})
    return f"{request['peer']}: {describe_answers(answers)}"


def post_answer(hub: Hub, request: "dict[str, Any]", body: "dict[str, Any]") -> None:
    """Answer a pending request.

    Raises:
        Failure: the request was answered already, or the hub rejects the answer.
    """
    path = f"/api/v2/sessions/{quote(request['session_id'])}/permissions/{quote(request['request_id'])}"
    ANSWERED_HERE.add(request["request_id"])  # before the request: the prompt may get the event first
    hub.ask("POST", path, body)


def option_to_approve(request: "dict[str, Any]") -> "dict[str, Any]":
    """Return the option that approves a request.

    Raises:
        Failure: it has none, or it asks questions, whose answers are not guessed.
    """
    if asked := request.get("questions"):
        how = usage_of(request, request["request_id"])
        raise Failure(f"it asks: {'; '.join(map(describe_question, asked))}", exits.USAGE, hint=how)
    return option_of_kind(request, "allow_once", "allow_always")


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
    """Return the tool and its arguments on one short line: `Bash(ls -l)`.

    An argument has its name unless it is the command. If there are several, each is shortened for itself, so
    that none can push another one out. What is left out is counted: `rm …[+340]… /`.
    """
    if (paused := describe_pause(detail)) is not None:
        return paused
    given = _arguments(detail)
    each = max(_SUMMARY_CHARACTERS // max(len(given), 1) - 2, _LEAST_CHARACTERS)
    shown = [_argument(name, _abridged(_text(value), each), alone=len(given) == 1) for name, value in given]
    line = ", ".join(shown[:_MOST_ARGUMENTS])
    if len(shown) > _MOST_ARGUMENTS:
        line += f", and {len(shown) - _MOST_ARGUMENTS} more"
    return f"{_on_one_line(tool)}({line})" if line else _on_one_line(tool)


def _argument(name: str, text: str, *, alone: bool) -> str:
    """Return an argument on one line. A model chooses the text, and for some tools the name: neither can look
    like another argument."""
    if not name:
        return _on_one_line(text)
    if not _PLAIN_NAME.fullmatch(name):
        name = _encoded(_abridged(name, _LEAST_CHARACTERS))
    if not alone and _LOOKS_LIKE_ANOTHER.search(text):
        text = _encoded(text)
    return _on_one_line(f"{name}: {text}")


def _on_one_line(text: str) -> str:
    return revealed(text).replace("\n", "\\n")


def _abridged(text: str, most: int) -> str:
    """Return the beginning and the end of a text that is too long, with the number of characters between."""
    if len(text) <= most:
        return text
    end = most // 3
    left_out = len(text) - (most - _SIGN_CHARACTERS)
    return f"{text[: most - _SIGN_CHARACTERS - end]}…[+{left_out}]…{text[len(text) - end :]}"


def describe_request(request: "dict[str, Any]") -> str:
    """Describe a request: the peer, the tool, what it would do in full, and the options."""
    detail = request["detail"]
    if (paused := describe_pause(detail)) is not None:
        head = f"{request['request_id']}  {request['peer']} {paused}"
        return cleaned("\n    ".join((head, one_line(_options(request)))))
    lines = [f"{request['request_id']}  {request['peer']} asks to use {one_line(revealed(request['tool']))}"]
    lines[0] += f", until {local_time(request['expires_at'])}" if request.get("expires_at") else ""
    lines += what_runs(detail)
    return cleaned("\n    ".join((*lines, one_line(_options(request)))))


def show_request(peer: str, data: "dict[str, Any]") -> None:
    """Print that a peer waits for permission, what the tool would get in full, and how to answer."""
    request, tool = data.get("request_id", ""), one_line(revealed(data.get("tool", "a tool")))
    if asked := data.get("questions"):
        say(cleaned(f"aish: {peer} asks: {'; '.join(map(describe_question, asked))}"))
        say(cleaned(f"({usage_of(data, request)} · aish deny {request})"))
        return
    if (paused := describe_pause(data.get("detail"))) is not None:
        ways = [one_line(f"{o['name']}: aish approve {request} {o['option_id']}") for o in data["options"]]
        say(cleaned("\n    ".join((f"aish: {peer} {paused}", *ways))))
        return
    head = f"aish: {peer} asks to use {tool} (aish approve {request} · aish deny {request})"
    say(cleaned("\n    ".join((head, *what_runs(data.get("detail"))))))


def describe_pause(detail: "Any") -> str | None:
    """Return the reason and the time of a pause; None if the request is not that of a paused turn."""
    if not isinstance(detail, dict) or set(detail) not in (_PAUSE, _PAUSE | {"budget"}):
        return None
    until = f" until {local_time(detail['resets_at'])}" if detail["resets_at"] else ""
    then = ", and continues by itself" if detail["then"] else ""
    return f"is paused{until}{then}: {one_line(revealed(str(detail['reason'])))}"


def what_runs(detail: "Any", paint: "Callable[[str], str]" = str) -> "list[str]":
    """Return what the tool would do, in full, as lines: the changes of files as diffs, whose lines `paint`
    colours, then the other arguments, then what the agent says beside them."""
    from aish.turns.diffs import changes_of, heading_of

    changes = changes_of(_given(detail), _request_in(detail))
    lines: list[str] = []
    for change in changes:
        lines += [heading_of(change), *(f"{_GUTTER}{paint(line)}" for line in change.lines())]
    arguments = _arguments(detail)
    said = [
        (name, value) for name, value in _beside_arguments(detail) if value not in dict(arguments).values()
    ]
    for name, value in [*arguments, *said]:
        if any(change.contains(value) for change in changes) or (changes and name in _CHANGES):
            continue
        first, *more = _value(value).split("\n")
        lines.append(f"{one_line(revealed(name))}: {first}" if name else first)
        lines += [f"{_GUTTER}{line}" for line in more]
    return lines


def _arguments(detail: "Any") -> "list[tuple[str, Any]]":
    """Return the names and values of the arguments that the tool gets. A command that is the only one has no
    name."""
    given = _given(detail)
    if not isinstance(given, dict):
        return [("", given)] if given not in (None, "") else []
    if len(given) == 1 and not _COMMANDS.isdisjoint(given):
        return [("", value) for value in given.values()]
    if _CALL in given and given is _request_in(detail):
        return list(_described(given))
    if _THREAD in given and given is detail:
        given = {name: value for name, value in given.items() if name not in _PROTOCOL}
    return sorted(given.items(), key=lambda item: _is_remark(item[0]))


def _described(call: "dict[str, Any]") -> "Iterator[tuple[str, Any]]":
    """Yield what an ACP agent says of a call whose arguments it does not send: its title, which is usually
    the command, and the rest."""
    if title := call.get("title"):
        yield "", title
    content = call.get("content")
    for block in content if isinstance(content, list) else ():
        inner = block.get("content") if isinstance(block, dict) else None
        if isinstance(inner, dict) and inner.get("type") == "text":
            yield "", inner.get("text")
        elif not isinstance(block, dict) or block.get("type") != "diff":
            yield "content", block
    for name, value in call.items():
        if name not in _CALL_MEMBERS and value not in (None, "", [], {}):
            yield name, value


def _request_in(detail: "Any") -> "Any":
    """Return the request itself, which some agents wrap."""
    for name in _REQUESTS:
        if isinstance(detail, dict) and isinstance(detail.get(name), dict):
            detail = detail[name]
    return detail


def _given(detail: "Any") -> "Any":
    """Return the tool's arguments: the member of the request that has them, or the whole request.

    Nothing is looked for within the arguments, because the model chose their names.
    """
    detail = _request_in(detail)
    if isinstance(detail, dict):
        return next((detail[name] for name in _ARGUMENTS if name in detail), detail)
    return detail


def _is_remark(name: str) -> bool:
    """Return whether a member of a request says something about the tool's use, which comes last."""
    return name in _REMARKS


def _beside_arguments(detail: "Any") -> "list[tuple[str, str]]":
    """Return what the agent says in its request beside the arguments."""
    request = _request_in(detail)
    if not isinstance(request, dict) or _given(detail) is request:
        return []
    names = ("title", *_SAID) if request.get("kind") == _NO_KIND and _CALL in request else _SAID
    return [(name, request[name]) for name in names if isinstance(request.get(name), str) and request[name]]


def _value(value: "Any") -> str:
    """Return a value as it is shown: a text as it is, but with visible marks for what would not be seen."""
    return revealed(_text(value))


def _text(value: "Any") -> str:
    return value if isinstance(value, str) else _encoded(value)


def _encoded(value: "Any") -> str:
    from aish.client.json_sse import encode

    return encode(value).decode("utf-8", "replace")
