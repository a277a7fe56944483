"""The plain requests of one WebSocket, which are answered without the library, like those over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from .caller import McpCaller
from .direct import Direct, progress
from .plain import MODERN, OWN, WITH_SESSIONS, Plain, Recognizer

VERSION = f"{OWN}protocolVersion"


class SocketCalls:
    """The calls that are running. `say` sends a message to the client.

    The library answers the first request of a connection, which decides about the revision.
    """

    def __init__(self, direct: Direct, caller: McpCaller, say: Callable[[bytes], Awaitable[None]]) -> None:
        self._direct = direct
        self._caller = caller
        self._say = say
        self._recognizer = Recognizer()
        self._version: str | None = None
        self._opening: Any = None
        self._running: dict[int | str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def plain(self, text: bytes | str) -> Plain | None:
        """Return the request in a message if it is one that `start` can answer."""
        if self._version is None:
            return None
        plain = self._recognizer.message(text, self._version)
        known = plain is not None and self._direct.knows(plain) and plain.id not in self._running
        return plain if known else None

    def start(self, plain: Plain, tasks: asyncio.TaskGroup) -> None:
        task = tasks.create_task(self._answer(plain), name=f"mcp {plain.tool}")
        self._running[plain.id] = task
        task.add_done_callback(lambda _: self._running.pop(plain.id, None))

    def heard(self, message: Any) -> None:
        """Note a message of the client that the library gets."""
        method, params = getattr(message, "method", None), getattr(message, "params", None) or {}
        if method == "notifications/cancelled" and isinstance(id := params.get("requestId"), int | str):
            if running := self._running.get(id):  # a cancelled request is not answered
                running.cancel()
        elif self._opening is None and method is not None and hasattr(message, "id"):
            self._opening = message

    def said(self, message: Any) -> None:
        """Note a message of the library to the client."""
        if self._version is None and self._opening is not None and hasattr(message, "result"):
            if message.id != self._opening.id:
                return
            meta = (self._opening.params or {}).get("_meta") or {}
            version = message.result.get("protocolVersion") or meta.get(VERSION)
            if isinstance(version, str) and version.encode() in (MODERN, *WITH_SESSIONS):
                self._version = version

    def end(self) -> None:
        """Cancel all calls, because the client has closed the connection."""
        for task in self._running.values():
            task.cancel()

    async def _answer(self, plain: Plain) -> None:
        count = 0

        async def report(text: str) -> None:
            nonlocal count
            count += 1
            await self._say(progress(plain, count, text))

        await self._say(await self._direct.message(plain, self._caller, report))
