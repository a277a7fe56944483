"""The tools of the small MCP servers that tests start (`tool_server.py`, `plain_tool_server.py`)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def environment() -> list[str]:
    """The names of all variables that the server sees."""
    return sorted(os.environ)


def describe(thing: dict[str, object]) -> str:
    """Says what it was given."""
    return f"{len(thing)} keys"


def fail() -> str:
    """Never works."""
    raise ValueError("out of order")


def wait(seconds: float) -> str:
    """Takes its time."""
    time.sleep(seconds)
    return "done"


def flood() -> str:
    """Says too much."""
    return "x" * (2 << 20)


def leave_child() -> int:
    """Starts a program of its own that outlives every signal but one; returns its id."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL).pid


def die() -> str:
    """Ends the server in mid-call."""
    os._exit(3)


TOOLS: tuple[Callable[..., Any], ...] = (add, environment, describe, fail, wait, flood, leave_child, die)


def be_noisy() -> None:
    """Write what no client expects, as some servers do."""
    sys.stderr.write("warming up\n" * 100)
    print("Welcome to the small server!", flush=True)  # noqa: T201  what such programs do
