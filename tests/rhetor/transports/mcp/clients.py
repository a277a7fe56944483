"""Clients of MCP: the SDK's own, over HTTP and over standard input and output of `rhetor mcp`.

The SDK is imported when a test needs it, because that takes more than a second of each worker."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tests.served import TOKEN, Served

if TYPE_CHECKING:
    from mcp import Client, StdioServerParameters

Way = tuple[Literal["http", "stdio"], str]
LEGACY, MODERN = "legacy", "2026-07-28"
WAYS: list[Way] = [("http", LEGACY), ("http", MODERN), ("stdio", LEGACY), ("stdio", MODERN)]


@asynccontextmanager
async def connected(home: Served, way: Way) -> AsyncIterator[Client]:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    kind, mode = way
    async with AsyncExitStack() as stack:
        server: Any = at_stdio(home.socket.parent)
        if kind == "http":
            headers = {"authorization": f"Bearer {TOKEN}"}
            http = httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60)
            await stack.enter_async_context(http)
            server = streamable_http_client(f"http://127.0.0.1:{home.port}/mcp", http_client=http)
        yield await stack.enter_async_context(Client(server, mode=mode, cache=None))


def at_stdio(folder: Path, **environment: str) -> StdioServerParameters:
    from mcp import StdioServerParameters

    arguments = ["-m", "rhetor", "mcp", "--home", str(folder)]
    return StdioServerParameters(command=sys.executable, args=arguments, env=environment or None)


def text_of(result: Any) -> str:
    (part,) = result.content
    assert part.type == "text"
    return str(part.text)
