"""`python -m tests.tool_server`: a small MCP server over stdio, for tests of real subprocesses."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time

from mcp.server import MCPServer

server = MCPServer("small")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def environment() -> list[str]:
    """The names of all variables that the server sees."""
    return sorted(os.environ)


@server.tool()
def describe(thing: dict[str, object]) -> str:
    """Says what it was given."""
    return f"{len(thing)} keys"


@server.tool()
def fail() -> str:
    """Never works."""
    raise ValueError("out of order")


@server.tool()
def wait(seconds: float) -> str:
    """Takes its time."""
    time.sleep(seconds)
    return "done"


@server.tool()
def flood() -> str:
    """Says too much."""
    return "x" * (2 << 20)


@server.tool()
def leave_child() -> int:
    """Starts a program of its own that outlives every signal but one; returns its id."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL).pid


@server.tool()
def die() -> str:
    """Ends the server in mid-call."""
    os._exit(3)


def serve_http() -> None:
    """On a free port of this machine; its URL is the first line."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp\n")
    sys.stdout.flush()
    config = uvicorn.Config(server.streamable_http_app(), log_level="error")
    asyncio.run(uvicorn.Server(config).serve([listener]))


def main() -> None:
    if "noisy" in sys.argv:
        sys.stderr.write("warming up\n" * 100)
        print("Welcome to the small server!", flush=True)  # noqa: T201  what such programs do
    if "http" in sys.argv:
        serve_http()
    else:
        server.run("stdio")


if __name__ == "__main__":
    main()
