"""A route with a lock: it cannot be made without saying who may use it.

Routes that are asked often have a short way to their endpoint, for requests that are as they should be. All
others take FastAPI's, which tells what is wrong with them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from enum import StrEnum
from functools import partial
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketState

from rhetor.auth.policy import Policy, require
from rhetor.domain.command import Principal
from rhetor.errors import Malformed, NotFound, RhetorError, UnsupportedMedia

from . import problems
from .counters import REST, SSE
from .disconnect import CallerGone
from .node import Node, node

POLICY = "x-policy"
EXTENSION = "rhetor.socket"  # of the scope: the server's end of the socket
Endpoint = Callable[[WebSocket], Awaitable[None]]
_READ = "rhetor.request"  # where the scope has a request whose body was read already


class StrictRequest(Request):
    """JSON is read by a parser that takes what RFC 8259 says, and no more."""

    async def body(self) -> bytes:
        body = await super().body()
        if body and not _is_json(self.headers.get("content-type", "")):
            raise UnsupportedMedia(self.headers.get("content-type", ""))
        return body

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = decode(await self.body())
        return self._json


def decode(body: bytes) -> Any:
    """Raises:
    Malformed: it is not JSON, is nested too deep, has half a surrogate pair, or names a member twice."""
    try:
        value = msgspec.json.decode(body)
        msgspec.json.encode(value)
        _UNIQUE.decode(body.decode())
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise Malformed(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise Malformed("the body is nested too deep") from error
    return value


def _once(members: list[tuple[str, Any]]) -> None:
    """Which of two would count, each parser decides for itself (RFC 8259, 4): so none does here."""
    if len(members) > 1 and len(dict(members)) < len(members):
        twice = Counter(name for name, _ in members).most_common(1)[0][0]
        raise Malformed(f"the member {twice[:100]!r} is there twice")


_UNIQUE = json.JSONDecoder(object_pairs_hook=_once)


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


_CHANGING = frozenset({"POST", "PUT", "DELETE"})


class Streams(StrEnum):
    """Whether what a route answers is an event stream, which stays open and counts among the connections."""

    NEVER = "never"
    ASKED = "asked"  # with `Accept: text/event-stream`
    ALWAYS = "always"


class LockedRoute(APIRoute):
    """Keeps its policy where the API's description shows it too, and checks it before the body is read.

    `short`: the model of the body, where there is a short way to the endpoint. That takes the path's
    parameters, `request`, `body`, `who`, `here` and, not needed, `key` (of the header Idempotency-Key).
    """

    short: type[BaseModel] | None = None
    streams: Streams = Streams.NEVER

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        extra = options.get("openapi_extra") or {}
        if POLICY not in extra:
            raise TypeError(f"route {path} declares no policy")
        self.policy = Policy(extra[POLICY])
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def locked(request: Request) -> Response:
            require(self.policy, request.state.principal)
            read = request.scope.get(_READ)
            return await handle(read or StrictRequest(request.scope, request.receive))

        return locked

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        who = scope["state"]["principal"]
        if who is not None and scope["method"] in _CHANGING:
            scope["app"].state.node.charge(who, REST)
        if scope["method"] not in (self.methods or ()) or not self._is_stream(scope):
            await self._answer(scope, receive, send)
            return
        state, here = scope["state"], scope["app"].state.node
        require(self.policy, state["principal"])
        is_new = scope["method"] == "GET"  # the answer to a message is no more than its message
        with here.connections.opened(
            SSE, state["principal"], state["credential"], is_new=is_new
        ) as connection:
            state["connection"], state["traffic"] = connection, here.tally.traffic[SSE]
            await self._answer(scope, receive, send)

    def _is_stream(self, scope: Scope) -> bool:
        if self.streams is Streams.ASKED:
            return b"text/event-stream" in dict(scope["headers"]).get(b"accept", b"")
        return self.streams is Streams.ALWAYS

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.short is not None and scope["method"] in (self.methods or ()):
            request = scope[_READ] = StrictRequest(scope, receive)
            require(self.policy, request.state.principal)
            body = await _body(request, self.short)
            if body is not None and "idempotency-key" not in request.headers:
                given = {"body": body, "who": await principal(request), "here": await node(request)}
                response = await self.endpoint(**scope["path_params"], request=request, **given)
                await response(scope, receive, send)
                return
        await super().handle(scope, receive, send)


async def _body(request: StrictRequest, model: type[BaseModel]) -> BaseModel | None:
    """The body where it is right, None where there is something to be told about it."""
    try:
        return model.model_validate(await request.json()) if await request.body() else None
    except ValidationError:
        return None
    except ClientDisconnect:
        raise CallerGone from None


class Doors(APIRouter):
    """Routes by their policy: `@doors.on("POST", "/path", Policy.USER)`. `short`, `streams`: as of
    `LockedRoute`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=LockedRoute, **options)

    def on(
        self,
        method: str,
        path: str,
        policy: Policy,
        *,
        short: type[BaseModel] | None = None,
        streams: Streams = Streams.NEVER,
        **options: Any,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        add = self.api_route(path, methods=[method], openapi_extra={POLICY: policy.value}, **options)

        def added(endpoint: Callable[..., Any]) -> Callable[..., Any]:
            add(endpoint)
            route = self.routes[-1]
            assert isinstance(route, LockedRoute)
            route.short, route.streams = short, streams
            return endpoint

        return added

    def socket(self, path: str, policy: Policy) -> Callable[[Endpoint], Endpoint]:
        """A WebSocket; what is refused before it is accepted is refused as a request is."""

        def register(endpoint: Endpoint) -> Endpoint:
            self.routes.append(LockedSocket(path, endpoint, policy))
            return endpoint

        return register


class LockedSocket(WebSocketRoute):
    """The same for a WebSocket. Its door is called as its path, without what stands for names in it."""

    def __init__(self, path: str, endpoint: Endpoint, policy: Policy) -> None:
        self.policy = policy
        self.door = ".".join(part for part in path.split("/") if part and "{" not in part)

        async def locked(socket: WebSocket) -> None:
            here: Node = socket.app.state.node
            try:
                require(policy, socket.state.principal)
                with here.connections.opened(self.door, socket.state.principal, socket.state.credential):
                    protocol = socket.scope["extensions"][EXTENSION]
                    protocol.traffic = here.tally.traffic[self.door]
                    protocol.broken = partial(here.tally.end, self.door)
                    await endpoint(socket)
            except RhetorError as error:
                await self._end(socket, here, error)

        super().__init__(path, locked, name=endpoint.__name__)

    async def _end(self, socket: WebSocket, here: Node, error: RhetorError) -> None:
        """It is refused; or closed, where it is open already."""
        if socket.application_state is WebSocketState.CONNECTED:
            here.tally.end(self.door, error.code)
            socket.scope["extensions"][EXTENSION].end(error.close or 1011, error.code)
        else:
            here.tally.fault(self.door, error.code)
            await refuse_socket(error, socket.send)


def door_of(scope: MutableMapping[str, Any]) -> str:
    """Of a request that has reached no route."""
    return "ws" if scope["type"] == "websocket" else REST


async def no_such_route(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """What answers for a path that no door has."""
    error = NotFound("route", scope["path"])
    scope["app"].state.node.tally.fault(door_of(scope), error.code)
    if scope["type"] == "websocket":
        await refuse_socket(error, send)
    else:
        await problems.response(error)(scope, receive, send)


async def refuse_socket(error: RhetorError, send: Callable[[Any], Awaitable[None]]) -> None:
    """Answer the request for an upgrade with a problem (ASGI, WebSocket Denial Response)."""
    answer = problems.response(error)
    await send(
        {
            "type": "websocket.http.response.start",
            "status": answer.status_code,
            "headers": answer.raw_headers,
        }
    )
    await send({"type": "websocket.http.response.body", "body": bytes(answer.body)})


async def principal(request: Request) -> Principal:
    """Who asks; the gate put it there. Without `async` FastAPI would go to a thread for it."""
    who = request.state.principal
    assert isinstance(who, Principal)
    return who
