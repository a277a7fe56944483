"""Engine.IO at one path, as an ASGI app: requests of long polling, WebSockets, and the change from one to the
other (github.com/socketio/engine.io-protocol).

Errors are raised as `RhetorError` before a response or a handshake; the caller answers with them.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from rhetor.codec import engineio
from rhetor.codec.engineio import Packet, PacketType, Timing
from rhetor.codec.typed_json import LARGE_BYTES
from rhetor.errors import Forbidden, Malformed, RhetorError, TooLarge, TooManyConnections
from rhetor.transports.server.counters import Tally
from rhetor.transports.server.disconnect import CallerGone, while_connected
from rhetor.transports.server.flow import EXTENSION
from rhetor.transports.server.held_bytes import UNLIMITED, HeldBytes, Share
from rhetor.transports.server.large import check_values
from rhetor.transports.server.rates import size_of

from .connection import API, EngineConnection, Origin

if TYPE_CHECKING:
    from rhetor.transports.server.websocket_protocol import SocketProtocol

MOST_NEW = 1000  # sessions whose clients have not been admitted yet
RETRY_SECONDS = 5.0
UPGRADE_SECONDS = 10.0
TEXT = "text/plain; charset=UTF-8"
NO_STORE = {"cache-control": "no-store"}
log = logging.getLogger(__name__)

Serve = Callable[[EngineConnection], Coroutine[Any, Any, None]]
Start = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class EngineEndpoint:
    """All sessions at one path. `serve` serves one session in a task of its own, which `start` starts.
    `identify` says where a request comes from. `held`: the bytes that all clients may send at once. `tag`
    returns the id of a session as other nodes recognize it."""

    def __init__(
        self,
        serve: Serve,
        timing: Timing,
        *,
        start: Start,
        identify: Callable[[Scope], Awaitable[Origin]],
        tally: Tally,
        held: HeldBytes = UNLIMITED,
        tag: Callable[[str], str] = str,
    ) -> None:
        self._serve = serve
        self._timing = timing
        self._start = start
        self._identify = identify
        self._tally = tally
        self._held = held
        self._tag = tag
        self._connections: dict[str, EngineConnection] = {}
        self._limited: dict[str, RhetorError] = {}  # the last sessions that a limit has ended
        self._posting: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state: MutableMapping[str, Any] = scope["state"]
        state["api"] = API
        query = parse_qs(scope["query_string"].decode("latin-1"))
        kind = "websocket" if scope["type"] == "websocket" else "polling"
        if query.get("EIO") != [engineio.VERSION]:
            raise Malformed("the query must have EIO=4")
        if query.get("transport") != [kind]:
            raise Malformed(f"the query must have transport={kind}")
        sid = query.get("sid", [""])[0]
        origin = await self._identify(scope)
        if kind == "websocket":
            await self._websocket(WebSocket(scope, receive, send), sid, origin)
            return
        state["traffic"] = self._tally.traffic[API]
        if scope["method"] == "POST":
            is_counted = origin.principal is not None
            payload = await self._post(self._found(sid, origin), receive, is_counted=is_counted)
        elif scope["method"] != "GET":
            raise Malformed("a session of long polling needs GET or POST")
        elif sid:
            payload = await self._polled(self._found(sid, origin), scope, receive)
        else:
            connection = self._open(origin)
            payload = engineio.handshake(connection.sid, ["websocket"], self._timing)
        await Response(payload, headers=NO_STORE, media_type=TEXT)(scope, receive, send)

    def close(self) -> None:
        """Close all sessions."""
        for connection in list(self._connections.values()):
            connection.close()

    def _open(self, origin: Origin) -> EngineConnection:
        if len(self._connections) >= MOST_NEW and self._count_new() >= MOST_NEW:
            raise TooManyConnections("without a token", MOST_NEW, RETRY_SECONDS)
        sid = self._tag(secrets.token_urlsafe(18))
        connection = EngineConnection(sid, self._timing, origin, self._tally, lambda: self._drop(sid))
        self._connections[sid] = connection
        self._start(self._run(connection), f"socketio {sid[:6]}")
        return connection

    def _drop(self, sid: str) -> None:
        connection = self._connections.pop(sid, None)
        error = connection.ended_by if connection is not None else None
        if error is not None and "retry_after" in error.data:
            self._limited[sid] = error.with_traceback(None)
            if len(self._limited) > MOST_NEW:
                del self._limited[next(iter(self._limited))]

    def _count_new(self) -> int:
        return sum(not connection.is_established for connection in self._connections.values())

    async def _run(self, connection: EngineConnection) -> None:
        """Serve a session to its end, and close it with the error that ended it."""
        try:
            await self._serve(connection)
        except RhetorError as error:
            connection.end(error)
        except Exception as error:  # a bug must end no other session
            log.error("session failed", exc_info=error, extra={"api": API})
            connection.end(RhetorError("internal error; the hub's log has the details"))
        finally:
            connection.close()

    def _found(self, sid: str, origin: Origin) -> EngineConnection:
        connection = self._connections.get(sid)
        if connection is not None:
            connection.close_if_overdue()
        if sid in self._limited:  # a client that polls learns when to return
            raise self._limited[sid]
        if connection is None or connection.is_closed:
            raise Malformed("unknown session; open a new one with a request without sid")
        if not connection.origin.is_same(origin):
            raise Forbidden("the session was opened by another program")
        return connection

    async def _polled(self, connection: EngineConnection, scope: Scope, receive: Receive) -> bytes:
        await _body(receive, 0)
        try:
            with while_connected(scope):
                return await connection.poll()
        except CallerGone:
            connection.close()  # a payload may have been lost with the request
            raise

    async def _post(self, connection: EngineConnection, receive: Receive, *, is_counted: bool) -> bytes:
        """Take the packets of a request. `is_counted`: its bytes were counted when they arrived."""
        if connection.is_on_websocket:
            raise Malformed("the session was upgraded to a WebSocket, and must not be posted to")
        if connection.sid in self._posting:
            connection.close()
            raise Malformed("another POST of this session is in progress; the session is closed")
        self._posting.add(connection.sid)
        try:
            body = await _body(receive, connection.max_payload)
            if not is_counted:
                connection.charge(len(body))
            for packet in engineio.decode_payload(body):
                if isinstance(packet.data, str) and len(packet.data) > LARGE_BYTES:
                    await check_values(packet.data)
                await connection.receive(packet)
                await asyncio.sleep(0)
                if connection.ended_by is not None:  # by an earlier packet of this client
                    raise connection.ended_by
        except RhetorError as error:
            connection.end(error)
            raise
        finally:
            self._posting.discard(connection.sid)
        return b"ok"

    async def _websocket(self, socket: WebSocket, sid: str, origin: Origin) -> None:
        protocol: SocketProtocol = socket.scope["extensions"][EXTENSION]
        protocol.traffic = self._tally.traffic[API]
        protocol.share = Share(self._held)
        protocol.broken = partial(self._tally.end, API)
        connection = self._found(sid, origin) if sid else self._open(origin)
        await socket.accept()
        if sid and not await self._upgraded(connection, socket, protocol):
            protocol.end(1000, "")
            return
        try:
            if not sid:
                connection.attach(protocol)
                await connection.send(engineio.handshake(connection.sid, [], self._timing))
            while (packet := await _packet(socket, connection.max_payload, connection.charge)) is not None:
                await connection.receive(packet)
        except RhetorError as error:
            connection.end(error)
        finally:
            connection.close()

    async def _upgraded(
        self, connection: EngineConnection, socket: WebSocket, protocol: SocketProtocol
    ) -> bool:
        """Return whether the session has changed to this WebSocket. If not, it continues without it."""
        if not connection.may_probe:
            return False
        most = connection.max_payload
        try:
            with connection.probing():
                async with asyncio.timeout(UPGRADE_SECONDS):
                    if await _packet(socket, most) != Packet(PacketType.PING, engineio.PROBE):
                        return False
                    protocol.write_frames(engineio.frames([engineio.PROBED]))
                    connection.end_poll()
                    if await _packet(socket, most) != Packet(PacketType.UPGRADE):
                        return False
                connection.attach(protocol)
        except (TimeoutError, RhetorError):
            return False
        return not connection.is_closed


def _ignore(size: int) -> None: ...


async def _packet(socket: WebSocket, most: int, charge: Callable[[int], None] = _ignore) -> Packet | None:
    """Return the next packet; None if the client has closed the connection. `charge` counts its bytes.

    Raises:
        Malformed: the message is not a packet.
        TooLarge: it is too large.
        BytesExceeded: the client has sent too much.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        return None
    text = message.get("text")
    data: str | bytes = message["bytes"] if text is None else text
    size = size_of(data)
    if size > most:
        raise TooLarge("a message", most)
    charge(size)
    return engineio.decode(data)


async def _body(receive: Receive, most: int) -> bytes:
    """Return the body of a request.

    Raises:
        TooLarge: it is larger than `most` bytes.
        CallerGone: the client closed its connection.
    """
    body = bytearray()
    while (message := await receive())["type"] != "http.disconnect":
        body += message.get("body", b"")
        if len(body) > most:
            raise TooLarge("the payload", most)
        if not message.get("more_body", False):
            return bytes(body)
    raise CallerGone
