"""Many rows in few statements.

Between any two statements a thread gives up the interpreter's lock and has to win it back: under load, that
costs more than the rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

MAX_ROWS = 64  # of one statement: longer ones are not faster, and cost memory as prepared statements


def insert(connection: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """The rows in as few statements as powers of two allow, so that few are ever prepared."""
    start = 0
    while start < len(rows):
        count = min(MAX_ROWS, 1 << (len(rows) - start).bit_length() - 1)
        chunk = rows[start : start + count]
        connection.execute(_values(into, count, len(chunk[0])), [value for row in chunk for value in row])
        start += count


@lru_cache(maxsize=128)
def _values(into: str, rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{into} VALUES {', '.join([row] * rows)}"
