"""The one WebSocket of a client: calls and their replies, and what the hub tells, passed on by name.

It is made when something is first followed, and made anew by whoever needs it after it was lost; what is
followed then goes on from its own cursor (following). It never waits for who is told something.
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

from .errors import Denied, HubError, HubUnreachable, error_of
from .place import Place
from .retry import Patience

_HEARTBEAT_SECONDS, _GOODBYE_SECONDS = 30.0, 1.0
_MAX_FRAME_BYTES = 128 << 20  # a program's line of 16 MiB, each of its characters escaped
_FINAL = {4001: "token_expired", 4003: "forbidden", 4500: "unauthenticated", 4501: "too_many_invalid"}
_ON_PURPOSE = frozenset({1000, 1001, 1012})


class Listener(Protocol):
    """Who follows something, under the name that `Link.name` gave."""

    def told(self, method: str, params: msgspec.Raw, size: int) -> None:
        """A notice has come; `size`: its bytes. It must not take long, and cannot wait."""
        ...

    def cut(self) -> None:
        """Nothing comes any more: the connection is lost, or was left."""
        ...


class Lost(Exception):
    """The connection broke before the reply came."""


class _Frame(msgspec.Struct):
    id: int | None = None
    method: str = ""
    params: msgspec.Raw = msgspec.Raw(b"{}")
    result: Any = None
    error: dict[str, Any] | None = None


class _Named(msgspec.Struct):
    subscription: str = ""


class Link:
    """`patience`: seconds that a call waits for a hub that is away, from when it was lost; None: for ever."""

    def __init__(self, place: Place, http: aiohttp.ClientSession, patience: float | None) -> None:
        self._place = place
        self._http = http
        self._patience = patience
        self._connecting = asyncio.Lock()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._ids = count(1)
        # who is let go of without a word follows no more
        self._listeners: WeakValueDictionary[str, Listener] = WeakValueDictionary()
        self._names: set[str] = set()  # that the hub knows on this connection
        self._outage: Patience | None = None
        self._is_silent = False  # nothing was heard on the last connection
        self._closed_on_purpose = self._is_over = False

    def new_name(self) -> str:
        return str(next(self._ids))

    async def follow(self, name: str, method: str, params: Mapping[str, Any], listener: Listener) -> Any:
        """Call something that leads to notices under this new name; the reply. The listener may be told
        before this returns. The connection is made where there is none.

        Raises:
            Lost: it broke before the reply.
            HubUnreachable: there is no hub, for as long as one has patience.
            HubError: the hub refuses.
        """
        socket = await self._connected()
        self._listeners[name] = listener
        self._names.add(name)
        try:
            return await self._asked(socket, method, {**params, "subscription": name})
        except BaseException:
            self.leave(name)
            raise

    def leave(self, name: str) -> None:
        """Follow no more. The hub is told with the next call, or when it tells something more."""
        self._listeners.pop(name, None)

    async def aclose(self) -> None:
        """End the connection, and whoever waits on it."""
        self._is_over = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _asked(
        self, socket: aiohttp.ClientWebSocketResponse, method: str, params: Mapping[str, Any]
    ) -> Any:
        id, reply = next(self._ids), asyncio.get_running_loop().create_future()
        self._calls[id] = reply
        try:
            await self._unsubscribe(socket)
            await socket.send_str(_call(id, method, params))
            return await reply
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Lost from error
        finally:
            del self._calls[id]

    async def _connected(self) -> aiohttp.ClientWebSocketResponse:
        async with self._connecting:
            if self._socket is None:
                self._socket = await self._patiently_opened()
                self._reading = asyncio.create_task(self._read(self._socket), name="aish link")
            return self._socket

    async def _patiently_opened(self) -> aiohttp.ClientWebSocketResponse:
        """The outage is over when something is said, not when somebody takes connections."""
        if self._is_silent:
            await self._bear(HubUnreachable("the hub breaks every connection off, or is none"))
        while True:
            try:
                socket = await self._open()
            except HubUnreachable as away:
                await self._bear(away)
                if self._place.starts and not self._closed_on_purpose:
                    await self._place.start()
            else:
                self._is_silent = True
                return socket

    async def _bear(self, away: HubUnreachable) -> None:
        self._outage = self._outage or Patience(self._patience)
        await self._outage.pause(away)

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        self._require_open()
        try:
            socket = await self._http.ws_connect(
                f"{self._place.url}/ws",
                heartbeat=_HEARTBEAT_SECONDS,
                max_msg_size=_MAX_FRAME_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=_GOODBYE_SECONDS),
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403, 421):
                raise Denied(f"the hub refuses: {error.status}", "unauthenticated") from error
            raise HubUnreachable(f"the hub refuses a connection: {error.status}") from error
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise HubUnreachable(f"the hub cannot be reached: {_said(error)}") from error
        self._require_open()  # it may have been closed meanwhile, and the socket with the rest
        return socket

    def _require_open(self) -> None:
        if self._is_over:
            raise Denied("this connection to the hub was closed", "closed")

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Until the connection ends; then nobody waits on it any more."""
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._take(message.data)
                    await self._unsubscribe(socket)
        except (msgspec.MsgspecError, aiohttp.ClientError, ConnectionError):
            pass  # it is lost, or what speaks there is no hub: either way another one is to be made
        finally:
            self._socket = None
            self._names.clear()
            self._closed_on_purpose = socket.close_code in _ON_PURPOSE
            self._end(_FINAL.get(socket.close_code or 0))
            with suppress(aiohttp.ClientError, ConnectionError):
                await socket.close()

    def _end(self, final: str | None) -> None:
        refused = None if final is None else error_of({"code": final, "detail": f"the hub closed: {final}"})
        for reply in list(self._calls.values()):
            if not reply.done():
                reply.set_exception(refused or Lost())
        listeners = list(self._listeners.values())
        self._listeners.clear()
        for listener in listeners:
            listener.cut()

    def _take(self, text: str) -> None:
        frame = msgspec.json.decode(text, type=_Frame)
        self._outage, self._is_silent = None, False
        if frame.method:
            self._tell(frame.method, frame.params, len(text))
        elif (reply := self._calls.get(frame.id or 0)) is not None and not reply.done():
            if frame.error is None:
                reply.set_result(frame.result)
            else:
                reply.set_exception(_refusal(frame.error))

    def _tell(self, method: str, params: msgspec.Raw, size: int) -> None:
        listener = self._listeners.get(msgspec.json.decode(params, type=_Named).subscription)
        if listener is not None:
            listener.told(method, params, size)

    async def _unsubscribe(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Tell the hub what nobody follows any more; what comes until it stops is dropped."""
        if len(self._names) == len(self._listeners):
            return
        for name in self._names.difference(self._listeners):
            self._names.discard(name)
            await socket.send_str(_call(next(self._ids), "unsubscribe", {"subscription": name}))


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _call(id: int, method: str, params: Mapping[str, Any]) -> str:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).decode()


def _refusal(error: Mapping[str, Any]) -> HubError:
    said = error.get("data")
    problem = said if isinstance(said, dict) else {}
    return error_of({"code": "malformed", "detail": str(error.get("message", "")), **problem})
