"""Reads the small files in which a program keeps its login and its settings. Nothing in such a file, and no
kind of file in its place, makes a reader wait or fail."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

MAX_BYTES = 16 << 20  # claude keeps its state of all folders in one file


def text_of(file: Path, most: int = MAX_BYTES) -> str:
    """Return the text of a regular file; empty if it cannot be read, has more than `most` bytes, or is not
    text."""
    with suppress(OSError, ValueError):
        # O_NONBLOCK: opening a named pipe must not wait for its other end
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb") as opened:
            found = os.fstat(fd)
            if stat.S_ISREG(found.st_mode) and found.st_size <= most:
                return opened.read(most).decode()
    return ""


def json_of(file: Path) -> dict[str, Any]:
    """Return the file's JSON object; empty if it cannot be read."""
    with suppress(ValueError, RecursionError):
        found = json.loads(text_of(file))
        return found if isinstance(found, dict) else {}
    return {}


def toml_of(file: Path) -> dict[str, Any]:
    """Return the file's TOML table; empty if it cannot be read."""
    import tomllib

    with suppress(ValueError, RecursionError):
        return tomllib.loads(text_of(file))
    return {}
