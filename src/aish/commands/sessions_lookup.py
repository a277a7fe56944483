"""Finding a session by name or id, and the options that the session commands share."""

from __future__ import annotations

from aish import exits
from aish.client.hub import Hub, quote
from aish.exits import Failure
from aish.output import STDOUT, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Session = dict[str, Any]


def taken(
    words: Sequence[str], wrong: Exception, valued: Sequence[str] = (), flags: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """The words that are no options, and the options; `--` ends those.

    Raises:
        Failure: `wrong`, at an option that there is not, or without its value.
    """
    plain: list[str] = []
    options: dict[str, str] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        name, given, value = word.partition("=")
        if word == "--":
            return [*plain, *left], options
        if name in valued and (given or left):
            options[name] = value if given else left.pop(0)
        elif word in flags:
            options[word] = ""
        elif word[:1] == "-":
            raise wrong
        else:
            plain.append(word)
    return plain, options


def session_called(hub: Hub, name: str) -> Session:
    """The session of that name, or of that id.

    Raises:
        Failure: there is none (exit code 3).
    """
    found = hub.ask("GET", f"/api/v2/sessions?name={quote(name)}")["sessions"] if name else []
    if found:
        return dict(found[0])
    try:
        return dict(hub.ask("GET", f"/api/v2/sessions/{quote(name)}?messages=0"))
    except Failure as failure:
        if failure.status != 404:
            raise
        raise Failure(f"No session is called {name!r}", exits.UNKNOWN) from None


def path_of(session: Session) -> str:
    return f"/api/v2/sessions/{quote(session['id'])}"


def show_text(text: str) -> int:
    write(STDOUT, f"{text}\n".encode("utf-8", "replace"))
    return exits.DONE


def about(session: Session) -> str:
    """Where it is, and what it was about where it was held elsewhere before."""
    metadata = session.get("metadata") or {}
    imported = metadata.get("imported")
    title = imported.get("title") if isinstance(imported, dict) else None
    return "  ".join(str(part) for part in (metadata.get("cwd"), title) if part)
