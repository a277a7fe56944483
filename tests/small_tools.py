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
    """Returns its argument."""
    return f"{len(thing)} keys"


def fail() -> str:
    """Always fails."""
    raise ValueError("out of order")


def wait(seconds: float) -> str:
    """Waits."""
    time.sleep(seconds)
    return "done"


def flood() -> str:
    """Returns too much text."""
    return "x" * (2 << 20)


def leave_child() -> int:
    """Starts a child that ignores every signal but SIGKILL; returns its pid."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL).pid


def die() -> str:
    """Ends the server during the call."""
    os._exit(3)


TOOLS: tuple[Callable[..., Any], ...] = (add, environment, describe, fail, wait, flood, leave_child, die)


def be_noisy() -> None:
    """Write unexpected messages, as some servers do."""
    sys.stderr.write("warming up\n" * 100)
    print("Welcome to the small server!", flush=True)  # noqa: T201  what such programs do
