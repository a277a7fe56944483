"""The configured MCP servers: started on first use, shared by all turns, stopped with the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from rhetor import background
from rhetor.domain.output import ToolResult
from rhetor.domain.program_keys import ProgramKeys
from rhetor.domain.tool import Tool
from rhetor.domain.tool_server import ToolServer
from rhetor.drivers.model_tools.mcp_reach import ServerAccess, ServerEntry
from rhetor.drivers.model_tools.mcp_server import Limits, McpServer, failed, unusable
from rhetor.drivers.models.urls import Reach, Resolve, check_literal, resolved
from rhetor.errors import ToolServerFailed, Unprocessable

END_SECONDS = 5.0
TEST_SECONDS = 10.0


class ToolServers:
    """Starts servers when they are needed. `environment`: the variables that may be passed on to programs.
    `folder`: the folder in which the programs run. `added`: the servers that were added at run time; when the
    configuration is reloaded, its new object takes over these. `keys`: with which the programs call the
    hub."""

    def __init__(
        self,
        entries: Mapping[str, ServerEntry],
        environment: Mapping[str, str],
        folder: str,
        limits: Limits = Limits(),  # noqa: B008  frozen
        resolve: Resolve = resolved,
        added: dict[str, ToolServer] | None = None,
        keys: ProgramKeys | None = None,
    ) -> None:
        self.configured = {name: _server(name, entry) for name, entry in entries.items()}
        self.added = {} if added is None else added
        self._environment = environment
        self._folder = folder
        self._limits = limits
        self._keys = keys or ProgramKeys()
        self._resolve = resolve
        self._running: dict[str, McpServer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def tools(self, server: str) -> Sequence[Tool]:
        """Return the tools of a server, which is started if needed.

        Raises:
            ToolServerFailed: the server cannot be started or reached, or does not answer.
        """
        running = await self._get(server)
        return running.tools

    async def call(self, server: str, call_id: str, tool: str, arguments: Any) -> ToolResult:
        """Call a tool. A call that fails returns a result with `is_error`."""
        try:
            running = await self._get(server)
        except ToolServerFailed as failure:
            return failed(call_id, failure.code, failure.detail)
        return await running.call(call_id, tool, arguments)

    def check(self, server: ToolServer) -> None:
        if server.url is None:
            return
        try:
            check_literal(server.url, Reach(private=True))
        except Unprocessable as error:
            raise Unprocessable(f"url: {error.detail}", **error.data) from error

    def put(self, server: ToolServer) -> None:
        self.added[server.name] = server

    def remove(self, name: str) -> None:
        self.added.pop(name, None)
        if name not in self.configured and (running := self._running.pop(name, None)):
            running.end()

    async def test(self, name: str) -> Sequence[Tool]:
        """Connect to a server of its own for this test, for at most `TEST_SECONDS`, and return its tools.

        Raises:
            ToolServerFailed: it cannot be started or reached, or does not answer in time.
        """
        server = self._started(name, replace(self._limits, start=TEST_SECONDS))
        try:
            await server.ready
            return server.tools
        finally:
            server.end()

    async def aclose(self) -> None:
        """Stop all servers, and wait until they have ended."""
        self._closing = True
        for server in self._running.values():
            server.end()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=END_SECONDS)
            await background.stop(*late)

    async def _get(self, name: str) -> McpServer:
        server = self._running.get(name)
        if server is not None:
            await server.checked()
        if server is None or server.over:
            server = self._start(name)
        # shielded: others may wait for the same start
        await asyncio.shield(server.ready)
        return server

    def _start(self, name: str) -> McpServer:
        server = self._running[name] = self._started(name, self._limits)
        return server

    def _started(self, name: str, limits: Limits) -> McpServer:
        found = self.configured.get(name) or self.added.get(name)
        if found is None:
            raise unusable(name, "it is not configured", f"add mcp_servers.{name}")
        if self._closing:
            raise unusable(name, "the hub is stopping", "send the message again")
        access = ServerAccess(
            name,
            _entry(found),
            self._environment,
            self._folder,
            self._resolve,
            self._keys,
            is_added=name not in self.configured,
        )
        server = McpServer(name, access, limits)
        self._tasks.add(server.task)
        server.task.add_done_callback(self._tasks.discard)
        return server


def _entry(server: ToolServer) -> ServerEntry:
    return ServerEntry(
        server.command, server.env, server.pass_env, server.url, server.allow_private, server.approve
    )


def _server(name: str, entry: ServerEntry) -> ToolServer:
    return ToolServer(
        name, entry.command, entry.env, entry.pass_env, entry.url, entry.allow_private, entry.approve
    )
