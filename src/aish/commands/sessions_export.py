"""A conversation to read or to take elsewhere: `aish sessions show` and `export`."""

import json

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands.sessions_lookup import about, path_of, session_called, taken
from aish.output import STDOUT, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Session = dict[str, Any]

_SHOWN_MESSAGES = 20
_ALL_MESSAGES = 100_000
_PAGE = 1000
_FORMATS = ("md", "json", "jsonl")


def show(words: "list[str]", wrong: Exception) -> int:
    """What it is, and the last that was said in it.

    Raises:
        Failure: `wrong`, or there is no such session.
    """
    plain, options = taken(words, wrong, (), ("--json",))
    if len(plain) != 1:
        raise wrong
    session = _with_messages(Hub(), plain[0], _SHOWN_MESSAGES)
    if options:
        return _write(json.dumps(session, indent=2, ensure_ascii=False) + "\n")
    return _write(_facts(session) + "".join(_markdown(session)))


def export(words: "list[str]", wrong: Exception) -> int:
    """All of it on stdout: what was said (md), that and its events (json), its events one a line (jsonl).

    Raises:
        Failure: `wrong`, or there is no such session.
    """
    plain, options = taken(words, wrong, ("--format",))
    format = options.get("--format", "md")
    if len(plain) != 1 or format not in _FORMATS:
        raise wrong
    hub = Hub()
    if format == "jsonl":
        for event in _events(hub, session_called(hub, plain[0])):
            _write(f"{event}\n")
        return exits.DONE
    session = _with_messages(hub, plain[0], _ALL_MESSAGES)
    if format == "md":
        return _write(_title(session) + "".join(_markdown(session)))
    _write(json.dumps(session, ensure_ascii=False)[:-1] + ', "events": [')
    for number, event in enumerate(_events(hub, session)):
        _write(f",\n{event}" if number else f"\n{event}")
    return _write("\n]}\n")


def _with_messages(hub: Hub, name: str, count: int) -> "Session":
    session = session_called(hub, name)
    return dict(hub.ask("GET", f"{path_of(session)}?messages={count}"))


def _events(hub: Hub, session: "Session") -> "Iterator[str]":
    """Each as JSON, as far as they are kept; a page at a time."""
    after = ""
    while True:
        page = hub.ask("GET", f"{path_of(session)}/events?limit={_PAGE}{after}")["events"]
        for event in page:
            yield json.dumps(event, ensure_ascii=False)
        if not page:
            return
        after = f"&after={quote(page[-1]['cursor'])}"


def _title(session: "Session") -> str:
    return f"# {session['name'] or session['id']}\n\n{_facts(session)}"


def _facts(session: "Session") -> str:
    facts = {
        "session": session["id"],
        "name": session["name"],
        "with": session["specialist_id"],
        "state": session["state"],
        "began": session["created_at"],
        "used": session["used_at"],
        "about": about(session) or None,
    }
    return "".join(f"- {key}: {fact}\n" for key, fact in facts.items() if fact is not None)


def _markdown(session: "Session") -> "Iterator[str]":
    for message in session["messages"]:
        who = session["specialist_id"] if message["role"] == "assistant" else "You"
        at = message["timestamp"][:19].replace("T", " ")
        yield f"\n## {who} · {at}\n\n{message['content'].rstrip()}\n"


def _write(text: str) -> int:
    import os

    if os.isatty(STDOUT):
        from aish.render import cleaned

        text = cleaned(text)
    write(STDOUT, text.encode("utf-8", "replace"))
    return exits.DONE
