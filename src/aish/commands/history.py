"""`aish history` and `aish search`: the messages and answers of all sessions."""

from aish import exits
from aish.client.hub import Hub
from aish.commands import JSON_WORDS, free_text, take_value, usage_error
from aish.output import STDOUT, print_json, print_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OPTIONS = {"--peer": "peer", "--session": "session", "--since": "since", "--model": "model"}
_SHOWN = 20  # exchanges, if N is missing
_PAGE, _MOST = 1000, 1_000_000  # of exchanges
_WIDTH = 200  # characters shown of a message or an answer
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def history(words: "list[str]") -> int:
    """Show recent messages and their answers, the newest last.

    Raises:
        Failure: the words are invalid, or the hub cannot be reached.
    """
    if words[:1] == ["search"] and len(words) > 1:
        return search(words[1:])
    words, query = _filters(words, "history")
    limit, as_json = _SHOWN, False
    for word in words:
        if word in JSON_WORDS:
            as_json = True
        elif word.isdecimal() and len(word) <= 7 and 0 < int(word) <= _MOST:
            limit = int(word)
        else:
            raise usage_error("history")
    exchanges = _recent(limit, query)
    if as_json:
        return print_json(exchanges)
    return print_text(_fitted(_exchanges(exchanges)))


def _recent(limit: int, query: str) -> "list[dict[str, Any]]":
    """Return the last exchanges, the newest last. The hub returns them in pages."""
    hub, before = Hub(), ""
    found: list[dict[str, Any]] = []
    while len(found) < limit:
        size = min(limit - len(found), _PAGE)
        page = hub.ask("GET", f"/api/v2/history?limit={size}{query}{before}")["history"]
        found += page
        if len(page) < size:
            break
        before = f"&before={_quoted(page[-1]['turn_id'])}"
    return found[::-1]


def _filters(words: "list[str]", page: str) -> "tuple[list[str], str]":
    """Return the other words, and the filters as a part of a query."""
    from aish.commands.times import parse_time

    plain: list[str] = []
    filters: dict[str, str] = {}
    left = list(words)
    while left and left[0] != "--":
        name, given, value = left.pop(0).partition("=")
        if name in _OPTIONS:
            filters[_OPTIONS[name]] = value if given else take_value(left, page)
        else:
            plain.append(name + given + value)
    if "" in filters.values():
        raise usage_error(page)
    if "since" in filters:
        filters["since"] = parse_time(filters["since"])
    query = "".join(f"&{name}={_quoted(value)}" for name, value in filters.items())
    return [*plain, *left], query


def search(words: "list[str]") -> int:
    """Show the messages that contain the words. Like `grep`, return 1 if there are none.

    Raises:
        Failure: there are no words, or the hub cannot be reached.
    """
    before_dashes = words[: words.index("--")] if "--" in words else words
    as_json = "--json" in before_dashes
    if as_json:
        words = [word for word in before_dashes if word != "--json"] + words[len(before_dashes) :]
    words, query = _filters(words, "search")
    wanted = free_text(words, "search")
    if not wanted.strip():
        raise usage_error("search")
    hits = Hub().ask("GET", f"/api/v2/search?q={_quoted(wanted)}{query}")["hits"]
    if as_json:
        print_json(hits)
    else:
        print_text(_fitted("".join(map(_hit, hits))))
    return exits.DONE if hits else exits.FAILED


def _fitted(text: str) -> str:
    from aish.screen.tables import stdout_columns, wrapped

    return wrapped(text, stdout_columns())


def _exchanges(exchanges: "list[dict[str, str]]") -> str:
    from aish.render import cleaned, local_time
    from rhetor.domain.prefaces import without_prefaces

    lines = []
    for one in exchanges:
        message, response = _short(without_prefaces(one["message"])), _short(one["response"]) or "(no answer)"
        model = f" ({one['model']})" if one.get("model") else ""
        lines.append(f"{local_time(one['at'])}  {one['ai']}{model}\n  > {message}\n  {response}\n")
    return cleaned("\n".join(lines)) if lines else "No messages yet\n"


def _without_fences(text: str) -> str:
    """Return the text, with blanks instead of the lines that enclose the answers of other peers in it."""
    import re

    return re.sub(r"^--- [0-9a-f]{16} ---$", lambda fence: " " * len(fence[0]), text, flags=re.MULTILINE)


def _short(text: str) -> str:
    line = " ".join(_without_fences(text).split())
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="", errors="replace")


def _hit(hit: "dict[str, object]") -> str:
    from aish.render import local_time

    author = f"{hit['ai']}" if hit["role"] == "assistant" else f"you to {hit['ai']}"
    return f"{local_time(hit['at'])}  {author}\n  {_highlighted(hit)}\n"


def _highlighted(hit: "dict[str, object]") -> str:
    """Return the excerpt on one line. On a terminal, the words that were found are bold."""
    import os

    from aish.render import cleaned

    excerpt, places = _without_fences(str(hit["excerpt"])), hit["highlights"]
    bold = os.isatty(STDOUT) and not os.environ.get("NO_COLOR")
    text, at = "", 0
    for start, length in places if bold else ():  # type: ignore[attr-defined]
        text += cleaned(excerpt[at:start]) + _BOLD + cleaned(excerpt[start : start + length]) + _PLAIN
        at = start + length
    return " ".join((text + cleaned(excerpt[at:])).split())


COMMANDS = {
    "history": history,
    "search": search,
}
