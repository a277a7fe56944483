"""The WebSocket of a client: calls and their replies, and notices, which go to listeners by name.

It is opened when the first listener needs it. If it is lost, the next listener that needs it opens it again,
and each listener continues from its own cursor (see `following`). It never waits for a listener.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from typing import Any, Protocol
from weakref import WeakValueDictionary

import aiohttp
import msgspec

from .endpoint import Endpoint
from .errors import Denied, HubError, HubUnreachable, error_of, unreachable
from .retry import Backoff

_HEARTBEAT, _CLOSE_TIMEOUT = 30.0, 1.0  # seconds
_MAX_FRAME_BYTES = 128 << 20  # a program's line of 16 MiB, each of its characters escaped
_FINAL = {4001: "login_expired", 4003: "forbidden", 4500: "unauthenticated", 4501: "too_many_invalid"}
_PLANNED_CLOSES = frozenset({1000, 1001, 1012})


class Listener(Protocol):
    """Receives the notices of one subscription, under a name from `Connection.new_name`."""

    def on_notice(self, method: str, params: msgspec.Raw, size: int) -> None:
        """Handle a notice of `size` bytes. This must not block."""
        ...

    def on_disconnect(self) -> None:
        """Handle the loss of the connection. No further notices arrive."""
        ...


class ConnectionLost(Exception):
    """The connection closed before the reply arrived."""


class _Frame(msgspec.Struct):
    id: int | None = None
    method: str = ""
    params: msgspec.Raw = msgspec.Raw(b"{}")
    result: Any = None
    error: dict[str, Any] | None = None


class _Named(msgspec.Struct):
    subscription: str = ""


class Connection:
    """The WebSocket to one hub. If the hub cannot be reached, a call waits for it, at most
    `reconnect_timeout` seconds after it was lost. None means no limit."""

    def __init__(
        self, endpoint: Endpoint, http: aiohttp.ClientSession, reconnect_timeout: float | None
    ) -> None:
        self._endpoint = endpoint
        self._http = http
        self._reconnect_timeout = reconnect_timeout
        self._connecting = asyncio.Lock()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._ids = count(1)
        # a listener that is garbage-collected stops following
        self._listeners: WeakValueDictionary[str, Listener] = WeakValueDictionary()
        self._names: set[str] = set()  # subscriptions that the hub has on this connection
        self._outage: Backoff | None = None
        self._is_silent = False  # nothing was received on the last connection
        self._was_planned = self._is_closed = False

    def new_name(self) -> str:
        return str(next(self._ids))

    async def follow(self, name: str, method: str, params: Mapping[str, Any], listener: Listener) -> Any:
        """Call a method that subscribes to notices under this new name, and return the reply. The listener
        may receive notices before this returns.

        Raises:
            ConnectionLost: the connection closed before the reply arrived.
            HubUnreachable: the hub did not come back in time.
            HubError: the hub rejects the call.
        """
        socket = await self._open_once()
        self._listeners[name] = listener
        self._names.add(name)
        try:
            return await self._call(socket, method, {**params, "subscription": name})
        except BaseException:  # also if the caller is cancelled
            self.unfollow(name)
            raise

    def unfollow(self, name: str) -> None:
        """Stop following. The hub is informed with the next call or notice."""
        self._listeners.pop(name, None)

    async def aclose(self) -> None:
        """Close the connection. Pending calls fail."""
        self._is_closed = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _call(
        self, socket: aiohttp.ClientWebSocketResponse, method: str, params: Mapping[str, Any]
    ) -> Any:
        id, reply = next(self._ids), asyncio.get_running_loop().create_future()
        self._calls[id] = reply
        try:
            await self._unsubscribe(socket)
            await socket.send_str(_encode_call(id, method, params))
            return await reply
        except (aiohttp.ClientError, ConnectionError) as error:
            raise ConnectionLost from error
        finally:
            del self._calls[id]

    async def _open_once(self) -> aiohttp.ClientWebSocketResponse:
        async with self._connecting:
            if self._socket is None:
                self._socket = await self._open_with_retry()
                self._reading = asyncio.create_task(self._read(self._socket), name="aish connection")
            return self._socket

    async def _open_with_retry(self) -> aiohttp.ClientWebSocketResponse:
        """Open the WebSocket. An outage ends when the hub sends something, not when it accepts a
        connection."""
        if self._is_silent:
            await self._pause(
                HubUnreachable("the hub closes every connection; something else may be listening")
            )
        while True:
            try:
                socket = await self._open()
            except HubUnreachable as error:
                await self._pause(error)
                if self._endpoint.starts and not self._was_planned:
                    await self._endpoint.start()
            else:
                self._is_silent = True
                return socket

    async def _pause(self, error: HubUnreachable) -> None:
        self._outage = self._outage or Backoff(self._reconnect_timeout)
        await self._outage.pause(error)

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        self._require_open()
        try:
            socket = await self._http.ws_connect(
                f"{self._endpoint.url}/ws",
                heartbeat=_HEARTBEAT,
                max_msg_size=_MAX_FRAME_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_TIMEOUT),
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403, 421):
                raise Denied(
                    f"the hub rejected the credentials ({error.status})", "unauthenticated"
                ) from error
            raise HubUnreachable(f"the hub rejected the WebSocket ({error.status})") from error
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise unreachable(error) from error
        self._require_open()  # `aclose` may have been called meanwhile
        return socket

    def _require_open(self) -> None:
        if self._is_closed:
            raise Denied("the connection to the hub was closed by this program", "closed")

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Read until the connection closes. Then fail the pending calls."""
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._take(message.data)
                    await self._unsubscribe(socket)
        except (msgspec.MsgspecError, aiohttp.ClientError, ConnectionError):
            pass  # the connection is lost, or this is not a hub: the next listener opens another one
        finally:
            self._socket = None
            self._names.clear()
            self._was_planned = socket.close_code in _PLANNED_CLOSES
            self._fail_pending(_FINAL.get(socket.close_code or 0))
            with suppress(aiohttp.ClientError, ConnectionError):
                await socket.close()

    def _fail_pending(self, final: str | None) -> None:
        error = (
            error_of({"code": final, "detail": f"the hub closed the connection: {final}"}) if final else None
        )
        for reply in list(self._calls.values()):
            if not reply.done():
                reply.set_exception(error or ConnectionLost())
        listeners = list(self._listeners.values())
        self._listeners.clear()
        for listener in listeners:
            listener.on_disconnect()

    def _take(self, text: str) -> None:
        frame = msgspec.json.decode(text, type=_Frame)
        self._outage, self._is_silent = None, False
        if frame.method:
            self._notify(frame.method, frame.params, len(text))
        elif (reply := self._calls.get(frame.id or 0)) is not None and not reply.done():
            if frame.error is None:
                reply.set_result(frame.result)
            else:
                reply.set_exception(_reply_error(frame.error))

    def _notify(self, method: str, params: msgspec.Raw, size: int) -> None:
        listener = self._listeners.get(msgspec.json.decode(params, type=_Named).subscription)
        if listener is not None:
            listener.on_notice(method, params, size)

    async def _unsubscribe(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """End the subscriptions that no listener follows. Notices that arrive until then are dropped."""
        if len(self._names) == len(self._listeners):
            return
        for name in self._names.difference(self._listeners):
            self._names.discard(name)
            await socket.send_str(_encode_call(next(self._ids), "unsubscribe", {"subscription": name}))


def _encode_call(id: int, method: str, params: Mapping[str, Any]) -> str:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).decode()


def _reply_error(error: Mapping[str, Any]) -> HubError:
    data = error.get("data")
    problem = data if isinstance(data, dict) else {}
    return error_of({"code": "malformed", "detail": str(error.get("message", "")), **problem})
