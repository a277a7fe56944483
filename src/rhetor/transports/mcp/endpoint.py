"""`/mcp`: MCP over streamable HTTP. The library is loaded, and its tasks start, with the first client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from starlette.types import Message, Receive, Scope, Send

from rhetor.codec.incoming_json import IncomingJson
from rhetor.domain.principal import Principal
from rhetor.errors import MethodNotAllowed, NotFound, RhetorError, TooLarge
from rhetor.transports.server.disconnect import CallerGone
from rhetor.transports.server.flow import EXTENSION
from rhetor.transports.server.headers import Header
from rhetor.transports.server.node import Node
from rhetor.transports.server.placement import tagged, untagged

from .caller import API, BODY_BYTES, MOST_VALUES, McpCaller

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from .direct import Direct, Tools
    from .http import HttpServer

METHODS = ("DELETE", "POST")
SESSION = b"mcp-session-id"
MESSAGES = "mcp.messages"
MESSAGE = 1 / 20  # of a message that is sent to a peer: a client may list tools and send pings


class Endpoint:
    """The MCP server of one hub, for all its clients. `build` makes a server other than the hub's own, whose
    `tools` can be called without the library."""

    def __init__(
        self, node: Node, build: Callable[[str], Server[Any]] | None = None, tools: Tools | None = None
    ) -> None:
        self._node = node
        self._build = build
        self._tools = tools
        self._loading = asyncio.Lock()
        self._server: Server[Any] | None = None
        self._direct: Direct | None = None
        self._http: HttpServer | None = None

    async def server(self) -> Server[Any]:
        async with self._loading:
            if self._server is None:
                # half a second in a thread, so that other clients need not wait
                server, direct = await asyncio.to_thread(_load)
                self._server = (self._build or server.build)(self._node.version)
                self._direct = direct.Direct(self._server, self._tools or server.HubTools())
            return self._server

    @property
    def direct(self) -> Direct:
        """The answers to plain requests. The server must have been loaded."""
        assert self._direct is not None
        return self._direct

    def charge(self, who: Principal, size: int = 0) -> None:
        """Count a message of a caller, besides the call of a tool that may be in it. `size`: its bytes,
        unless they are counted elsewhere.

        Raises:
            RateExceeded, BytesExceeded: the caller has sent too many messages, or bytes.
        """
        self._node.charge_bytes(who, size)
        self._node.charge(who, MESSAGES, MESSAGE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. It counts among the caller's open connections, and ends when the caller's
        credential does.

        Raises:
            NotFound, MethodNotAllowed: it is neither POST nor DELETE.
            TooLarge, TooManyValues: its body is too large.
            TooManyConnections, RateExceeded, BytesExceeded: the caller has reached its limit.
        """
        if scope["type"] != "http":
            raise NotFound("route", scope["path"])
        if scope["method"] not in METHODS:  # the hub sends nothing that does not belong to a request
            raise MethodNotAllowed(list(METHODS))
        # blanks around a value are no part of it (RFC 9110, 5.5); the library compares values with the body
        scope["headers"] = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        if self._node.hub.state.nodes.own:
            send = self._with_node(scope, send)
        state = scope["state"]
        state["api"], state["traffic"] = API, self._node.tally.traffic[API]
        who: Principal | None = state["principal"]
        if who is not None:
            self.charge(who)
        body = await _body(receive)
        again = _receiving(body, receive)
        http = self._http or await self._started()
        if who is None:  # the route is public: there is no caller to count
            await http.serve(None, body, scope, again, send)
            return
        state["mcp.caller"] = caller = McpCaller(who, self._node)
        opened = self._node.connections.opened(API, who, state["credential"], is_new=False)
        try:
            with opened as state["connection"]:
                await http.serve(caller, body, scope, again, send)
        except RhetorError as error:
            if not state.get("began"):
                raise
            self._node.tally.end(API, error.code)
            scope["extensions"][EXTENSION].end_stream(b": %b\n\n" % error.code.encode())

    def _with_node(self, scope: Scope, send: Send) -> Send:
        """Let the client see the ids of sessions with the node that has them. Return its `send`."""
        nodes = self._node.hub.state.nodes
        scope["headers"] = _changed(scope["headers"], partial(untagged, nodes))

        async def send_with_node(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _changed(message["headers"], partial(tagged, nodes))}
            await send(message)

        return send_with_node

    async def _started(self) -> HttpServer:
        """Return the server over HTTP, whose tasks are running."""
        server = await self.server()
        async with self._loading:
            if self._http is None:
                from .http import HttpServer

                http = HttpServer(server, self.direct)
                running = asyncio.Event()
                self._node.hub.state.background.start(self._run(http, running), "mcp sessions")
                await running.wait()
                self._http = http
            return self._http

    async def _run(self, http: HttpServer, running: asyncio.Event) -> None:
        """Run the tasks of the sessions until the hub is shut down."""
        with self._node.hub.state.presence.reader(API) as reader:
            try:
                async with http.sessions.run():
                    running.set()
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                if reader.ended is None:
                    raise
                reader.task.uncancel()


def _changed(headers: Iterable[Header], change: Callable[[str], str]) -> list[Header]:
    """Return the headers with the id of a session as `change` returns it."""
    return [
        (name, change(value.decode("latin-1")).encode("latin-1") if name.lower() == SESSION else value)
        for name, value in headers
    ]


async def _body(receive: Receive) -> bytes:
    """Return the body of a request, which may be decoded in one step."""
    incoming, body = IncomingJson(MOST_VALUES), bytearray()
    while (message := await receive())["type"] != "http.disconnect":
        piece = message.get("body", b"")
        body += piece
        if len(body) > BODY_BYTES:
            raise TooLarge("the body", BODY_BYTES)
        incoming.feed(piece)
        if not message.get("more_body", False):
            incoming.end()
            return bytes(body)
    raise CallerGone


def _receiving(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` for a request whose body was read already."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return left.pop() if left else await receive()

    return received


def _load() -> tuple[ModuleType, ModuleType]:
    from . import direct, http, server  # noqa: F401

    logging.getLogger("mcp").setLevel(logging.WARNING)  # it logs every session with its id
    return server, direct


def endpoint_of(node: Node) -> Endpoint:
    found = node.components.get(API)
    if found is None:
        found = node.components[API] = Endpoint(node)
    assert isinstance(found, Endpoint)
    return found
