"""Finds the last conversation with a peer, which `-C` continues."""

from aish import exits
from aish.client.hub import Hub, quote
from aish.exits import Failure
from aish.output import say
from rhetor.domain.grammar import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LOOKED_AT = 1000  # of the last messages to the peer
_TAKES_MESSAGES = ("active", "paused", "waiting")
_PLAN = "p_"


def continued(hub: Hub, peer: str, options: Options) -> Options:
    """Return the options with the session of the last conversation with the peer, and show its last exchange
    on stderr. If that session has ended, a copy of it is continued.

    Raises:
        Failure: the peer is unknown, or there was no conversation with it.
    """
    if options.session_id or options.context_window is not None:
        raise Failure("-C and -s exclude each other: -C continues the last conversation", exits.USAGE)
    name = str(hub.ask("GET", f"/api/v2/ai/{quote(peer)}")["id"])
    last = _last_exchange(hub, name)
    session = hub.ask("GET", f"/api/v2/sessions/{quote(last['stream'])}")
    if session["state"] not in _TAKES_MESSAGES:
        session = hub.ask("POST", f"/api/v2/sessions/{quote(last['stream'])}/fork", {})
    if not options.quiet:
        _show(name, last)
    return Options(session_id=str(session["id"])).over(options)


def _last_exchange(hub: Hub, peer: str) -> "dict[str, Any]":
    path = f"/api/v2/history?limit={_LOOKED_AT}&peer={quote(peer)}"
    for exchange in hub.ask("GET", path)["history"]:
        if exchange["ai"] == peer and not exchange["stream"].startswith(_PLAN):
            found: dict[str, Any] = exchange
            return found
    raise Failure(f"there is no conversation with {peer} to continue", exits.UNKNOWN)


def _show(peer: str, exchange: "dict[str, Any]") -> None:
    from aish.render import cleaned

    answer = exchange["response"] or f"({peer} has not answered)"
    say(cleaned(f"> {exchange['message']}\n{answer}"), dim=True)
