"""One running MCP server: its connection, its tools, and calls to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from rhetor import background
from rhetor.domain.output import ToolResult
from rhetor.domain.tool import Tool
from rhetor.drivers.model_tools.mcp_reach import ServerAccess
from rhetor.errors import ToolServerFailed

if TYPE_CHECKING:
    from mcp import Client

START_SECONDS = 30.0
CALL_SECONDS = 60.0
LIFE_SECONDS = 3.0
RESULT_BYTES = 1 << 20
TOOLS = 512  # tools of one server; further ones are ignored
log = logging.getLogger(__name__)


class Limits(msgspec.Struct, frozen=True):
    """Time limits in seconds. `start`: until a server has listed its tools. `call`: for one tool call.
    `life`: for the sign of life of a program whose call was given up."""

    start: float = START_SECONDS
    call: float = CALL_SECONDS
    life: float = LIFE_SECONDS


class McpServer:
    """A server whose connection is opened and closed in a task of its own, `task`.

    Await `ready` before you use `tools` and `call`; it raises ToolServerFailed if the server cannot be used.
    """

    def __init__(self, server: str, access: ServerAccess, limits: Limits) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())
        self.tools: Sequence[Tool] = ()
        self._server = server
        self._access = access
        self._limits = limits
        self._client: Client | None = None
        self._ended = asyncio.Event()
        self._running = 0  # calls
        self._check: asyncio.Task[None] | None = None
        self.task = asyncio.create_task(self._run(), name=f"mcp server {server}")

    @property
    def over(self) -> bool:
        """Whether the server has ended or is about to."""
        return self._ended.is_set() or self.task.done()

    def end(self) -> None:
        """Stop the server. `task` is done when it has ended."""
        self._ended.set()
        if not self.ready.done():
            self.task.cancel()

    async def call(self, call_id: str, tool: str, arguments: Any) -> ToolResult:
        """Run a tool. If the caller is cancelled, or the call times out, the server is told to cancel it, and
        a later result is ignored."""
        self._running += 1
        try:
            return await self._call(call_id, tool, arguments)
        except asyncio.CancelledError:
            self._check_life()
            raise
        finally:
            self._running -= 1

    async def _call(self, call_id: str, tool: str, arguments: Any) -> ToolResult:
        from mcp import MCPError

        assert self._client is not None
        try:
            async with asyncio.timeout(self._limits.call):
                result = await self._client.call_tool(tool, arguments)
        except TimeoutError:
            self._check_life()
            return failed(call_id, "timeout", f"{tool} took longer than {self._limits.call:g} s")
        except (MCPError, OSError, RuntimeError, ValueError) as error:
            if self._access.program is None:
                self.end()  # the next use connects again
            return failed(call_id, "tool_failed", f"{self._server}: {error}")
        return _result(call_id, result)

    async def checked(self) -> None:
        """Wait until it is known whether the program still answers, if a call was given up. If it does not,
        it is `over`."""
        if self._check is not None:
            await asyncio.wait([self._check])

    def _check_life(self) -> None:
        """Check whether a program that is still busy with a call that was given up answers at all. If it does
        not, and runs no other call, it is ended: later calls would only wait."""
        if self._access.program is not None and (self._check is None or self._check.done()):
            self._check = background.start(self._end_if_stuck(), f"check mcp server {self._server}")

    async def _end_if_stuck(self) -> None:
        from mcp import MCPError

        assert self._client is not None
        try:
            async with asyncio.timeout(self._limits.life):
                await self._client.list_tools()  # newer versions of the protocol have no ping
        except TimeoutError:
            if not self._running and not self.over:
                log.warning("MCP server does not answer; it is ended", extra={"server": self._server})
                self.end()  # the next use starts it again
        except (MCPError, OSError, RuntimeError, ValueError):
            pass  # it has answered, or has ended

    async def _run(self) -> None:
        try:
            await asyncio.to_thread(_load)
            async with asyncio.timeout(self._limits.start) as starting:
                await self._serve(starting)
        except Exception as error:  # noqa: BLE001  # nothing may escape the task: turns wait for `ready`
            self._fail(error)
        finally:
            if self._check is not None:
                self._check.cancel()
            if not self.ready.done():
                self.ready.set_exception(unusable(self._server, "it was stopped", "send the message again"))

    async def _serve(self, starting: asyncio.Timeout) -> None:
        from mcp import Client

        async with Client(self._access.transport(self._ended), cache=None) as client:
            self.tools = [self._tool(tool) for tool in await _listed(client)]
            self._client = client
            starting.reschedule(None)
            self.ready.set_result(None)
            await self._ended.wait()

    def _fail(self, error: Exception) -> None:
        first = _first(error)
        why = str(first) or type(first).__name__
        if isinstance(first, TimeoutError):
            why = f"it did not answer within {self._limits.start:g} s"
        if (program := self._access.program) is not None:
            if program.exit_code is not None:
                why = _end_of(program.exit_code)
            if words := program.stderr_tail:
                why = f"{why}; it wrote: {words}"
        log.warning("MCP server failed", extra={"server": self._server, "why": why})
        if not self.ready.done():
            self.ready.set_exception(unusable(self._server, why, self._access.hint))

    def _tool(self, tool: Any) -> Tool:
        asks = self._access.entry.asks(tool.name)
        return Tool(tool.name, tool.description or "", dict(tool.input_schema), asks)


def _load() -> None:
    import mcp.client.streamable_http  # noqa: F401


async def _listed(client: Client) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while len(found) < TOOLS:
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor:
            break
    return found[:TOOLS]


def _result(call_id: str, result: Any) -> ToolResult:
    """Convert a result: its structured value, or else its text, or else the list of its parts."""
    value = result.structured_content
    if value is None:
        parts = [part.model_dump(mode="json", by_alias=True, exclude_none=True) for part in result.content]
        value = parts[0]["text"] if [part["type"] for part in parts] == ["text"] else parts
    if len(msgspec.json.encode(value)) > RESULT_BYTES:
        return failed(call_id, "too_large", f"the result is larger than {RESULT_BYTES} bytes")
    return ToolResult(call_id, value, result.is_error)


def failed(call_id: str, code: str, detail: str) -> ToolResult:
    return ToolResult(call_id, {"code": code, "detail": detail}, is_error=True)


def unusable(server: str, why: str, hint: str) -> ToolServerFailed:
    detail = f"the MCP server {server} cannot be used: {why}"
    return ToolServerFailed(detail, retryable=True, server=server, hint=hint)


def _end_of(exit_code: int) -> str:
    return f"signal {-exit_code} ended it" if exit_code < 0 else f"it exited with {exit_code}"


def _first(error: BaseException) -> BaseException:
    """Return the first error of a group, or the error itself if it is not a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
