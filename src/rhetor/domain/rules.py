"""Standing rules of an owner: forwards, terminals, routes, contexts and purposes.

This module has only their values. The hub decides who may change them, and applies them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from rhetor.errors import NotFound, Unprocessable

ROUTE = "route:"  # the prefix of a hop that is another route
MOST_HOPS = 100
UNNAMED_TERMINAL = re.compile(r"tty:[0-9]{1,10}")  # cannot collide: the name of a peer has no colon
# Commands of the shell, whose names cannot be used for a program or a terminal.
RESERVED = frozenset(
    (
        *("alias", "approve", "cd", "ci-terminal", "ci-tool", "completion", "config", "console", "context"),
        *(
            "deny",
            "doctor",
            "exit",
            "explain",
            "export",
            "forward",
            "help",
            "history",
            "import",
            "inbox",
            "keys",
        ),
        *("list", "logout", "mcp", "models", "notify", "project", "purpose", "quit", "rhetor", "route"),
        *(
            "schedule",
            "search",
            "session",
            "sessions",
            "setup",
            "shutdown",
            "sockets",
            "specialist",
            "status",
        ),
        *("team-chat", "terminals", "tools", "unforward", "usage", "wait", "whoami"),
    )
)


# names that readers would take for a person or the hub; no peer may have one, in upper or lower case
PERSONS = frozenset(
    (
        *("admin", "administrator", "everyone", "human", "i", "me", "owner", "person"),
        *("policy", "root", "system", "unidentified", "unknown", "user", "you"),
    )
)


class Failed(Struct, frozen=True, gc=False):
    """The last failure of a forward. `at`: Unix time in milliseconds."""

    code: str
    detail: str
    at: int
    hint: str = ""


class Forward(Struct, frozen=True, gc=False):
    """A rule that forwards the answers of `source` in its owner's sessions to `to`, a terminal or a peer.

    `as_json`: send the answer as a JSON object with its origin. `execute`: if `to` is a program, it runs what
    it receives. `session_id`: the session in which `to` receives the answers; None before the first one.
    `failed`: the last failure, if any.
    """

    owner: str
    source: str
    to: str
    as_json: bool = False
    execute: bool = False
    at: int = 0
    session_id: str | None = None
    failed: Failed | None = None


class Terminal(Struct, frozen=True, gc=False):
    """A shell with a name. `stream`: the events shown there. `seen`: the number of the last event that was
    shown."""

    name: str
    owner: str
    stream: str
    at: int = 0
    seen: int = 0


class Hop(Struct, frozen=True, gc=False):
    """One step of a route. `target`: a peer, `@capability`, `team:<name>` or `route:<name>`. `purpose`: the
    task of the receiver, which is sent with the message."""

    target: str
    purpose: str = ""


class Route(Struct, frozen=True, gc=False):
    """A named sequence of hops; each receives the answer of the one before it."""

    owner: str
    name: str
    hops: tuple[Hop, ...]
    at: int = 0


class Context(Struct, frozen=True, gc=False):
    """Texts for a peer: `staged` ones wait until they are promoted, `next` ones are sent before the next
    message. `source`: the person who changed them last; `at`: when, as Unix time in milliseconds."""

    owner: str
    peer: str
    staged: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    source: str = ""
    at: int = 0


class Purpose(Struct, frozen=True, gc=False):
    """The purpose that an owner gave to a peer or a terminal."""

    owner: str
    name: str
    text: str
    at: int = 0


def flattened(route: Route, routes: Mapping[str, Route]) -> tuple[Hop, ...]:
    """Return the hops of a route, with each inner route replaced by its hops.

    A hop without a purpose gets that of the route around it.

    Raises:
        Unprocessable: a route contains itself, or there are more than `MOST_HOPS` hops.
        NotFound: an inner route does not exist.
    """
    return tuple(_hops(route, routes, (route.name,)))


def _hops(route: Route, routes: Mapping[str, Route], inside: tuple[str, ...]) -> list[Hop]:
    found: list[Hop] = []
    for hop in route.hops:
        if not hop.target.startswith(ROUTE):
            found.append(hop)
            continue
        name = hop.target.removeprefix(ROUTE)
        if name in inside:
            raise Unprocessable("a route cannot contain itself", circle=[*inside, name])
        if name not in routes:
            raise NotFound("route", name)
        inner = _hops(routes[name], routes, (*inside, name))
        found += [Hop(each.target, each.purpose or hop.purpose) for each in inner]
        if len(found) > MOST_HOPS:
            raise Unprocessable(f"a route can have at most {MOST_HOPS} hops")
    return found


def circle(source: str, forwards: Mapping[str, str]) -> tuple[str, ...]:
    """Return the peers through which an answer of `source` would come back to it; empty if it would not.

    `forwards`: the target of each source.
    """
    way = [source]
    while (to := forwards.get(way[-1])) is not None and to not in way:
        way.append(to)
    return (*way, source) if forwards.get(way[-1]) == source else ()
