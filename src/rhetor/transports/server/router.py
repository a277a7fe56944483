"""The rows of the table of routes, and the router. Routing, decoding of bodies and queries, the OpenAPI page,
and the test that every route declares a policy all use the same rows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache, cached_property, partial
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import Struct
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketState

from rhetor.auth.policy import Policy, require
from rhetor.codec import typed_json
from rhetor.codec.incoming_json import IncomingJson
from rhetor.errors import (
    Forbidden,
    Malformed,
    MethodNotAllowed,
    NotFound,
    RhetorError,
    TooLarge,
    UnsupportedMedia,
)

from . import problems
from .call import Call, json_response
from .counters import REST, SSE, api_of
from .disconnect import CallerGone
from .flow import BODY_BYTES, EXTENSION
from .held_bytes import Share
from .node import Node
from .placement import At

log = logging.getLogger(__name__)
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Streams(StrEnum):
    """Whether the answer is an event stream, which stays open and counts among the connections."""

    NEVER = "never"
    ASKED = "asked"  # with `Accept: text/event-stream`
    ALWAYS = "always"
    BODY = "body"  # as the body of the request says; the handler counts it


class Route(Struct, frozen=True):
    """A row of the table. The handler is called with the `Call`, the names in the path, and, if the row has
    them, `body` and `query`. It returns a response, or a value to encode as JSON.

    `answer`: the type of the JSON response; `str` and `bytes` stand for text and binary content, None for no
    content. `at`: which node has what the request is about, unless each node has it.
    `later`: the type of the response (202) to a client that prefers not to wait. `errors`: the
    errors besides those that any request may get. `csv`: the response is CSV with `Accept: text/csv`.
    `action`: what the audit calls what the handler does, if it executes no command that has entries there.
    `takes_rest`: the last name in the path may contain `/`. `takes_bytes`: the body is binary content, with
    which the handler is called as `content`. `takes_json`: the handler decodes the body itself, which is the
    `content` that it is called with; `body` only describes it.
    """

    method: str
    path: str
    policy: Policy
    handler: Callable[..., Awaitable[Any]]
    body: type[Struct] | None = None
    answer: Any = None
    errors: tuple[type[RhetorError], ...] = ()
    query: type[Struct] | None = None
    streams: Streams = Streams.NEVER
    headers: tuple[str, ...] = ()
    status: int = 200
    later: type[Struct] | None = None
    body_bytes: int = BODY_BYTES
    csv: bool = False
    action: str = ""
    takes_rest: bool = False
    takes_bytes: bool = False
    takes_json: bool = False
    at: At | None = None

    @property
    def needs_body(self) -> bool:
        """Whether the body has required members. If not, an empty body is the same as `{}`."""
        return self.body is not None and _has_required(self.body)

    def is_stream(self, call: Call) -> bool:
        return self.streams is Streams.ALWAYS or (self.streams is Streams.ASKED and call.accepts_events)


@cache
def _has_required(kind: type[Struct]) -> bool:
    return any(member.required for member in msgspec.structs.fields(kind))


class SocketRoute(Struct, frozen=True):
    """The row of a WebSocket. `api`: its name in counters and limits. `at`: as in `Route`."""

    path: str
    policy: Policy
    handler: Callable[..., Awaitable[None]]
    api: str
    method: str = "WEBSOCKET"
    at: At | None = None


class AppRoute(Struct, frozen=True):
    """The row of an ASGI app that answers all methods and WebSockets at one path. `make` makes it for the
    first request. The app may raise errors until its response or its handshake begins. `api`: its name in
    counters and limits; `at`: as in `Route`."""

    path: str
    policy: Policy
    make: Callable[[Node], ASGIApp]
    api: str
    method: str = "*"
    at: At | None = None


Row = Route | SocketRoute | AppRoute


class Table(Sequence[Row]):
    """All rows. Those that `later` returns are imported when they are first needed: by a request whose path
    begins with the key, or by whoever reads the table. `now`: the other rows."""

    def __init__(self, now: Sequence[Row], later: Mapping[str, Callable[[], Sequence[Row]]]) -> None:
        self.now = tuple(now)
        self.later = dict(later)

    def __getitem__(self, at: Any) -> Any:
        return self._all[at]

    def __len__(self) -> int:
        return len(self._all)

    @cached_property
    def _all(self) -> tuple[Row, ...]:
        return (*self.now, *(row for rows in self.later.values() for row in rows()))


class Branch:
    """A node of the tree of paths. `inner`: the nodes below, by the next word; `any`: the node for a name in
    braces; `rest`: that for a name which takes the rest of the path; `rows`: the rows whose path ends here,
    by method, with the names in the path."""

    __slots__ = ("any", "inner", "rest", "rows")

    def __init__(self) -> None:
        self.inner: dict[str, Branch] = {}
        self.any: Branch | None = None
        self.rest: Branch | None = None
        self.rows: dict[str, tuple[Row, list[str]]] = {}

    def add(self, row: Row) -> Branch:
        """Add a row, and return the node at which its path ends."""
        at, names, parts = self, [], row.path.split("/")[1:]
        takes_rest = isinstance(row, Route) and row.takes_rest
        for left, part in enumerate(parts, start=1 - len(parts)):
            if part.startswith("{"):
                names.append(part[1:-1])
                if takes_rest and not left:
                    at.rest = at.rest or Branch()
                    at = at.rest
                else:
                    at.any = at.any or Branch()
                    at = at.any
            else:
                at = at.inner.setdefault(part, Branch())
        at.rows[row.method] = row, names
        return at

    def found(
        self, parts: list[str], values: tuple[str, ...] = ()
    ) -> Iterator[tuple[Branch, tuple[str, ...]]]:
        """Yield the nodes that match the path, with the values of its names. Words are tried before names."""
        if not parts:
            yield self, values
            return
        if inner := self.inner.get(parts[0]):
            yield from inner.found(parts[1:], values)
        if self.any is not None and parts[0]:
            yield from self.any.found(parts[1:], (*values, parts[0]))
        if self.rest is not None and parts[0]:
            yield self.rest, (*values, "/".join(parts))


class Router:
    """The ASGI app behind the gate. Every failure becomes a problem (RFC 9457)."""

    def __init__(self, table: Sequence[Row], node: Node | None = None) -> None:
        self.table = table
        self.node = node
        self._apps: dict[str, ASGIApp] = {}
        self._root = Branch()
        self._words: dict[str, Branch] = {}  # the nodes of paths without names, by the whole path
        self._later = dict(table.later) if isinstance(table, Table) else {}
        self._add(table.now if isinstance(table, Table) else table)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"], scope["state"]["node"] = self, self.node
        try:
            await self._complete(scope["path"])
            row, names = self._row(scope)
            if await self._passed_on(row, names, scope, receive, send):
                return
            if isinstance(row, AppRoute):
                await self._app(row, scope)(scope, receive, send)
            elif isinstance(row, SocketRoute):
                await _open(row, names, WebSocket(scope, receive, send))
            else:
                await _answer(row, names, Call(scope, receive), send)
        except RhetorError as error:
            await self._refuse(error, scope, receive, send)
        except CallerGone:
            pass  # the client is gone
        except Exception as error:  # a bug must end no other request
            if scope["type"] == "websocket" or scope["state"].get("began"):
                raise  # uvicorn logs it, and ends the connection
            log.error("request failed", exc_info=error, extra={"path": scope["path"]})
            fault = RhetorError("internal error; the hub's log has the details")
            await self._refuse(fault, scope, receive, send)

    def _add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            branch = self._root.add(row)
            if "{" not in row.path:
                self._words[row.path] = branch

    async def _complete(self, path: str) -> None:
        """Add the rows that are imported when the first request for their prefix arrives."""
        for prefix in [each for each in self._later if path.startswith(each)]:
            self._add(await asyncio.to_thread(self._later[prefix]))
            self._later.pop(prefix, None)  # another request may have added the same rows meanwhile

    async def _passed_on(
        self, row: Row, names: dict[str, str], scope: Scope, receive: Receive, send: Send
    ) -> bool:
        """Pass a request on if another node has what it is about, and return whether it was."""
        assert self.node is not None
        passing = self.node.passing
        if passing is None or row.at is None:
            return False
        if not isinstance(row, Route):
            scope["state"]["api"] = row.api
        require(row.policy, scope["state"]["principal"])
        name = await passing.elsewhere(row.at, scope, names)
        if name is None:
            return False
        await passing.pass_on(name, scope, receive, send)
        return True

    def _app(self, row: AppRoute, scope: Scope) -> ASGIApp:
        assert self.node is not None
        require(row.policy, scope["state"]["principal"])
        if row.path not in self._apps:
            self._apps[row.path] = row.make(self.node)
        return self._apps[row.path]

    def _row(self, scope: Scope) -> tuple[Row, dict[str, str]]:
        """Return the row for a request, and the names in its path with their values.

        Raises:
            NotFound: no row has this path.
            MethodNotAllowed: only rows for other methods have this path.
        """
        method = scope.get("method", "WEBSOCKET")
        branch, values = self._branch(scope)
        if found := branch.rows.get(method) or branch.rows.get("*"):
            row, names = found
            return row, dict(zip(names, values, strict=True))
        allowed = branch.rows.keys() - {"WEBSOCKET"}
        if not allowed or method == "WEBSOCKET":
            raise NotFound("route", scope["path"])
        raise MethodNotAllowed(sorted(allowed))

    def _branch(self, scope: Scope) -> tuple[Branch, tuple[str, ...]]:
        """Return the node with the rows for a path, and the values of its names; one without rows if there is
        none. A path of words alone takes precedence over one with names, for all methods (OpenAPI 3.1,
        4.8.8)."""
        if (branch := self._words.get(scope["path"])) is not None:
            return branch, ()
        matching = self._root.found(_segments(scope))
        return next(((at, names) for at, names in matching if at.rows), (Branch(), ()))

    async def _refuse(self, error: RhetorError, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.node is not None
        self.node.tally.fault(api_of(scope), error.code)
        if isinstance(error, Forbidden) and not error.is_noted:
            self.node.note_refusal(scope, error)
        await problems.refuse(error, scope, receive, send)


async def _answer(route: Route, names: dict[str, str], call: Call, send: Send) -> None:
    state = call.scope["state"]
    if state["principal"] is not None and route.method in CHANGING:
        call.node.charge(state["principal"], REST)
    require(route.policy, state["principal"])
    if not route.is_stream(call):
        await _respond(route, names, call, send)
        return
    is_new = route.method == "GET"  # the stream that answers a message is counted as that message
    with call.node.connections.opened(SSE, call.who, state["credential"], is_new=is_new) as connection:
        state["connection"], state["traffic"] = connection, call.node.tally.traffic[SSE]
        await _respond(route, names, call, send)


async def _respond(route: Route, names: dict[str, str], call: Call, send: Send) -> None:
    given: dict[str, Any] = dict(names)
    if route.query is not None:
        given["query"] = _query(route.query, dict(call.query_params))
    if route.takes_json:
        given["content"] = await _json(route, call)
    elif route.body is not None:
        given["body"] = await _body(route, route.body, call)
    elif route.takes_bytes:
        given["content"] = bytes(await _read(call.receive))
    else:
        await _read(call.receive)  # reading stops at a body that nobody reads, and a lost client goes unseen
    found = await (_audited(route, names, call, given) if route.action else route.handler(call, **given))
    response = found if isinstance(found, Response) else json_response(found, status=route.status)
    await response(call.scope, call.receive, send)


async def _audited(route: Route, names: dict[str, str], call: Call, given: dict[str, Any]) -> Any:
    """Call the handler between two entries of the audit."""
    audit = call.hub.state.audit
    async with audit.action(call.who, route.action, "/".join(names.values()), api=REST) as call.acting:
        return await route.handler(call, **given)


async def _body(route: Route, kind: type[Struct], call: Call) -> Struct:
    data = await _json(route, call)
    if not data:
        return kind()
    if len(data) > typed_json.LARGE_BYTES:
        return await _decoded_large(data, kind, call.node.decoding)
    typed_json.check_utf8(data)
    try:
        return typed_json.decode(data, kind)
    except msgspec.ValidationError as error:
        raise _invalid(data, error) from error


async def _json(route: Route, call: Call) -> bytearray:
    """Return a body that is JSON. The number of its values and the text of a large body are checked. It is
    empty only if the route needs none."""
    incoming = IncomingJson()
    data = await _read(call.receive, incoming)
    if not data and not route.needs_body:
        return data
    if not data:
        raise typed_json.unprocessable("body", "missing")
    if not _is_json(call.headers.get("content-type", "")):
        raise UnsupportedMedia(call.headers.get("content-type", ""))
    if len(data) > route.body_bytes:
        raise TooLarge("the body", route.body_bytes)
    if len(data) > typed_json.LARGE_BYTES:
        incoming.end()
    return data


async def _decoded_large(data: bytearray, kind: type[Struct], alone: asyncio.Lock) -> Struct:
    """Decode a body in steps of up to 20 ms, between which other tasks run."""
    async with alone:
        try:
            typed_json.check(data, kind)
            await asyncio.sleep(0)
            return typed_json.decode(data, kind)
        except msgspec.ValidationError as error:
            await asyncio.sleep(0)
            raise _invalid(data, error) from error
        finally:
            await asyncio.sleep(0)


def _invalid(data: bytearray, error: msgspec.ValidationError) -> RhetorError:
    """Return the error for a body that does not match its type, which may also not be JSON at all."""
    try:
        typed_json.decode(data, msgspec.Raw)
    except Malformed as malformed:
        return malformed
    return typed_json.unprocessable(**typed_json.fault("body", error))


async def _read(receive: Receive, incoming: IncomingJson | None = None) -> bytearray:
    """Return the whole body. It grows in place, because joining 8 MiB at the end would take a while. Unless a
    small body arrives at once, its pieces are given to `incoming`.

    Raises:
        CallerGone: the client closed its connection.
    """
    data = bytearray()
    while (message := await receive())["type"] != "http.disconnect":
        piece, is_last = message.get("body", b""), not message.get("more_body", False)
        data += piece
        if incoming is not None and not (is_last and len(piece) == len(data) <= typed_json.LARGE_BYTES):
            incoming.feed(piece)
        if is_last:
            return data
    raise CallerGone


def _segments(scope: Scope) -> list[str]:
    """Return what is between the slashes of a path. A `%2F` is a slash within a name."""
    raw: bytes = scope["raw_path"]
    if b"%2f" not in raw.lower():
        path: str = scope["path"]
        return path.split("/")[1:]
    return [unquote(segment) for segment in raw.decode("ascii").split("/")[1:]]


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _query(kind: type[Struct], given: dict[str, str]) -> Struct:
    """Decode a query. Parameters that the type does not name are ignored. Whole numbers must be in digits."""
    for name in _whole_numbers(kind):
        if not given.get(name, "0").removeprefix("-").isdecimal():
            raise typed_json.unprocessable(f"query.{name}", "must be a whole number")
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise typed_json.unprocessable(**typed_json.fault("query", error)) from error


@cache  # looking at the members of a type costs as much as the rest of the routing
def _whole_numbers(kind: type[Struct]) -> tuple[str, ...]:
    """Return the parameters of a query that are whole numbers."""
    return tuple(m.encode_name for m in msgspec.structs.fields(kind) if type(m.default) is int)


async def _open(route: SocketRoute, names: dict[str, str], socket: WebSocket) -> None:
    """Serve a WebSocket. An error before the socket is accepted is answered like that of a request; a later
    error closes the socket."""
    state = socket.scope["state"]
    node: Node = state["node"]
    state["api"] = route.api
    require(route.policy, state["principal"])
    try:
        with node.connections.opened(route.api, state["principal"], state["credential"]) as connection:
            state["connection"] = connection
            protocol = socket.scope["extensions"][EXTENSION]
            protocol.traffic = node.tally.traffic[route.api]
            protocol.share = Share(node.held)
            protocol.broken = partial(node.tally.end, route.api)
            await route.handler(socket, **names)
    except RhetorError as error:
        if socket.application_state is not WebSocketState.CONNECTED:
            raise
        node.tally.end(route.api, error.code)
        protocol.end(error.close or 1011, error.code)
