"""Answers plain requests over HTTP without the library, which spends several times as much CPU time on them.

A result is JSON, as the library would return it. It becomes an event stream if there is progress to report,
or if it takes so long that a proxy would close a silent connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import mcp_types as types
import msgspec
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import REQUEST_CANCELLED
from mcp_types import methods
from mcp_types.version import LATEST_MODERN_VERSION
from starlette.types import Scope, Send

from rhetor.background import stop
from rhetor.transports.server.disconnect import while_connected

from .caller import McpCaller, Report
from .plain import Plain

PING_SECONDS = 15.0
JSON = (b"content-type", b"application/json")
STREAM = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class Tools(Protocol):
    """The tools that are called without the library. They send no requests to the client, and declare no
    headers for their arguments (`x-mcp-header`)."""

    @property
    def names(self) -> Collection[str]: ...

    @property
    def listed(self) -> types.ListToolsResult:
        """All tools, the same for all callers."""
        ...

    async def call(
        self, caller: McpCaller | None, name: str, arguments: dict[str, Any], report: Report | None
    ) -> Mapping[str, Any]:
        """Return the result as the protocol shows it. `caller`: None if the route is public; `report` sends
        progress to the client, if it asked for that."""
        ...


class Direct:
    """The answers to plain requests for `tools` of a server."""

    def __init__(self, server: Server[Any], tools: Tools) -> None:
        self._tools = tools
        self._stamp = {types.SERVER_INFO_META_KEY: server.server_info_stamp}
        self._listed: dict[str, msgspec.Raw] = {}
        self._running: dict[tuple[str, int | str], _Answer] = {}

    def knows(self, plain: Plain) -> bool:
        return plain.tool is None or plain.tool in self._tools.names

    async def answer(self, plain: Plain, caller: McpCaller | None, scope: Scope, send: Send) -> None:
        """Answer a request that it knows. Up to 2025-11-25 a call goes on if its client disconnects; later
        that cancels it.

        Raises:
            CallerGone: the client disconnected.
        """
        answer = _Answer(plain, send)
        if plain.session is None:
            with while_connected(scope):
                await answer.finish(await self._result(plain, caller, answer))
            return
        with self._cancellable(plain.session, answer):
            await answer.finish(await self._result(plain, caller, answer))

    def cancel(self, session: str, id: object = None) -> None:
        """Cancel a running call of a session; without an id, all of them."""
        for (at, number), answer in list(self._running.items()):
            if at == session and (id is None or number == id):
                answer.cancel()

    @contextmanager
    def _cancellable(self, session: str, answer: _Answer) -> Iterator[None]:
        key = session, answer.plain.id
        self._running[key] = answer
        try:
            yield
        finally:
            if self._running.get(key) is answer:
                del self._running[key]

    async def _result(self, plain: Plain, caller: McpCaller | None, answer: _Answer) -> bytes:
        if plain.tool is None:
            return await self.message(plain, caller)
        with answer.beating():
            try:
                return await self.message(plain, caller, answer.report)
            except asyncio.CancelledError:
                if not answer.is_cancelled:
                    raise
                answer.task.uncancel()
                return _cancelled(plain)

    async def message(self, plain: Plain, caller: McpCaller | None, report: Report | None = None) -> bytes:
        """Return the message with the result. `report` sends progress, if the client asked for it."""
        if plain.tool is None:
            return _message(plain, self._list(plain.version))
        reporting = None if plain.token is None else report
        found = await self._tools.call(caller, plain.tool, plain.arguments, reporting)
        if plain.version == LATEST_MODERN_VERSION:
            found = {**found, "resultType": "complete", "_meta": self._stamp}
        return _message(plain, found)

    def _list(self, version: str) -> msgspec.Raw:
        if version not in self._listed:
            result = self._tools.listed.model_dump(by_alias=True, mode="json", exclude_none=True)
            shaped = methods.serialize_server_result("tools/list", version, result)
            if version == LATEST_MODERN_VERSION:
                shaped["_meta"] = self._stamp
            self._listed[version] = msgspec.Raw(msgspec.json.encode(shaped))
        return self._listed[version]


class _Answer:
    """The response to one request. Its head is sent with the first event, or with the result."""

    def __init__(self, plain: Plain, send: Send) -> None:
        self.plain = plain
        self.is_cancelled = False
        self._send = send
        self._writing = asyncio.Lock()
        self._is_stream = False
        self._reported = 0
        self._pinging: asyncio.Task[None] | None = None
        task = asyncio.current_task()
        assert task is not None
        self.task = task

    def cancel(self) -> None:
        self.is_cancelled = True
        self.task.cancel()

    async def report(self, text: str) -> None:
        """Send the progress of the call."""
        self._reported += 1
        await self._write(_event(progress(self.plain, self._reported, text)))

    async def finish(self, message: bytes) -> None:
        if self._pinging is not None:
            await stop(self._pinging)
        if self._is_stream:
            await self._send({"type": "http.response.body", "body": _event(message), "more_body": False})
            return
        headers = [JSON, (b"content-length", b"%d" % len(message)), *self._session]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": message, "more_body": False})

    @contextmanager
    def beating(self) -> Iterator[None]:
        """While the context is open, send a comment every `PING_SECONDS`."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(PING_SECONDS, self._begin_to_ping)
        try:
            yield
        finally:
            timer.cancel()
            if self._pinging is not None:
                self._pinging.cancel()

    def _begin_to_ping(self) -> None:
        self._pinging = asyncio.create_task(self._ping(), name="mcp ping")

    async def _ping(self) -> None:
        while True:
            await self._write(b": ping\r\n\r\n")
            await asyncio.sleep(PING_SECONDS)

    async def _write(self, frame: bytes) -> None:
        async with self._writing:
            if not self._is_stream:
                headers = [*STREAM, *self._session]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
                self._is_stream = True
            await self._send({"type": "http.response.body", "body": frame, "more_body": True})

    @property
    def _session(self) -> list[tuple[bytes, bytes]]:
        session = self.plain.session
        return [] if session is None else [(b"mcp-session-id", session.encode("latin-1"))]


def progress(plain: Plain, count: int, text: str) -> bytes:
    """Return the message with the progress of a call. `count`: its number, from 1."""
    params = {"progressToken": plain.token, "progress": count, "message": text}
    return msgspec.json.encode({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})


def _message(plain: Plain, result: object) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": plain.id, "result": result})


def _cancelled(plain: Plain) -> bytes:
    error = {"code": REQUEST_CANCELLED, "message": "Request cancelled"}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": plain.id, "error": error})


def _event(message: bytes) -> bytes:
    return b"event: message\r\ndata: %b\r\n\r\n" % message
