"""`python -m tests.tool_server`: a small MCP server made with the SDK, over stdio or HTTP. It takes two
seconds to import; most tests use `plain_tool_server.py`."""

from __future__ import annotations

import asyncio
import socket
import sys

from mcp.server import MCPServer

from tests.small_tools import TOOLS, be_noisy

server = MCPServer("small")
for tool in TOOLS:
    server.tool()(tool)


def serve_http() -> None:
    """Serve on a free port, and print the URL as the first line."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp\n")
    sys.stdout.flush()
    config = uvicorn.Config(server.streamable_http_app(), log_level="error")
    asyncio.run(uvicorn.Server(config).serve([listener]))


def main() -> None:
    if "noisy" in sys.argv:
        be_noisy()
    if "http" in sys.argv:
        serve_http()
    else:
        server.run("stdio")


if __name__ == "__main__":
    main()
