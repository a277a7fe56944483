"""`aish sessions show` and `aish sessions export`: a session as text or JSON."""

import json
import os

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import usage_error
from aish.commands.sessions_lookup import find_session, path_of, split_options
from aish.output import STDOUT, print_json, write
from aish.progress import Progress
from aish.turns.transcript import facts, messages, titled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Session = dict[str, Any]

_SHOWN_MESSAGES = 20
_ALL_MESSAGES = 100_000
_PAGE = 1000
_FORMATS = ("md", "json", "jsonl")


def show(words: "list[str]") -> int:
    """Print a session and its last messages.

    Raises:
        Failure: the words are invalid, or there is no such session.
    """
    plain, options = split_options(words, "sessions show", (), ("--json",))
    if len(plain) != 1:
        raise usage_error("sessions show")
    session = _with_messages(Hub(), plain[0], _SHOWN_MESSAGES)
    if options:
        return print_json(session)
    return _write(facts(session) + "".join(messages(session)))


def export(words: "list[str]") -> int:
    """Print a whole session: its messages (md), its messages and events (json), or its events, one per line
    (jsonl).

    Raises:
        Failure: the words are invalid, or there is no such session.
    """
    plain, options = split_options(words, "sessions export", ("--format",))
    format = options.get("--format", "md")
    if len(plain) != 1 or format not in _FORMATS:
        raise usage_error("sessions export")
    hub = Hub()
    if format == "jsonl":
        for event in _events(hub, find_session(hub, plain[0])):
            _write(f"{event}\n")
        return exits.DONE
    session = _with_messages(hub, plain[0], _ALL_MESSAGES)
    if format == "md":
        return _write(titled(session))
    _write(json.dumps(session, ensure_ascii=False)[:-1] + ', "events": [')
    for number, event in enumerate(_events(hub, session)):
        _write(f",\n{event}" if number else f"\n{event}")
    return _write("\n]}\n")


def _with_messages(hub: Hub, name: str, count: int) -> "Session":
    session = find_session(hub, name)
    return dict(hub.ask("GET", f"{path_of(session)}?messages={count}"))


def _events(hub: Hub, session: "Session") -> "Iterator[str]":
    """Yield the events that the log still has, each as JSON. They are fetched page by page."""
    after, done = "", 0
    with Progress("export") as line:
        line.is_shown = line.is_shown and not os.isatty(STDOUT)  # where the events themselves are shown
        while page := hub.ask("GET", f"{path_of(session)}/events?limit={_PAGE}{after}")["events"]:
            for event in page:
                yield json.dumps(event, ensure_ascii=False)
            after, done = f"&after={quote(page[-1]['cursor'])}", done + len(page)
            line.show(done, session["head"], "events")


def _write(text: str) -> int:
    if os.isatty(STDOUT):
        from aish.render import cleaned

        text = cleaned(text)
    write(STDOUT, text.encode("utf-8", "replace"))
    return exits.DONE
