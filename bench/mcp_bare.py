"""A server of the MCP library with the hub's tools and nothing behind them: what the library alone costs.

    python -m bench.mcp_bare < RESULTS

RESULTS is JSON: the result of each tool, by its name. The process prints its port.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mcp_types as types
import msgspec
import uvicorn
from mcp.server.lowlevel import Server

from bench.process import ROOT
from rhetor.transports.mcp.server import LISTED
from rhetor.transports.server.server import tcp_listener


@dataclass(frozen=True, slots=True)
class BareServer:
    pid: int
    port: int


@contextmanager
def running_bare_server(results: Mapping[str, Any]) -> Iterator[BareServer]:
    """Run the server in a process of its own while the context is open."""
    command = [sys.executable, "-m", "bench.mcp_bare"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None and server.stdout is not None
        with server.stdin as stdin:
            stdin.write(msgspec.json.encode(results))
        try:
            yield BareServer(server.pid, int(server.stdout.readline()))
        finally:
            server.terminate()


def build(results: Mapping[str, Any]) -> Server[Any]:
    async def list_tools(context: Any, params: Any) -> types.ListToolsResult:
        return LISTED

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        found = results[params.name]
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=found["content"][0]["text"])],
            structured_content=found["structuredContent"],
        )

    server: Server[Any] = Server("bare", on_list_tools=list_tools, on_call_tool=call_tool)
    server.middleware.clear()  # without tracing, as in the hub
    return server


def serve(results: Mapping[str, Any]) -> None:
    with tcp_listener("127.0.0.1", 0, or_any=False) as listener:
        app = build(results).streamable_http_app()
        config = uvicorn.Config(app, loop="uvloop", http="httptools", log_config=None, access_log=False)
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    serve(msgspec.json.decode(sys.stdin.buffer.read()))
