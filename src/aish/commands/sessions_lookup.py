"""Functions that the session commands share: finding a session, and splitting words into options."""

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import take_value, usage_error
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Session = dict[str, Any]

OPEN_STATES = ("active", "paused", "waiting")  # of sessions that have not ended


def split_options(
    words: "Sequence[str]", page: str, valued: "Sequence[str]" = (), flags: "Sequence[str]" = ()
) -> "tuple[list[str], dict[str, str]]":
    """Return the words that are not options, and the options with their values. `--` ends the options.

    Raises:
        Failure: an option is unknown or lacks its value. The failure shows the usage of `page`.
    """
    plain: list[str] = []
    options: dict[str, str] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        name, given, value = word.partition("=")
        if word == "--":
            return [*plain, *left], options
        if name in valued:
            options[name] = value if given else take_value(left, page)
        elif word in flags:
            options[word] = ""
        elif word[:1] == "-":
            raise usage_error(page)
        else:
            plain.append(word)
    return plain, options


def find_session(hub: Hub, name: str) -> "Session":
    """Return the session with this name or id.

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
        message = f"no session has the name or id {name!r}"
        hint = "aish sessions list --all shows names and ids"
        unknown = ("SESSION", name)
        raise Failure(message, exits.UNKNOWN, hint=hint, unknown=unknown) from None


def path_of(session: "Session") -> str:
    return f"/api/v2/sessions/{quote(session['id'])}"
